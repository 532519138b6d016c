//! The node: a Raft that is served and asked.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use openraft::error::{InitializeError, RaftError};
use openraft::{BasicNode, Config, Raft, ServerState, SnapshotPolicy};
use tokio::net::TcpListener;

use crate::group::Group;
use crate::network::Links;
use crate::order::{Spec, Status};
use crate::register::Register;
use crate::store::Store;
use crate::{Command, Fault, Types, server};

#[derive(Clone)]
pub struct Node {
    raft: Raft<Types>,
    register: Register,
    group: Option<Group>,
}

/// openraft's defaults but for these; its election timeouts among them.
fn settings() -> Config {
    Config {
        // A quarter of 4096 writers in a call; with 300, the default, or 4096 the difference is within the noise.
        max_payload_entries: 1024,
        // No compaction while the clock runs.
        snapshot_policy: SnapshotPolicy::Never,
        ..Config::default()
    }
}

impl Node {
    /// Serve, and have node 0 form the cluster unless it is in one.
    pub async fn start(spec: &Spec) -> Result<Self, Fault> {
        let members: BTreeMap<u64, BasicNode> = (0..)
            .zip(
                spec.ports
                    .iter()
                    .map(|port| BasicNode::new(format!("127.0.0.1:{port}"))),
            )
            .collect();
        let listener = TcpListener::bind(&members[&spec.node].addr).await?;
        let store = match spec.variant.as_str() {
            "memory" => Store::default(),
            "durable" | "grouped" => Store::in_file(&Path::new(&spec.directory).join("journal"))?,
            other => return Err(format!("there is no variant {other}").into()),
        };
        let register = Register::default();
        let settings = Arc::new(settings().validate()?);
        let raft = Raft::new(spec.node, settings, Links::default(), store, register.clone()).await?;
        tokio::spawn(server::serve(listener, raft.clone()));
        if spec.node == 0 {
            match raft.initialize(members).await {
                Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let group = (spec.variant == "grouped").then(|| Group::start(&raft));
        Ok(Self { raft, register, group })
    }

    pub fn leads(&self) -> bool {
        self.raft.server_metrics().borrow().state == ServerState::Leader
    }

    pub fn status(&self) -> Status {
        Status {
            leading: self.leads(),
            applied: self.register.applied(),
            term: self.raft.metrics().borrow().current_term,
        }
    }

    /// Returns when the value is committed and applied.
    pub async fn write(self, value: Bytes) -> Result<(), String> {
        if let Some(group) = self.group {
            return group.write(value).await;
        }
        let written = self.raft.client_write(Command::Value(value)).await;
        written.map(drop).map_err(|error| error.to_string())
    }

    /// Linearizable: the leader asks a majority whether it leads still, then reads what it has applied.
    pub async fn read(self) -> Result<(), String> {
        self.raft
            .ensure_linearizable()
            .await
            .map_err(|error| error.to_string())?;
        self.register
            .value()
            .map(drop)
            .ok_or_else(|| "there is no value".to_owned())
    }

    pub async fn stop(&self) -> Result<(), Fault> {
        Ok(self.raft.shutdown().await?)
    }
}
