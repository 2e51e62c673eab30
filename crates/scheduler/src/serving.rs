//! Serving: what a neighbour wants, within its budget.
use std::fmt::Debug;

use hearken_tree::{GroupId, KeyRange};
use hearken_wire::{Answer, Ask, Frame, RangeWant, Refusal, RefusalReason, RequestId, Verdict, Want, Window};

use crate::{
    Action, Difference, Engine, Job, Offence, Selection, ServeOutcome, Trigger,
    answers::confirms,
    bucket::cap_rate,
    exchange::{Asked, Exchange, Kind, Purpose},
    group::{Doubt, Suspect},
    job::{FINER_SPANS, cost as cost_of},
    metrics,
    peers::{REFUSALS, bytes_rate, cost_rate, request_rate},
    pending::{Asker, Pending, WantHead},
    pursuit::{Source, Way},
    window,
};

/// How long a requester that holds more than this node has to tell what, by its sketches, before it is asked; a quarter of
/// the shortest interval if that is less.
const YIELD: std::time::Duration = std::time::Duration::from_secs(1);
/// Cost units of the smallest request.
const LEAST_COST: f64 = 10_000.0;

/// What may be served of a request.
struct Admitted {
    /// What is settled here.
    within: Window,
    /// Cost units that may be spent.
    budget: u64,
    /// Finer spans that may be answered with.
    spans: usize,
}

/// A request being served.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Serving {
    streaming: bool,
    cancelled: bool,
}

impl<P: Clone + Ord + Debug> Engine<P> {
    pub(crate) fn on_want(&mut self, from: P, want: Want) {
        let key = (from.clone(), want.request);
        if self.serving.contains_key(&key) {
            return self.offend(&from, Offence::Nonsense);
        }
        match self.admit_request(&from, &want) {
            Err(reason) => self.refuse(from, want.request, reason),
            Ok(Admitted { within, budget, spans }) => {
                self.yield_to(&from, &want);
                self.serving.insert(key, Serving::default());
                let group = want.group;
                let repairs = self.groups.get(&group).map_or(0, |group| group.repairs);
                let asker = Asker { peer: from, want: WantHead::of(&want), holds: within, repairs };
                self.index(group, Job::Answer { want, within: within.keys(), budget, spans }, Pending::Answer(asker));
            }
        }
    }

    /// Where two nodes probe each other at the same time, only the one that holds less goes on, or else the one with the lower
    /// salt: one exchange of sketches tells both. Not a second time, when what it was to tell is looked at: who probes without end
    /// and never goes on would keep this node waiting.
    fn yield_to(&mut self, from: &P, want: &Want) {
        let Some(RangeWant { ask: Ask::Check(theirs), .. }) = want.ranges.only() else { return };
        let open = |e: &&mut Exchange<P>| e.group == want.group && e.peer == *from && !e.answered;
        let first = |e: &&mut Exchange<P>| e.purpose != Purpose::Probe(Trigger::Suspect);
        for probe in self.exchanges.values_mut().filter(open).filter(first) {
            if let ([Asked { kind: Kind::Check { ours }, .. }], []) = (probe.asked.as_slice(), probe.tasks.as_slice()) {
                probe.yielded |= (*ours, probe.salt) > (theirs.count, want.salt);
            }
        }
    }

