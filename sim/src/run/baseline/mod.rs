//! What Hearken is compared with: other ways to keep stores equal, in the same network.
//!
//! A [`Baseline`] is one node's part of one, without sockets, clocks or disk, as the engine is. Its messages travel over the same
//! links, the messages it delivers in the same frames at the same pace, so that what differs is how differences are found.
//!
//! | module | holds |
//! | --- | --- |
//! | `drive` | carries out what baselines want done |
//! | `rounds` | one neighbour at a time, at a fixed interval: what all of them have in common |
//! | `full_ids` | all ids, each time |
//! | `polling` | the `negentropy` crate |
//! | `ranges`, `payload` | range-based reconciliation with XOR fingerprints, as nwaku has it, and its encoding |

mod drive;
mod full_ids;
mod payload;
mod polling;
mod ranges;
mod rounds;

use hearken_scheduler::View;
use hearken_tree::{Key, KeyRange};

use super::measure::Kind;
use crate::{
    net::{Nanos, NodeId, dice::Dice},
    scenario::{Polling, Protocol},
};

/// One node's part of a way to keep stores equal.
pub(crate) trait Baseline {
    /// A neighbour is there.
    fn connected(&mut self, peer: NodeId);

    /// A neighbour is gone, and what was under way with it.
    fn disconnected(&mut self, peer: NodeId);

    /// When it wants to be woken.
    fn deadline(&self) -> Nanos;

    /// The deadline has come.
    fn wake(&mut self, host: &mut Host<'_>);

    /// A neighbour sends something. What cannot be read is forgotten: nobody lies to a baseline.
    fn receive(&mut self, from: NodeId, body: &[u8], host: &mut Host<'_>);
}

/// One node's part of `protocol`; `None` where nothing is done, or where the engine does it.
pub(crate) fn start(protocol: Protocol, settings: &Polling, now: Nanos, dice: &mut Dice) -> Option<Box<dyn Baseline>> {
    let rounds = rounds::Rounds::start(settings, now, dice);
    match protocol {
        Protocol::Hearken | Protocol::None => None,
        Protocol::FullIds => Some(Box::new(full_ids::FullIds::new(rounds))),
        Protocol::Negentropy => Some(Box::new(polling::Negentropies::new(rounds))),
        Protocol::Nwaku => Some(Box::new(ranges::Ranges::new(rounds, settings))),
    }
}

/// What a baseline sees of its node, and what it wants done.
pub(crate) struct Host<'a> {
    pub(crate) now: Nanos,
    /// The node's wall clock, nanoseconds since the Unix epoch.
    pub(crate) unix: u64,
    pub(crate) dice: &'a mut Dice,
    view: View,
    out: Vec<Out>,
}

enum Out {
    Send { to: NodeId, kind: Kind, body: Vec<u8> },
    Deliver { to: NodeId, keys: Vec<Key>, trips: u64 },
}

impl Host<'_> {
    /// What the node holds, refused messages included, from one time up to, but not including, another.
    fn keys(&self, from: u64, to: u64) -> Vec<Key> {
        // An index in memory does not fail.
        self.view.held.keys(&KeyRange::between(from, to)).filter_map(Result::ok).collect()
    }

    fn send(&mut self, to: NodeId, kind: Kind, body: Vec<u8>) {
        self.out.push(Out::Send { to, kind, body });
    }

    /// Sends messages; `trips` round trips led to that.
    fn deliver(&mut self, to: NodeId, keys: Vec<Key>, trips: u64) {
        if !keys.is_empty() {
            self.out.push(Out::Deliver { to, keys, trips });
        }
    }
}

/// Ids one after the other.
fn write_ids(body: &mut Vec<u8>, ids: impl IntoIterator<Item = [u8; 32]>) {
    ids.into_iter().for_each(|id| body.extend_from_slice(&id));
}

fn read_ids(body: &[u8]) -> Vec<[u8; 32]> {
    body.chunks_exact(32).filter_map(|id| id.try_into().ok()).collect()
}

/// Two times.
fn read_bounds(body: &[u8]) -> Option<(u64, u64, &[u8])> {
    let (from, rest) = body.split_first_chunk()?;
    let (to, rest) = rest.split_first_chunk()?;
    Some((u64::from_be_bytes(*from), u64::from_be_bytes(*to), rest))
}
