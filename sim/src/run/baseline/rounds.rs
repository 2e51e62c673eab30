//! One neighbour at a time, at a fixed interval.

use super::Host;
use crate::{
    net::{Nanos, NodeId, dice::Dice, nanos},
    scenario::Polling,
};

/// When to poll, whom, and what about.
pub(super) struct Rounds {
    interval: Nanos,
    window: Nanos,
    settle: Nanos,
    next: Nanos,
    peers: Vec<NodeId>,
}

impl Rounds {
    /// Nodes start at any time, so the first round comes at any time within an interval.
    pub(super) fn start(settings: &Polling, now: Nanos, dice: &mut Dice) -> Rounds {
        let interval = nanos(settings.interval).max(1);
        let (window, settle) = (nanos(settings.window), nanos(settings.settle_delay));
        Rounds { interval, window, settle, next: now + dice.below(interval), peers: Vec::new() }
    }

    pub(super) fn connected(&mut self, peer: NodeId) {
        if !self.peers.contains(&peer) {
            self.peers.push(peer);
        }
    }

    pub(super) fn disconnected(&mut self, peer: NodeId) {
        self.peers.retain(|other| *other != peer);
    }

    pub(super) fn deadline(&self) -> Nanos {
        self.next
    }

    /// The next round: with whom, and the times between which messages are compared.
    pub(super) fn begin(&mut self, host: &mut Host<'_>) -> Option<(NodeId, u64, u64)> {
        self.next = host.now + self.interval;
        if self.peers.is_empty() {
            return None;
        }
        let peer = self.peers[host.dice.index(self.peers.len())];
        let to = host.unix.saturating_sub(self.settle);
        Some((peer, to.saturating_sub(self.window), to))
    }
}
