//! The load: closed-loop tasks in the leader's process, and how they are counted.

use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::RngCore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use crate::node::Node;
use crate::order::{Order, Sample};

const WARM_UP: Duration = Duration::from_millis(400);
/// After this a single write has failed.
const ONCE: Duration = Duration::from_secs(5);

pub async fn work(node: &Node, order: &Order) -> Result<Sample, String> {
    if !node.leads() {
        return Err("not the leader".to_owned());
    }
    let mut values = values(order.writers, order.value_bytes).await?;
    if order.once {
        return once(node, values.remove(0)).await;
    }
    if order.reads {
        node.clone().write(values.remove(0)).await?;
        let node = node.clone();
        return load(order, vec![move || node.clone().read(); order.writers]).await;
    }
    let writers = values.into_iter().map(|value| {
        let node = node.clone();
        move || node.clone().write(value.clone())
    });
    load(order, writers.collect()).await
}

/// One value for each writer: random, so that no contestant gains by compressing what no user would send.
///
/// Made in another thread: where many and large ones take longest, this node would be voted out meanwhile.
async fn values(writers: usize, value_bytes: usize) -> Result<Vec<Bytes>, String> {
    let make = move |_| {
        let mut value = vec![0; value_bytes];
        rand::thread_rng().fill_bytes(&mut value);
        value.into()
    };
    let made = spawn_blocking(move || (0..writers).map(make).collect());
    made.await.map_err(|error| error.to_string())
}

async fn once(node: &Node, value: Bytes) -> Result<Sample, String> {
    let started = Instant::now();
    timeout(ONCE, node.clone().write(value))
        .await
        .map_err(|_| format!("no outcome within {} s", ONCE.as_secs()))??;
    let took_ms = milliseconds(started.elapsed());
    Ok(Sample {
        operations: 1,
        operations_per_s: 0.0,
        p50_ms: took_ms,
        p99_ms: took_ms,
    })
}

/// Every writer repeats an operation of its own until the window closes that opens after the warm-up.
async fn load<Operation, Outcome>(order: &Order, operations: Vec<Operation>) -> Result<Sample, String>
where
    Operation: Fn() -> Outcome + Send + 'static,
    Outcome: Future<Output = Result<(), String>> + Send,
{
    let opens = Instant::now() + WARM_UP;
    let closes = opens + Duration::from_secs_f64(order.seconds);
    let mut writers: JoinSet<Result<Vec<Duration>, String>> = operations
        .into_iter()
        .map(|operation| async move {
            let mut latencies = Vec::new();
            let mut started = Instant::now();
            loop {
                operation().await?;
                let ended = Instant::now();
                if ended >= closes {
                    return Ok(latencies);
                }
                if ended >= opens {
                    latencies.push(ended - started);
                }
                started = ended;
            }
        })
        .collect();
    let mut all = Vec::new();
    while let Some(writer) = writers.join_next().await {
        all.extend(writer.map_err(|error| error.to_string())??);
    }
    Ok(sample(all, order.seconds))
}

/// What was seen. The latencies are 0 when nothing was.
fn sample(mut latencies: Vec<Duration>, seconds: f64) -> Sample {
    latencies.sort_unstable();
    Sample {
        operations: latencies.len(),
        operations_per_s: latencies.len() as f64 / seconds,
        p50_ms: milliseconds(percentile(&latencies, 50)),
        p99_ms: milliseconds(percentile(&latencies, 99)),
    }
}

/// By nearest rank, of figures in ascending order.
fn percentile(ordered: &[Duration], percent: usize) -> Duration {
    let rank = (ordered.len() * percent).div_ceil(100);
    rank.checked_sub(1).map_or(Duration::ZERO, |place| ordered[place])
}

fn milliseconds(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}
