//! The entries of a log, the first at index 0: nothing is compacted.

use openraft::Entry;

use crate::Types;

const SEGMENT: usize = 4096;

/// In segments, all full but the last: one queue copies itself to grow, and at half a million entries openraft's
/// heartbeats wait for 0.1 to 0.2 s; a tree takes up to 1.6 times the processor time.
#[derive(Default)]
pub struct Entries(Vec<Vec<Entry<Types>>>);

impl Entries {
    pub fn last(&self) -> Option<&Entry<Types>> {
        self.0.last()?.last()
    }

    pub fn push(&mut self, entry: Entry<Types>) {
        match self.0.last_mut() {
            Some(segment) if segment.len() < SEGMENT => segment.push(entry),
            _ => {
                let mut segment = Vec::with_capacity(SEGMENT);
                segment.push(entry);
                self.0.push(segment);
            }
        }
    }

    /// Those from `start` to before `end`, as far as there are any.
    pub fn range(&self, start: u64, end: u64) -> impl Iterator<Item = &Entry<Types>> {
        (start as usize..end as usize).map_while(|index| self.0.get(index / SEGMENT)?.get(index % SEGMENT))
    }

    /// Remove those from `since` on.
    pub fn truncate(&mut self, since: u64) {
        let (full, rest) = (since as usize / SEGMENT, since as usize % SEGMENT);
        if let Some(segment) = self.0.get_mut(full) {
            segment.truncate(rest);
        }
        self.0.truncate(if rest == 0 { full } else { full + 1 });
    }
}
