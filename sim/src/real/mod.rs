//! `hearken-sim run --real`: the scenario on real nodes, in real time, in one process: real gossipsub, real streams, Noise and
//! Yamux, the driver that hosts embed. Only the wires are made up: memory, with the latency that the scenario gives each link.
//!
//! Who is connected with whom, who publishes when, and every message's key are those of the virtual run with the same seed. What
//! the nodes send is seen from outside, by reading what they write to their streams (`tap`), and counted by the same kinds.
//!
//! | module | holds |
//! | --- | --- |
//! | `stage` | the timeline: starts, stops, connects nodes, has them publish |
//! | `host` | a node: swarm, gossipsub, archive, task |
//! | `wires`, `late` | connections in memory that take time |
//! | `tap` | what leaves a node, by kind |
//! | `books`, `watched` | who holds what, as the archives say |

mod books;
mod host;
mod late;
mod stage;
mod tap;
mod watched;
mod wires;

use std::time::Instant;

use crate::{
    run::Outcome,
    scenario::{EventKind, Protocol, Scenario},
};

/// Nodes at most: more would not find time to do what they do on a machine that people have.
const NODES: usize = 64;

/// A real run that could not be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RealError {
    /// The scenario has what real nodes in one process cannot do.
    #[error("`{key}`: real nodes cannot do that here: {why}; leave out --real, or change it with --set")]
    Cannot {
        /// Which setting.
        key: String,
        /// Why not.
        why: &'static str,
    },
    /// A node could not be started.
    #[error("node {node} could not be started: {why}")]
    Start {
        /// Which.
        node: u32,
        /// Why.
        why: String,
    },
    /// The runtime could not be started.
    #[error("the runtime could not be started: {0}")]
    Runtime(#[from] std::io::Error),
}

/// Runs a scenario on real nodes to its end: takes as long as it says.
///
/// # Errors
/// What real nodes cannot do, or a node that does not start.
pub fn run(scenario: &Scenario, show: bool) -> Result<Outcome, RealError> {
    possible(scenario)?;
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(stage::play(scenario, show))?;
    runtime.shutdown_background();
    Ok(outcome.timed(began.elapsed().as_secs_f64()).check(&scenario.expect))
}

/// Refuses what has no counterpart here, rather than leave it out silently.
fn possible(scenario: &Scenario) -> Result<(), RealError> {
    let cannot = |key: &str, why| Err(RealError::Cannot { key: key.to_owned(), why });
    let network = &scenario.network;
    if network.nodes > NODES {
        return cannot("network.nodes", "64 are what one process has time for");
    }
    if !matches!(scenario.protocol, Protocol::Hearken | Protocol::None) {
        return cannot("protocol", "what Hearken is compared with runs on virtual nodes only");
    }
    let limited = network.upload.0 + network.download.0 > 0;
    if limited || scenario.nodes.iter().any(|node| node.upload.or(node.download).is_some()) {
        return cannot("network.upload", "memory has no bandwidth");
    }
    if network.loss > 0.0 {
        return cannot("network.loss", "memory loses nothing; gossipsub.delivery_loss can be had");
    }
    if !network.jitter.is_zero() {
        return cannot("network.jitter", "each wire takes the same time always");
    }
    if scenario.nodes.iter().any(|node| !node.hostile.is_empty()) {
        return cannot("node.hostile", "real nodes are honest");
    }
    for (index, event) in scenario.events.iter().enumerate() {
        let key = |name| format!("event.{index}.{name}");
        match event.kind {
            EventKind::Slow if event.upload.is_some() => return cannot(&key("upload"), "memory has no bandwidth"),
            EventKind::Loss if event.loss.is_some() => return cannot(&key("loss"), "memory loses nothing"),
            EventKind::Settings => return cannot(&key("kind"), "a node's settings are read when it starts"),
            EventKind::Crash if event.undurable.is_some() => {
                return cannot(&key("undurable"), "archives in memory are durable at once");
            }
            _ => {}
        }
    }
    Ok(())
}
