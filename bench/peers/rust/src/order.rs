//! What this program is told and answers: the same for every contestant.

use serde::{Deserialize, Serialize};

/// One process to run: who, among whom, how.
#[derive(Deserialize)]
pub struct Spec {
    /// Its place in `ports`.
    pub node: u64,
    /// On loopback, one for each node: to its Raft.
    pub ports: Vec<u16>,
    pub variant: String,
    /// For the data of this process alone.
    pub directory: String,
}

/// Say how you are, or, with `writers`, work for so long and say how it went.
#[derive(Deserialize)]
#[serde(default)]
pub struct Order {
    pub writers: usize,
    pub seconds: f64,
    pub value_bytes: usize,
    /// Linearizable reads of the value that is kept, instead of writes.
    pub reads: bool,
    /// One write, without a warm-up, and no more.
    pub once: bool,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            writers: 0,
            seconds: 0.0,
            value_bytes: 256,
            reads: false,
            once: false,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    Status(Status),
    Sample(Sample),
    Failed { error: String },
}

/// How a node is.
#[derive(Serialize)]
pub struct Status {
    pub leading: bool,
    /// Commands its state machine has been given.
    pub applied: u64,
    pub term: u64,
}

/// How a load went, seen from its writers.
#[derive(Serialize)]
pub struct Sample {
    pub operations: usize,
    pub operations_per_s: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}
