//! The state machine: it keeps the value last written and counts what it was given.

use std::io::{Cursor, Error, ErrorKind};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use openraft::storage::RaftStateMachine;
use openraft::{
    AnyError, BasicNode, Entry, EntryPayload, LogId, OptionalSend, RaftSnapshotBuilder, Snapshot, SnapshotMeta,
    StorageError, StorageIOError, StoredMembership,
};

use crate::{Command, Types};

#[derive(Clone, Default)]
pub struct Register(Arc<Mutex<Content>>);

#[derive(Default)]
struct Content {
    value: Option<Bytes>,
    applied: u64,
    last_applied: Option<LogId<u64>>,
    membership: StoredMembership<u64, BasicNode>,
}

impl Content {
    fn keep(&mut self, value: Bytes) {
        self.value = Some(value);
        self.applied += 1;
    }
}

impl Register {
    pub fn value(&self) -> Option<Bytes> {
        self.0.lock().unwrap().value.clone()
    }

    /// How many commands it has been given.
    pub fn applied(&self) -> u64 {
        self.0.lock().unwrap().applied
    }
}

impl RaftStateMachine<Types> for Register {
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId<u64>>, StoredMembership<u64, BasicNode>), StorageError<u64>> {
        let content = self.0.lock().unwrap();
        Ok((content.last_applied, content.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>, StorageError<u64>>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut content = self.0.lock().unwrap();
        let mut results = Vec::new();
        for entry in entries {
            content.last_applied = Some(entry.log_id);
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(Command::Value(value)) => content.keep(value),
                EntryPayload::Normal(Command::Values(values)) => {
                    values.into_iter().for_each(|value| content.keep(value))
                }
                EntryPayload::Membership(members) => {
                    content.membership = StoredMembership::new(Some(entry.log_id), members);
                }
            }
            results.push(());
        }
        Ok(results)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, StorageError<u64>> {
        Err(no_snapshots())
    }

    async fn install_snapshot(
        &mut self,
        _meta: &SnapshotMeta<u64, BasicNode>,
        _snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError<u64>> {
        Err(no_snapshots())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError<u64>> {
        Ok(None)
    }
}

impl RaftSnapshotBuilder<Types> for Register {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError<u64>> {
        Err(no_snapshots())
    }
}

/// Nothing is compacted, so nobody asks for one.
fn no_snapshots() -> StorageError<u64> {
    let reason = Error::new(ErrorKind::Unsupported, "no snapshots");
    StorageIOError::read_snapshot(None, AnyError::new(&reason)).into()
}
