//! The log: in memory, and in the durable variant in a file as well.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{
    AnyError, Entry, EntryPayload, LogId, LogState, OptionalSend, RaftLogReader, StorageError, StorageIOError, Vote,
};

use crate::entries::Entries;
use crate::journal::{Journal, Record};
use crate::{Command, Types};

/// One AppendEntries carries so much, or one entry. openraft gives a call up after 50 ms and repeats it.
const MAX_CALL_BYTES: usize = 4 << 20;

#[derive(Clone, Default)]
pub struct Store {
    log: Arc<Mutex<Log>>,
    /// Behind a lock of its own: who reads the log does not wait for the disk.
    journal: Option<Arc<Mutex<Journal>>>,
}

#[derive(Default)]
struct Log {
    entries: Entries,
    vote: Option<Vote<u64>>,
}

impl Log {
    fn redo(&mut self, record: Record) {
        match record {
            Record::Vote(vote) => self.vote = Some(vote),
            Record::Entries(entries) => entries.into_iter().for_each(|entry| self.entries.push(entry)),
            Record::Truncate(since) => self.entries.truncate(since),
        }
    }
}

impl Store {
    /// With what the file says, if there is one.
    pub fn in_file(path: &Path) -> io::Result<Self> {
        let mut log = Log::default();
        let journal = Journal::open(path, |record| log.redo(record))?;
        Ok(Self {
            log: Arc::new(Mutex::new(log)),
            journal: Some(Arc::new(Mutex::new(journal))),
        })
    }

    /// Persist it, then do it.
    fn record(&self, record: Record) -> io::Result<()> {
        if let Some(journal) = &self.journal {
            journal.lock().unwrap().append(&record)?;
        }
        self.log.lock().unwrap().redo(record);
        Ok(())
    }
}

fn bytes(entry: &Entry<Types>) -> usize {
    match &entry.payload {
        EntryPayload::Normal(Command::Value(value)) => value.len(),
        EntryPayload::Normal(Command::Values(values)) => values.iter().map(Bytes::len).sum(),
        _ => 0,
    }
}

impl RaftLogReader<Types> for Store {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry<Types>>, StorageError<u64>> {
        let start = match range.start_bound() {
            Bound::Included(&index) => index,
            Bound::Excluded(&index) => index + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&index) => index + 1,
            Bound::Excluded(&index) => index,
            Bound::Unbounded => u64::MAX,
        };
        let log = self.log.lock().unwrap();
        Ok(log.entries.range(start, end).cloned().collect())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry<Types>>, StorageError<u64>> {
        let log = self.log.lock().unwrap();
        let mut room_bytes = MAX_CALL_BYTES;
        let mut entries = Vec::new();
        for entry in log.entries.range(start, end) {
            if bytes(entry) > room_bytes && !entries.is_empty() {
                break;
            }
            room_bytes = room_bytes.saturating_sub(bytes(entry));
            entries.push(entry.clone());
        }
        Ok(entries)
    }
}

impl RaftLogStorage<Types> for Store {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError<u64>> {
        let last_log_id = self.log.lock().unwrap().entries.last().map(|entry| entry.log_id);
        Ok(LogState {
            last_purged_log_id: None,
            last_log_id,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Result<(), StorageError<u64>> {
        let saved = self.record(Record::Vote(*vote));
        saved.map_err(|error| StorageIOError::write_vote(AnyError::new(&error)).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>, StorageError<u64>> {
        Ok(self.log.lock().unwrap().vote)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<(), StorageError<u64>>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().collect();
        callback.log_io_completed(self.record(Record::Entries(entries)));
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId<u64>) -> Result<(), StorageError<u64>> {
        let truncated = self.record(Record::Truncate(log_id.index));
        truncated.map_err(|error| StorageIOError::write_logs(AnyError::new(&error)).into())
    }

    async fn purge(&mut self, _log_id: LogId<u64>) -> Result<(), StorageError<u64>> {
        let error = io::Error::new(io::ErrorKind::Unsupported, "no compaction");
        Err(StorageIOError::write_logs(AnyError::new(&error)).into())
    }
}
