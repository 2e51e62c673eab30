//! The engine's state, for people.
use std::{fmt::Debug, time::Duration};

use hearken_tree::{GroupId, KeyRange};
use hearken_wire::Window;

use crate::{Engine, peers::Standing, window};

/// Ranges that are told of one group, or of one peer in it, at most.
const RANGES: usize = 256;

/// How things stand with a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// Which group.
    pub id: GroupId,
    /// What is compared now.
    pub window: Window,
    /// Messages in the window when it was last announced or probed.
    pub count: Option<u64>,
    /// How long ago somebody was last known to hold the same.
    pub equal_ago: Option<Duration>,
    /// Age of the horizon up to which somebody held the same then: how stale this store may be at worst.
    pub staleness: Option<Duration>,
    /// Ranges being pursued.
    pub differences: usize,
    /// The first of these ranges, in no order.
    pub differing: Vec<KeyRange>,
    /// Messages that may be missing in them, by what others said.
    pub missing: u64,
    /// Messages repaired since start.
    pub repaired: u64,
    /// What probes were sent for since start: the trigger's name, how many, and how long ago the last one.
    pub probes: Vec<(&'static str, u64, Duration)>,
    /// The current interval between announcements.
    pub interval: Duration,
    /// Announcements left out since start, because others had said the same, or enough.
    pub suppressed: u64,
}

/// How things stand with a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus<P> {
    /// Who.
    pub peer: P,
    /// Whether it is connected.
    pub connected: bool,
    /// Penalty points; 8 mute.
    pub points: u32,
    /// For how long it is still muted.
    pub muted_for: Option<Duration>,
    /// Requests to it under way.
    pub asking: usize,
    /// Requests of it being served.
    pub serving: usize,
    /// The groups of which it said something.
    pub groups: Vec<PeerGroupStatus>,
}

/// How things stand with a peer in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerGroupStatus {
    /// Which group.
    pub id: GroupId,
    /// What it said to hold.
    pub holds: Option<Window>,
    /// Where it was last found equal, and how long ago; `None` once something was repaired here since, which it may lack.
    pub equal: Option<(KeyRange, Duration)>,
    /// Ranges of which it said that they differ, and that are being pursued; the first of them.
    pub differs: Vec<KeyRange>,
}

impl<P: Clone + Ord + Debug> Engine<P> {
    /// How things stand with each group.
    pub fn group_status(&self) -> impl Iterator<Item = GroupStatus> {
        let now = self.ctx.now;
        self.groups.iter().map(move |(id, group)| {
            let since = |horizon: u64| Duration::from_nanos(now.unix.saturating_sub(horizon));
            GroupStatus {
                id: *id,
                window: window::settled(&self.ctx.config, &group.config, now.unix),
                count: group.count,
                equal_ago: group.equal.map(|(at, _)| now.monotonic.saturating_sub(at)),
                staleness: group.equal.map(|(_, horizon)| since(horizon)),
                differences: group.pursuit.len(),
                differing: group.pursuit.tasks().take(RANGES).map(|task| task.range).collect(),
                missing: group.pursuit.tasks().map(|task| task.claim()).fold(0, u64::saturating_add),
                repaired: group.repaired,
                probes: group
                    .probes
                    .iter()
                    .map(|(name, (n, at))| (*name, *n, now.monotonic.saturating_sub(*at)))
                    .collect(),
                interval: group.trickle.interval(),
                suppressed: group.trickle.suppressed(),
            }
        })
    }

    /// How things stand with each peer that is connected or has something on record.
    pub fn peer_status(&self) -> impl Iterator<Item = PeerStatus<P>> {
        let now = self.ctx.now.monotonic;
        let worth_telling = self.peers.iter().filter(move |(_, peer)| peer.connected || !peer.penalty.clean(now));
        worth_telling.map(move |(name, peer)| PeerStatus {
            peer: name.clone(),
            connected: peer.connected,
            points: peer.penalty.points(),
            muted_for: peer.penalty.muted_until(now).map(|until| until.saturating_sub(now)),
            asking: self.exchanges.values().filter(|exchange| exchange.peer == *name).count(),
            serving: self.serving.keys().filter(|(to, _)| to == name).count(),
            groups: peer.groups.iter().map(|(id, standing)| self.peer_group_status(name, *id, standing)).collect(),
        })
    }

    fn peer_group_status(&self, peer: &P, id: GroupId, standing: &Standing) -> PeerGroupStatus {
        let now = self.ctx.now.monotonic;
        let group = self.groups.get(&id);
        let equal = standing.equal.filter(|equal| group.is_some_and(|group| group.repairs == equal.repairs));
        let tasks = group.into_iter().flat_map(|group| group.pursuit.tasks());
        let told = tasks.filter(|task| task.by_word_of(peer));
        PeerGroupStatus {
            id,
            holds: standing.holds.map(|(holds, _)| holds),
            equal: equal.map(|equal| (equal.range, now.saturating_sub(equal.at))),
            differs: told.take(RANGES).map(|task| task.range).collect(),
        }
    }
}
