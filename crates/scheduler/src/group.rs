//! A group's part of the engine's state.
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use hearken_tree::KeyRange;
use hearken_wire::{Salt, ShortFingerprint};

use crate::{
    GroupConfig,
    bucket::Bucket,
    context::Context,
    following::Tail,
    hearing::{belief_rate, hint_rate},
    pursuit::Pursuit,
    telling::Vain,
    trickle::Trickle,
};

/// Ranges remembered that were asked for whole and came.
const TAKEN: usize = 64;
/// Announcements remembered, so that a replay is known as one.
const HEARD: usize = 256;
/// Periodic probes in a row that may be left out.
const MOST_SKIPPED: u32 = 3;
/// How long after a repair a probe that waited for it is sent: neighbours repair at about the same time.
const AFTER_REPAIR: Duration = Duration::from_secs(2);

pub(crate) struct Group<P> {
    pub(crate) config: GroupConfig,
    pub(crate) trickle: Trickle,
    pub(crate) pursuit: Pursuit<P>,
    /// When the next periodic probe is due.
    pub(crate) probe_at: Duration,
    /// Probes in a row that were left out, since neighbours had confirmed what is held here anyway.
    pub(crate) skipped: u32,
    /// A periodic probe waits for the next repair.
    awaits_repair: bool,
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
    /// How many more rumours may turn out to be unfounded.
    pub(crate) belief: Bucket,
    /// From when a costly rumour leads to a probe again.
    pub(crate) doubt_at: Duration,
    /// From when a neighbour that connects is probed again.
    pub(crate) greet_at: Duration,
    /// Batches that stored something: what was equal before may not be now.
    pub(crate) repairs: u64,
    /// Ranges that were asked for whole and came lately, each with the repairs until then.
    taken: VecDeque<(u64, KeyRange)>,
    /// An announcement is being made.
    pub(crate) announcing: bool,
    /// How many spans fit the budget, as far as known.
    pub(crate) spans: usize,
    /// Announcements being compared.
    pub(crate) comparing: usize,
    /// What sketches have shown lately.
    pub(crate) hidden: Hidden,
    /// The same where several spans were taken together, by how many differences their counts show.
    pub(crate) hidden_together: [Hidden; 3],
    /// When something was last repaired, or a neighbour found equal.
    pub(crate) synced_at: Option<Duration>,
    heard: VecDeque<(Salt, ShortFingerprint)>,
    /// Announcements forwarded lately, and from whom.
    forwarded: VecDeque<(Duration, P)>,
    /// When a neighbour was last known to be equal, and up to which horizon.
    pub(crate) equal: Option<(Duration, u64)>,
    /// Peers that are to be probed.
    pub(crate) suspects: BTreeMap<P, Suspect>,
    /// Messages in the window when it was last summarised.
    pub(crate) count: Option<u64>,
    /// Messages in the window of who announced last, by its word.
    pub(crate) told: u64,
    /// Messages repaired since start.
    pub(crate) repaired: u64,
    /// Who may take part; `None`: everybody.
    pub(crate) allowed: Option<BTreeSet<P>>,
    /// What else may be missing after a repair.
    pub(crate) tail: Tail<P>,
    /// Who lacks what was missing here as well.
    pub(crate) vain: Vain<P>,
    /// Probes sent since start, by their trigger's name: how many, and when the last one.
    pub(crate) probes: BTreeMap<&'static str, (u64, Duration)>,
}

/// A peer that is to be probed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suspect {
    /// When to ask it at the latest, if there is still a reason then.
    pub(crate) at: Duration,
    pub(crate) why: Doubt,
}

/// Why a peer is to be probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// By its probe it holds so many messages more than this node, less those that its sketches told since.
    HoldsMore(i64),
    /// What it said has not been followed, since something else was being asked about there: it is probed as soon as that is over.
    LeftOut,
    /// What it said was false, or its sketches are to tell. Nothing that it tells changes that.
    Unsettled,
}

/// How many differences a range has beyond those that its counts show, averaged over the last sketches.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hidden(f64);

impl Hidden {
    /// A sketch decoded: so many are missing here, and there.
    pub(crate) fn decoded(&mut self, here: u64, there: u64) {
        self.note(2 * here.min(there));
    }

    /// A sketch had too little room.
    pub(crate) fn overflowed(&mut self, capacity: u64) {
        self.note(capacity.min(16));
    }

    /// Room to leave for them.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to some 22")]
    pub(crate) fn margin(self) -> u64 {
        if self.0 < 0.25 { 0 } else { (self.0 + 1.5 * self.0.sqrt()).round() as u64 }
    }

