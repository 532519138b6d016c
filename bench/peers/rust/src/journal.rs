//! A file that is only ever appended to, and synced by fdatasync with every record.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use openraft::{Entry, Vote};
use serde::{Deserialize, Serialize};

use crate::Types;

/// Of a record: its length, and the CRC-32 of what follows.
const HEADER_BYTES: usize = 8;

#[derive(Serialize, Deserialize)]
pub enum Record {
    Vote(Vote<u64>),
    Entries(Vec<Entry<Types>>),
    /// Remove the entries from this index on.
    Truncate(u64),
}

pub struct Journal {
    file: File,
    buffer: Vec<u8>,
}

impl Journal {
    /// Hands over the records that are there, in their order. What follows the last whole one was never acknowledged.
    pub fn open(path: &Path, mut found: impl FnMut(Record)) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        let mut rest = content.as_slice();
        while let Some((record, after)) = first_of(rest) {
            found(record);
            rest = after;
        }
        let end = (content.len() - rest.len()) as u64;
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        file.sync_all()?;
        if let Some(directory) = path.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(Self {
            file,
            buffer: Vec::new(),
        })
    }

    /// Returns when it is on the disk.
    pub fn append(&mut self, record: &Record) -> io::Result<()> {
        self.buffer.clear();
        self.buffer.resize(HEADER_BYTES, 0);
        postcard::to_io(record, &mut self.buffer).map_err(io::Error::other)?;
        let (header, payload) = self.buffer.split_at_mut(HEADER_BYTES);
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        header[..4].copy_from_slice(&length.to_le_bytes());
        header[4..].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
        self.file.write_all(&self.buffer)?;
        self.file.sync_data()
    }
}

/// The record at the beginning, if it is whole, and what follows it.
fn first_of(content: &[u8]) -> Option<(Record, &[u8])> {
    let (length, rest) = content.split_first_chunk()?;
    let (crc, rest) = rest.split_first_chunk()?;
    let (payload, after) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    if crc32fast::hash(payload) != u32::from_le_bytes(*crc) {
        return None;
    }
    Some((postcard::from_bytes(payload).ok()?, after))
}
