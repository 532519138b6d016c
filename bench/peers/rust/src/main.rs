//! One node of openraft, with its log in memory or in a file, and a transport over TCP.

mod entries;
mod group;
mod journal;
mod load;
mod network;
mod node;
mod order;
mod register;
mod server;
mod store;
mod wire;

use std::error::Error;
use std::io::{BufRead, stdin};

use bytes::Bytes;
use mimalloc::MiMalloc;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use node::Node;
use order::{Answer, Order, Spec};

/// With the one of the system a write takes 1.0 to 1.2 times the processor time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

openraft::declare_raft_types!(
    pub Types:
        D = Command,
        R = (),
        SnapshotData = std::io::Cursor<Vec<u8>>,
);

/// What the state machine is given: values to keep, the last for longest.
#[derive(Clone, Serialize, Deserialize)]
pub enum Command {
    Value(Bytes),
    Values(Vec<Bytes>),
}

type Fault = Box<dyn Error + Send + Sync>;

async fn answer(node: &Node, order: &Order) -> Answer {
    if order.writers == 0 {
        return Answer::Status(node.status());
    }
    match load::work(node, order).await {
        Ok(sample) => Answer::Sample(sample),
        Err(error) => Answer::Failed { error },
    }
}

/// The lines of standard input, read in a thread of their own: a runtime that is shut down does not wait for one.
fn lines() -> mpsc::UnboundedReceiver<String> {
    let (sender, lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        stdin()
            .lock()
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| sender.send(line))
    });
    lines
}

async fn run(spec: Spec) -> Result<(), Fault> {
    let node = Node::start(&spec).await?;
    let mut lines = lines();
    while let Some(line) = lines.recv().await {
        let order = serde_json::from_str(&line)?;
        println!("{}", serde_json::to_string(&answer(&node, &order).await)?);
    }
    node.stop().await
}

/// In one thread: three processes share two cores, and with two a write takes 1.1 to 2.3 times the processor time.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fault> {
    let text = std::env::args().nth(1).ok_or("usage: openraft SPEC")?;
    run(serde_json::from_str(&text)?).await
}
