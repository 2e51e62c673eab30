//! A group's part of the engine's state.
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use hearken_wire::{Salt, ShortFingerprint};

use crate::{
    GroupConfig, bucket::Bucket, context::Context, following::Tail, hearing::hint_rate, pursuit::Pursuit,
    trickle::Trickle,
};

/// Announcements remembered, so that a replay is known as one.
const HEARD: usize = 256;

pub(crate) struct Group<P> {
    pub(crate) config: GroupConfig,
    pub(crate) trickle: Trickle,
    pub(crate) pursuit: Pursuit<P>,
    /// When the next periodic probe is due.
    pub(crate) probe_at: Duration,
    /// Probes in a row that were left out, since neighbours had confirmed what is held here anyway.
    pub(crate) skipped: u32,
    /// Something was repaired since the last periodic probe.
    pub(crate) refreshed: bool,
    /// When the group counts as idle.
    pub(crate) idle_at: Duration,
    /// A probe has been sent since start.
    pub(crate) booted: bool,
    /// A probe is wanted and nobody could be asked yet.
    pub(crate) wanted: Option<crate::Trigger>,
    /// What following rumours may still cost.
    pub(crate) hints: Bucket,
    /// From when a costly rumour leads to a probe again.
    pub(crate) doubt_at: Duration,
    /// From when a neighbour that connects is probed again.
    pub(crate) greet_at: Duration,
    /// Batches that stored something: what was equal before may not be now.
    pub(crate) repairs: u64,
    /// An announcement is being made.
    pub(crate) announcing: bool,
    /// How many spans fit the budget, as far as known.
    pub(crate) spans: usize,
    /// Announcements being compared.
    pub(crate) comparing: usize,
    /// What sketches have shown lately.
    pub(crate) hidden: Hidden,
    /// When something was last repaired, or a neighbour found equal.
    pub(crate) synced_at: Option<Duration>,
    heard: VecDeque<(Salt, ShortFingerprint)>,
    /// When a neighbour was last known to be equal, and up to which horizon.
    pub(crate) equal: Option<(Duration, u64)>,
    /// Peers that hold more than this node.
    pub(crate) suspects: BTreeMap<P, Suspect>,
    /// Messages in the window when it was last summarised.
    pub(crate) count: Option<u64>,
    /// Messages repaired since start.
    pub(crate) repaired: u64,
    /// Who may take part; `None`: everybody.
    pub(crate) allowed: Option<BTreeSet<P>>,
    /// What else may be missing after a repair.
    pub(crate) tail: Tail<P>,
    /// Probes sent since start, by their trigger's name: how many, and when the last one.
    pub(crate) probes: BTreeMap<&'static str, (u64, Duration)>,
}

/// A peer that holds more than this node, by what its probe said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suspect {
    /// When to ask it, if it has not told until then.
    pub(crate) at: Duration,
    /// How many messages more it holds, less those that its sketches told since.
    pub(crate) excess: i64,
}

/// How many differences a range has beyond those that its counts show, averaged over the last sketches.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hidden(f64);

impl Hidden {
    /// A sketch decoded: so many are missing here, and there.
    pub(crate) fn decoded(&mut self, here: u64, there: u64) {
        self.add(2 * here.min(there));
    }

    /// A sketch had too little room.
    pub(crate) fn overflowed(&mut self, capacity: u64) {
        self.add(capacity.min(16));
    }

    /// Room to leave for them.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to some 22")]
    pub(crate) fn margin(self) -> u64 {
        if self.0 < 0.25 { 0 } else { (self.0 + 1.5 * self.0.sqrt()).round() as u64 }
    }

    #[expect(clippy::cast_precision_loss, reason = "small")]
    fn add(&mut self, hidden: u64) {
        self.0 += (hidden.min(16) as f64 - self.0) / 8.0;
    }
}

impl<P: Clone + Ord> Group<P> {
    pub(crate) fn new(config: GroupConfig, ctx: &mut Context<P>) -> Group<P> {
        let now = ctx.now.monotonic;
        let trickle = Trickle::new(&ctx.config, now, &mut ctx.rng);
        let mut group = Group {
            config,
            trickle,
            pursuit: Pursuit::new(),
            probe_at: now,
            skipped: 0,
            refreshed: false,
            idle_at: now + ctx.config.idle_trigger,
            booted: false,
            wanted: None,
            greet_at: now,
            hints: Bucket::full(hint_rate(&ctx.config), now),
            doubt_at: now,
            repairs: 0,
            announcing: false,
            spans: hearken_wire::likely_spans(ctx.config.summary_budget).max(1),
            comparing: 0,
            hidden: Hidden::default(),
            synced_at: None,
            heard: VecDeque::new(),
            equal: None,
            suspects: BTreeMap::new(),
            count: None,
            repaired: 0,
            allowed: None,
            tail: Tail::new(),
            probes: BTreeMap::new(),
        };
        group.schedule_probe(ctx);
        group
    }

    /// The next periodic probe: once an interval, not in step with others.
    pub(crate) fn schedule_probe(&mut self, ctx: &mut Context<P>) {
        let around = rand::RngExt::random_range(&mut ctx.rng, 0.75..1.25);
        self.probe_at = ctx.now.monotonic + self.trickle.interval().mul_f64(around);
    }

    /// Whether the peer may take part.
    pub(crate) fn allows(&self, peer: &P) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.contains(peer))
    }

    /// Whether a neighbour's store was just found equal, or made so.
    pub(crate) fn fresh(&self, now: Duration) -> bool {
        self.synced_at.is_some_and(|at| now < at + self.trickle.interval() / 3)
    }

    /// A periodic probe is due. Whether it is needed: while repairs come in, every second is enough.
    pub(crate) fn needs_probe(&mut self) -> bool {
        let skip = std::mem::take(&mut self.refreshed) && self.skipped < 1;
        self.skipped = if skip { self.skipped + 1 } else { 0 };
        !skip
    }

    /// Whether this announcement was heard before; remembers it.
    pub(crate) fn heard_before(&mut self, salt: Salt, root: ShortFingerprint) -> bool {
        if self.heard.contains(&(salt, root)) {
            return true;
        }
        if self.heard.len() >= HEARD {
            self.heard.pop_front();
        }
        self.heard.push_back((salt, root));
        false
    }

    /// The difference is real: announce at the shortest interval for a while.
    pub(crate) fn confirmed(&mut self, ctx: &mut Context<P>) {
        self.trickle.reset(&ctx.config, ctx.now.monotonic, &mut ctx.rng);
    }
}