    /// What may be served of the request.
    #[expect(clippy::cast_precision_loss, reason = "budgets need no precision")]
    fn admit_request(&mut self, from: &P, want: &Want) -> Result<Admitted, RefusalReason> {
        let now = self.ctx.now;
        let limits = &self.ctx.config.limits;
        let of_peer = self.serving.keys().filter(|(peer, _)| peer == from).count();
        let peer = self.peers.entry(from, limits, now.monotonic);
        if peer.penalty.muted(now.monotonic) {
            return Err(RefusalReason::RateLimited);
        }
        if !peer.requests.take(1.0, request_rate(limits), now.monotonic) {
            if !peer.floods.take(1.0, request_rate(limits), now.monotonic) {
                self.offend(from, Offence::Flood);
            }
            return Err(RefusalReason::RateLimited);
        }
        let group = self.groups.get(&want.group).filter(|group| group.allows(from));
        let group = group.ok_or(RefusalReason::UnknownGroup)?;
        if self.serving.len() >= limits.serving || of_peer >= limits.serving_per_peer {
            return Err(RefusalReason::Busy);
        }
        let cost = peer.cost.level(cost_rate(limits), now.monotonic);
        let bytes = peer.bytes.level(bytes_rate(limits), now.monotonic);
        // Where no range is too costly by itself, to narrow it down would only cost more: the request has to wait.
        let takes = want.ranges.iter().map(|range| cost_of(&range)).fold(0, u64::saturating_add);
        let takes = (takes.min(limits.request_cost) as f64).max(LEAST_COST).min(cost_rate(limits).burst);
        if cost < takes || bytes <= 0.0 {
            tracing::debug!(peer = ?from, cost, takes, bytes, "a peer has used up its budget");
            return Err(RefusalReason::RateLimited);
        }
        if self.upload.level(cap_rate(limits.upload_rate), now.monotonic) <= 0.0 {
            return Err(RefusalReason::Busy);
        }
        peer.standing(want.group).holds = Some((want.holds, now.monotonic));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at least LEAST_COST, and saturates"
        )]
        let budget = limits.request_cost.min(cost as u64);
        let spans = peer.spans(now.monotonic);
        Ok(Admitted { within: window::comparable(&self.ctx.config, &group.config, now.unix), budget, spans })
    }

    fn refuse(&mut self, to: P, request: RequestId, reason: RefusalReason) {
        metrics::refusing(reason);
        let now = self.ctx.now.monotonic;
        if self.peers.peer_mut(&to).is_some_and(|peer| !peer.refusals.take(1.0, REFUSALS, now)) {
            return;
        }
        self.ctx.emit(Action::Send { to, frame: Frame::Refusal(Refusal { request, reason }) });
    }

    #[expect(clippy::cast_precision_loss, reason = "budgets need no precision")]
    pub(crate) fn answered(
        &mut self,
        id: GroupId,
        asker: Asker<P>,
        verdicts: Vec<Verdict>,
        selection: Vec<Selection>,
        cost: u64,
    ) {
        let Asker { peer, want, holds, repairs } = asker;
        let mut spans = usize::MAX;
        if let Some(peer) = self.peers.peer_mut(&peer) {
            peer.cost.charge(cost as f64);
            peer.answered_with(verdicts.iter().map(futile).sum());
            spans = peer.spans(self.ctx.now.monotonic);
        }
        // A way down would lead nowhere.
        if spans < FINER_SPANS && verdicts.iter().all(|verdict| *verdict == Verdict::TooCostly) {
            tracing::debug!(?peer, "a peer has used up its spans");
            self.serving.remove(&(peer.clone(), want.request));
            return self.refuse(peer, want.request, RefusalReason::RateLimited);
        }
        let key = (peer.clone(), want.request);
        let Some(serving) = self.serving.get_mut(&key) else { return };
        if serving.cancelled || !self.peers.connected(&peer) {
            self.serving.remove(&key);
            return;
        }
        let answer = Answer { request: want.request, holds, verdicts: verdicts.clone().into() };
        self.ctx.emit(Action::Send { to: peer.clone(), frame: Frame::Answer(answer) });
        if selection.is_empty() {
            self.serving.remove(&key);
            self.ctx.emit(Action::Send { to: peer.clone(), frame: Frame::Done { request: want.request } });
        } else {
            serving.streaming = true;
            let serve = Action::Serve { to: peer.clone(), request: want.request, group: id, selection };
            self.ctx.emit(serve);
        }
        self.learn(id, &peer, (&want, repairs), &verdicts);
    }

    pub(crate) fn not_answered(&mut self, asker: Asker<P>) {
        self.serving.remove(&(asker.peer.clone(), asker.want.request));
        self.refuse(asker.peer, asker.want.request, RefusalReason::Failed);
    }

    pub(crate) fn on_cancel(&mut self, from: P, request: RequestId) {
        let Some(serving) = self.serving.get_mut(&(from.clone(), request)) else { return };
        serving.cancelled = true;
        if serving.streaming {
            self.ctx.emit(Action::StopServing { to: from, request });
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "budgets need no precision")]
    pub(crate) fn on_served(&mut self, to: P, request: RequestId, outcome: ServeOutcome) {
        if let ServeOutcome::Complete { bytes, .. } | ServeOutcome::Stopped { bytes, .. } = outcome {
            self.upload.charge(bytes as f64);
            if let Some(peer) = self.peers.peer_mut(&to) {
                peer.bytes.charge(bytes as f64);
            }
        }
        metrics::served(&outcome);
        let known = self.serving.remove(&(to.clone(), request)).is_some();
        if known && outcome == ServeOutcome::Failed {
            self.refuse(to, request, RefusalReason::Failed);
        }
    }

    /// Stops everything that is streamed to a peer that is gone.
    pub(crate) fn stop_serving(&mut self, peer: &P) {
        let of_peer = self.serving.keys().filter(|(to, _)| to == peer);
        let requests: Vec<RequestId> = of_peer.map(|(_, request)| *request).collect();
        for request in requests {
            self.on_cancel(peer.clone(), request);
        }
    }

    /// What the request shows to be missing here, or did when there were so many `repairs`.
    fn learn(&mut self, id: GroupId, peer: &P, (want, repairs): (&WantHead, u64), verdicts: &[Verdict]) {
        let probe = want.probe;
        let mut missing = Vec::new();
        let mut excess = 0;
        for ((range, theirs), verdict) in want.ranges.iter().zip(verdicts) {
            match verdict {
                Verdict::Deliver { count, lacks } => {
                    excess -= signed(lacks.len() as u64) - signed(*count);
                    if !lacks.is_empty() {
                        missing.push((*range, lacks.clone()));
                    }
                }
                Verdict::Equal if probe => self.mark_equal(id, peer, *range),
                Verdict::Finer(summary) if probe && summary.range().as_ref() == Some(range) => {
                    let ours = summary.messages();
                    excess = theirs.map_or(0, |theirs| signed(theirs).saturating_sub(signed(ours)));
                }
                _ => {}
            }
        }
        self.suspect(id, peer, excess, probe);
        let in_vain = |verdict: &Verdict| !confirms(verdict) && *verdict != Verdict::Outside;
        if !probe
            && verdicts.iter().any(in_vain)
            && let Some(group) = self.groups.get_mut(&id)
        {
            group.vain.asked(peer, self.ctx.now.monotonic);
        }
        if !missing.is_empty() {
            self.ask_back(id, peer, (want, repairs), missing);
        }
    }

    /// How long a peer's sketches are waited for.
    pub(crate) fn yields_for(&self) -> std::time::Duration {
        YIELD.min(self.ctx.config.interval_min / 4)
    }

    /// The peer holds so many messages more than this node, by its probe, or less than before, by its sketches. Unless these
    /// tell all, it is asked in a moment.
    fn suspect(&mut self, id: GroupId, peer: &P, excess: i64, probe: bool) {
        let at = self.ctx.now.monotonic + self.yields_for();
        let Some(group) = self.groups.get_mut(&id) else { return };
        match group.suspects.get_mut(peer).map(|suspect| &mut suspect.why) {
            Some(Doubt::HoldsMore(known)) => *known = known.saturating_add(excess),
            None if probe && excess > 0 => {
                group.suspects.insert(peer.clone(), Suspect { at, why: Doubt::HoldsMore(excess) });
            }
            Some(Doubt::LeftOut | Doubt::Unsettled) | None => {}
        }
    }

    /// Asks the peer for what its sketches showed to be missing here, under the salt that it chose. Not where that came meanwhile from
    /// somebody else; what did not is found in the next comparison.
    fn ask_back(
        &mut self,
        id: GroupId,
        peer: &P,
        (want, repairs): (&WantHead, u64),
        missing: Vec<(KeyRange, Vec<u32>)>,
    ) {
        if self.paused {
            return;
        }
        let now = self.ctx.now;
        // For a liar's word nothing is given up that may be had elsewhere.
        let honest = self.peers.peer(peer).is_some_and(|peer| peer.penalty.points() == 0);
        let Some(group) = self.groups.get_mut(&id) else { return };
        let own = window::settled(&self.ctx.config, &group.config, now.unix);
        let (mut ranges, mut tasks) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        for (range, ids) in missing {
            let fits = bytes < self.ctx.config.limits.request_bytes && tasks.len() < self.ctx.config.limits.tasks;
            let messages = ids.len() as u64;
            let asks = fits && window::covers(&own, &range) && !group.took_since(&range, repairs);
            let believed = if honest { messages } else { 0 };
            if asks && group.pursuit.make_way(&range, believed) {
                let difference = Difference { range, theirs: messages, ours: 0, before: None, apart: None };
                tasks.push(group.pursuit.lock(difference, Source::Peer(peer.clone()), Way::default()));
                bytes += 16 + 4 * ids.len();
                ranges.push(RangeWant { range, ask: Ask::Ids(ids) });
            }
        }
        if ranges.is_empty() {
            return;
        }
        group.confirmed(&mut self.ctx);
        self.send_want(id, peer.clone(), Purpose::AskBack, want.salt, ranges, tasks);
    }
}

/// Spans that a verdict answers with; messages that it brings count against them.
#[expect(clippy::cast_precision_loss, reason = "budgets need no precision")]
fn futile(verdict: &Verdict) -> f64 {
    match verdict {
        Verdict::Finer(summary) => summary.len() as f64,
        Verdict::Deliver { count, lacks } => -(count.saturating_add(lacks.len() as u64) as f64),
        _ => 0.0,
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
