//! A virtual network: time, chance, links and who is linked with whom. It knows nothing of messages or engines.
//!
//! | module | holds |
//! | --- | --- |
//! | `queue` | what happens when, in an order that depends on nothing but the run itself |
//! | `dice` | chance from a seed |
//! | `links` | connections, their latency, who is reachable |
//! | `port` | how fast a node sends and receives |
//! | `regions` | typical round trips between parts of the world |
//! | `topology` | who knows whom |

pub(crate) mod dice;
pub(crate) mod links;
pub(crate) mod port;
pub(crate) mod queue;
pub(crate) mod regions;
pub(crate) mod topology;

use std::time::Duration;

/// Virtual time: nanoseconds since the run began.
pub(crate) type Nanos = u64;

/// A node's index.
pub(crate) type NodeId = u32;

/// One second.
pub(crate) const SECOND: Nanos = 1_000_000_000;

pub(crate) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// For figures that people read.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) fn seconds(time: Nanos) -> f64 {
    time as f64 / 1e9
}

/// For figures that people read.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) fn real(count: u64) -> f64 {
    count as f64
}

/// The nearest whole number of at least zero.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
pub(crate) fn whole(value: f64) -> u64 {
    value.round().max(0.0) as u64
}

/// A node's name for an index into a table of nodes.
pub(crate) fn node_id(index: usize) -> NodeId {
    NodeId::try_from(index).unwrap_or(NodeId::MAX)
}