    /// So many on average, rounded up.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 16")]
    pub(crate) fn mean(self) -> u64 {
        (self.0 - 0.25).ceil().max(0.0) as u64
    }

    /// A range had so many.
    #[expect(clippy::cast_precision_loss, reason = "small")]
    pub(crate) fn note(&mut self, hidden: u64) {
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
            awaits_repair: false,
            refreshed: false,
            idle_at: now + ctx.config.idle_trigger,
            booted: false,
            wanted: None,
            greet_at: now,
            hints: Bucket::full(hint_rate(&ctx.config), now),
            belief: Bucket::full(belief_rate(&ctx.config), now),
            doubt_at: now,
            repairs: 0,
            taken: VecDeque::new(),
            announcing: false,
            spans: hearken_wire::likely_spans(ctx.config.summary_budget).max(1),
            comparing: 0,
            hidden: Hidden::default(),
            hidden_together: [Hidden::default(); 3],
            synced_at: None,
            heard: VecDeque::new(),
            forwarded: VecDeque::new(),
            equal: None,
            suspects: BTreeMap::new(),
            count: None,
            told: 0,
            repaired: 0,
            allowed: None,
            tail: Tail::new(),
            vain: Vain::new(),
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

    /// What sketches of spans taken together have shown where their counts showed so many differences.
    pub(crate) fn hidden_beyond(&mut self, apart: u64) -> &mut Hidden {
        let [few, some, many] = &mut self.hidden_together;
        match apart {
            0..=2 => few,
            3..=6 => some,
            _ => many,
        }
    }

    /// What was asked for whole in this range has come.
    pub(crate) fn took(&mut self, range: KeyRange) {
        if self.taken.len() >= TAKEN {
            self.taken.pop_front();
        }
        self.taken.push_back((self.repairs, range));
    }

    /// Whether a part of this range has come whole since there were so many `repairs`: what was missing here then may be here now.
    pub(crate) fn took_since(&self, range: &KeyRange, repairs: u64) -> bool {
        self.taken.iter().any(|(at, taken)| *at > repairs && taken.intersection(range).is_some())
    }

    /// Whether the peer may take part.
    pub(crate) fn allows(&self, peer: &P) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.contains(peer))
    }

    /// Whether a neighbour's store was just found equal, or made so.
    pub(crate) fn fresh(&self, now: Duration) -> bool {
        self.synced_at.is_some_and(|at| now < at + self.trickle.interval() / 3)
    }

    /// A periodic probe is due. Whether it is to be sent now: while repairs come in, it waits for the next of them, since before
    /// it would find what is about to be repaired anyway; and if none comes, for an interval.
    pub(crate) fn probe_now(&mut self, ctx: &mut Context<P>) -> bool {
        let now = ctx.now.monotonic;
        let repairing = self.refreshed && !self.fresh(now);
        self.schedule_probe(ctx);
        if std::mem::take(&mut self.awaits_repair) {
            return true;
        }
        let needed = self.needs_probe();
        if needed && repairing {
            self.awaits_repair = true;
            self.probe_at = now + self.trickle.interval();
        }
        needed && !repairing
    }

    /// Something was repaired: a probe that waited for it comes a moment after the last of it.
    pub(crate) fn probe_soon(&mut self, now: Duration) {
        if self.awaits_repair {
            self.probe_at = now + AFTER_REPAIR;
        }
    }

    /// Whether a periodic probe that is due is needed: while repairs come in, one in four is enough.
    fn needs_probe(&mut self) -> bool {
        let skip = std::mem::take(&mut self.refreshed) && self.skipped < MOST_SKIPPED;
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

    /// Whether one more announcement of those that came from this neighbour is forwarded, out of `most` in each `within`. Who
    /// takes more than twice what is left has had its share (the dynamic threshold of Choudhury and Hahne, "Dynamic queue
    /// length thresholds for shared-memory packet switches", 1998): however many flood, something is left for the others.
    pub(crate) fn forwards(&mut self, from: &P, most: usize, within: Duration, now: Duration) -> bool {
        while self.forwarded.front().is_some_and(|(at, _)| *at + within <= now) {
            self.forwarded.pop_front();
        }
        let taken = self.forwarded.iter().filter(|(_, peer)| peer == from).count();
        let fits = taken < 2 * most.saturating_sub(self.forwarded.len());
        if fits {
            self.forwarded.push_back((now, from.clone()));
        }
        fits
    }

    /// The difference is real: announce at the shortest interval for a while.
    pub(crate) fn confirmed(&mut self, ctx: &mut Context<P>) {
        self.trickle.reset(&ctx.config, ctx.now.monotonic, &mut ctx.rng);
    }
}
