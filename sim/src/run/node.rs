//! One node: the real engine, and what a driver keeps for it.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use hearken_scheduler::{Config, Engine, GroupConfig, Now};
use hearken_wire::RequestId;

use super::{
    baseline::Baseline,
    ledger::{EPOCH, MessageId},
    measure::Counters,
    recovery::Recovery,
    store::Store,
};
use crate::{
    net::{Nanos, NodeId, nanos, port::Port},
    scenario::Hostile,
};

/// One node.
pub(crate) struct Node {
    /// Running; `None` while it is down, or where the engine is not what synchronises.
    pub(crate) engine: Option<Box<Engine<NodeId>>>,
    /// What does so instead.
    pub(crate) baseline: Option<Box<dyn Baseline>>,
    pub(crate) up: bool,
    pub(crate) config: Config,
    pub(crate) group: GroupConfig,
    /// Of nodes with the same window.
    pub(crate) class: usize,
    pub(crate) store: Store,
    /// When it will be woken.
    pub(crate) wake: Option<Nanos>,
    /// Its clock is ahead by so much.
    pub(crate) skew: i64,
    /// On which side of a partition it is.
    pub(crate) part: u32,
    pub(crate) port: Port,
    /// What it is streaming.
    pub(crate) streams: BTreeMap<(NodeId, RequestId), Stream>,
    /// Which round trip each of its requests is.
    pub(crate) trips: BTreeMap<RequestId, u64>,
    /// Of the request whose answer is being handled.
    pub(crate) trip: u64,
    /// Requests sent now follow from that answer.
    pub(crate) follows: bool,
    /// Announcements whose verdict is awaited, and who forwarded them.
    pub(crate) judging: Vec<(u32, NodeId)>,
    pub(crate) recovery: Option<Recovery>,
    /// Share of messages that it refuses.
    pub(crate) refuses: f64,
    /// What it does to harm others.
    pub(crate) hostile: Option<Hostile>,
    /// Nothing can be stored.
    pub(crate) disk_full: bool,
    /// What came lately, where a crash may lose it.
    pub(crate) recent: VecDeque<(Nanos, MessageId)>,
    pub(crate) counters: Counters,
}

/// Messages on their way to a peer that asked.
pub(crate) struct Stream {
    pub(crate) messages: Vec<MessageId>,
    pub(crate) next: usize,
    pub(crate) bytes: u64,
}

impl Node {
    pub(crate) fn unix(&self, now: Nanos) -> u64 {
        (EPOCH + now).saturating_add_signed(self.skew)
    }

    pub(crate) fn clock(&self, now: Nanos) -> Now {
        Now { monotonic: Duration::from_nanos(now), unix: self.unix(now) }
    }

    /// What is older is not kept.
    pub(crate) fn retained(&self, now: Nanos) -> u64 {
        self.unix(now).saturating_sub(nanos(self.group.retention))
    }

    /// What is older is not asked for.
    pub(crate) fn window_start(&self, now: Nanos) -> u64 {
        let horizon = self.unix(now).saturating_sub(nanos(self.config.settle_delay));
        horizon.saturating_sub(nanos(self.group.window + 2 * self.config.horizon_grid))
    }
}
