//! `hearken-sim run --real`: the scenario on real nodes, in real time, in one process: real gossipsub, real streams, Noise and
//! Yamux, the driver that hosts embed. Only the wires are made up: memory, shaped as the scenario says.
//!
//! Who is connected with whom, who publishes when, and every message's key are those of the virtual run with the same seed. What
//! the nodes send is seen from outside, by reading what they write to their streams (`tap`), and counted by the same kinds.
//!
//! | module | holds |
//! | --- | --- |
//! | `stage` | the timeline: starts, stops, connects nodes, has them publish |
//! | `host` | a node: swarm, gossipsub, archive, task |
//! | `wires`, `late`, `path` | connections in memory that take time: latency, jitter, bandwidth, what is lost and sent again |
//! | `tap` | what leaves a node, by kind |
//! | `twist` | what a hostile node writes instead |
//! | `books`, `watched` | who holds what, as the archives say |

mod books;
mod host;
mod late;
mod path;
mod stage;
mod tap;
mod twist;
mod watched;
mod wires;

use std::time::Instant;

use crate::{
    run::Outcome,
    scenario::{Hostile, Protocol, Scenario},
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
    /// A node did not take other settings.
    #[error("node {node} does not take the settings: {why}")]
    Settings {
        /// Which.
        node: u32,
        /// Why not.
        why: Box<hearken::ReconfigureError>,
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
    let real = [Hostile::Silent, Hostile::Empty, Hostile::Garbage, Hostile::Forger];
    let kinds =
        scenario.nodes.iter().map(|node| &node.hostile).chain(scenario.events.iter().map(|event| &event.hostile));
    if kinds.flatten().any(|kind| !real.contains(kind)) {
        return cannot("hostile", "of hostile nodes, only silent, empty, garbage and forger are real");
    }
    Ok(())
}
