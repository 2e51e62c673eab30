//! What is known of each peer.
use std::{collections::BTreeMap, time::Duration};

use hearken_tree::{GroupId, KeyRange};
use hearken_wire::Window;

use crate::{
    Limits,
    bucket::{Bucket, Rate},
    penalty::Penalty,
    window,
};

/// Peers that are not connected and are remembered for what they did.
const REMEMBERED: usize = 1024;
/// How long what a peer said of being equal is believed.
const EQUAL_FOR: Duration = Duration::from_secs(30);

/// Spans that a peer is answered with. Each message that it asks for, or tells of, earns one: whoever repairs has always enough, and
/// whose sketches never decode gets no more of them from there on.
const SPANS: Rate = Rate { per_second: 8.0, burst: 2048.0 };

/// Refusals that a peer is sent: who asks on and on whatever it is told gets no answer at all.
pub(crate) const REFUSALS: Rate = Rate { per_second: 1.0, burst: 100.0 };

/// All peers that are connected, and those that have something on record.
pub(crate) struct Peers<P> {
    peers: BTreeMap<P, Peer>,
}

/// One peer.
pub(crate) struct Peer {
    pub(crate) connected: bool,
    pub(crate) penalty: Penalty,
    unsupported_until: Duration,
    pub(crate) groups: BTreeMap<GroupId, Standing>,
    pub(crate) forwards: Bucket,
    pub(crate) requests: Bucket,
    pub(crate) floods: Bucket,
    pub(crate) cost: Bucket,
    pub(crate) bytes: Bucket,
    spans: Bucket,
    pub(crate) refusals: Bucket,
}

/// What is known of a peer in a group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// It said that it has not joined.
    unknown_until: Duration,
    /// What it said to hold settled, and when.
    pub(crate) holds: Option<(Window, Duration)>,
    /// Where, when, and at which repair here it was equal.
    pub(crate) equal: Option<Equal>,
    /// A request to it is being made or is under way.
    pub(crate) occupied: bool,
}

/// A peer's set was equal to the one here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Equal {
    pub(crate) range: KeyRange,
    pub(crate) at: Duration,
    pub(crate) repairs: u64,
}

pub(crate) fn request_rate(limits: &Limits) -> Rate {
    let per_second = f64::from(limits.requests_rate);
    Rate { per_second, burst: per_second * 10.0 }
}

#[expect(clippy::cast_precision_loss, reason = "rates need no precision")]
pub(crate) fn cost_rate(limits: &Limits) -> Rate {
    let per_second = limits.cost_rate as f64;
    Rate { per_second, burst: per_second * 60.0 }
}

#[expect(clippy::cast_precision_loss, reason = "rates need no precision")]
pub(crate) fn bytes_rate(limits: &Limits) -> Rate {
    let per_second = limits.bytes_rate as f64;
    Rate { per_second, burst: per_second * 60.0 }
}

/// Each neighbour's share of what is forwarded.
#[expect(clippy::cast_precision_loss, reason = "rates need no precision")]
pub(crate) fn forward_rate(limits: &Limits, neighbours: usize) -> Rate {
    let per_second = f64::from(limits.forward_rate) / neighbours.max(1) as f64;
    Rate { per_second, burst: (per_second * 30.0).max(8.0) }
}

impl Peer {
    fn new(limits: &Limits, now: Duration) -> Peer {
        Peer {
            connected: false,
            penalty: Penalty::default(),
            unsupported_until: Duration::ZERO,
            groups: BTreeMap::new(),
            forwards: Bucket::full(forward_rate(limits, 1), now),
            requests: Bucket::full(request_rate(limits), now),
            floods: Bucket::full(request_rate(limits), now),
            cost: Bucket::full(cost_rate(limits), now),
            bytes: Bucket::full(bytes_rate(limits), now),
            spans: Bucket::full(SPANS, now),
            refusals: Bucket::full(REFUSALS, now),
        }
    }

    /// Spans that it may be answered with now. Who has used less than half of them gets any number at once: one request for a large
    /// difference takes many, and earns them back when it goes on.
    pub(crate) fn spans(&mut self, now: Duration) -> usize {
        let level = self.spans.level(SPANS, now);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to the burst")]
        if level >= SPANS.burst / 2.0 { usize::MAX } else { level as usize }
    }

    /// It was answered with so many spans more than it asked for or told of messages; fewer, if negative.
    pub(crate) fn answered_with(&mut self, spans: f64) {
        self.spans.drain(spans);
    }

    /// Whether it may be asked about the group.
    pub(crate) fn usable(&self, group: &GroupId, now: Duration) -> bool {
        let joined = self.groups.get(group).is_none_or(|standing| now >= standing.unknown_until);
        self.connected && joined && now >= self.unsupported_until && self.penalty.may_ask(now)
    }

    /// Whether a further request about the group has to wait for one that is under way.
    pub(crate) fn occupied(&self, group: &GroupId) -> bool {
        self.groups.get(group).is_some_and(|standing| standing.occupied)
    }

    /// Whether it may hold something in `range` that is not held here.
    pub(crate) fn promising(&self, group: &GroupId, range: &KeyRange, repairs: u64, now: Duration) -> bool {
        let Some(standing) = self.groups.get(group) else { return true };
        // Its horizon has gone on since.
        let holds = standing.holds.is_none_or(|(Window { from, to }, at)| {
            let to = to.saturating_add(window::nanos(now.saturating_sub(at)));
            window::clip(range, &Window { from, to }).is_some()
        });
        let equal = standing
            .equal
            .is_some_and(|equal| equal.repairs == repairs && now < equal.at + EQUAL_FOR && equal.range.covers(range));
        holds && !equal
    }

    /// Whether it was found equal a moment ago, and nothing has been repaired since.
    pub(crate) fn equal_by(&self, group: &GroupId, repairs: u64, now: Duration) -> bool {
        let equal = self.groups.get(group).and_then(|standing| standing.equal);
        equal.is_some_and(|equal| equal.repairs == repairs && now < equal.at + EQUAL_FOR)
    }

    pub(crate) fn standing(&mut self, group: GroupId) -> &mut Standing {
        self.groups.entry(group).or_default()
    }

    pub(crate) fn unknown_group(&mut self, group: GroupId, until: Duration) {
        self.standing(group).unknown_until = until;
    }
}

impl<P: Clone + Ord> Peers<P> {
    pub(crate) fn new() -> Peers<P> {
        Peers { peers: BTreeMap::new() }
    }

    /// True if it was not connected before.
    pub(crate) fn connect(&mut self, peer: P, limits: &Limits, now: Duration) -> bool {
        let peer = self.peers.entry(peer).or_insert_with(|| Peer::new(limits, now));
        !std::mem::replace(&mut peer.connected, true)
    }

    pub(crate) fn disconnect(&mut self, peer: &P, now: Duration) {
        let Some(entry) = self.peers.get_mut(peer) else { return };
        entry.connected = false;
        entry.groups.clear();
        // Budgets are remembered for a while: connecting anew must not fill them.
        self.prune(now);
    }

    /// Keeps memory bounded: what is not connected goes, clean ones first.
    fn prune(&mut self, now: Duration) {
        if self.peers.len() <= REMEMBERED + self.connected_count() {
            return;
        }
        self.peers.retain(|_, peer| peer.connected || !peer.penalty.clean(now));
        while self.peers.len() > REMEMBERED + self.connected_count() {
            let first = self.peers.iter().find(|(_, peer)| !peer.connected).map(|(name, _)| name.clone());
            first.map(|name| self.peers.remove(&name));
        }
    }

    pub(crate) fn unsupported(&mut self, peer: &P, until: Duration) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.unsupported_until = until;
        }
    }

    pub(crate) fn peer(&self, peer: &P) -> Option<&Peer> {
        self.peers.get(peer)
    }

    pub(crate) fn peer_mut(&mut self, peer: &P) -> Option<&mut Peer> {
        self.peers.get_mut(peer)
    }

    /// The peer, made if it is not known.
    pub(crate) fn entry(&mut self, peer: &P, limits: &Limits, now: Duration) -> &mut Peer {
        self.prune(now);
        self.peers.entry(peer.clone()).or_insert_with(|| Peer::new(limits, now))
    }

    pub(crate) fn connected(&self, peer: &P) -> bool {
        self.peers.get(peer).is_some_and(|peer| peer.connected)
    }

    /// How many are connected.
    pub(crate) fn connected_count(&self) -> usize {
        self.peers.values().filter(|peer| peer.connected).count()
    }

    /// Those that may be asked about the group.
    pub(crate) fn usable(&self, group: GroupId, now: Duration) -> impl Iterator<Item = (&P, &Peer)> {
        self.peers.iter().filter(move |(_, peer)| peer.usable(&group, now))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&P, &Peer)> {
        self.peers.iter()
    }

    /// A request to the peer is being made, or is over.
    pub(crate) fn occupy(&mut self, peer: &P, group: GroupId, occupied: bool) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.standing(group).occupied = occupied;
        }
    }
}
