//! Serving: what a neighbour wants, within its budget.
use std::fmt::Debug;

use hearken_tree::{GroupId, KeyRange};
use hearken_wire::{Answer, Ask, Frame, RangeWant, Refusal, RefusalReason, RequestId, Verdict, Want, Window};

use crate::{
    Action, Difference, Engine, Job, Offence, Selection, ServeOutcome,
    exchange::Purpose,
    metrics,
    peers::{bytes_rate, cost_rate, request_rate},
    pending::{Asker, Pending, WantHead},
    pursuit::Source,
    window,
};

/// How long a requester that holds more than this node has to tell what, by its sketches, before it is asked.
const YIELD: std::time::Duration = std::time::Duration::from_secs(2);
/// Cost units of the smallest request.
const LEAST_COST: f64 = 10_000.0;

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
            Ok((within, budget)) => {
                self.serving.insert(key, Serving::default());
                let group = want.group;
                let asker = Asker { peer: from, want: WantHead::of(&want), holds: within };
                self.index(group, Job::Answer { want, within: within.keys(), budget }, Pending::Answer(asker));
            }
        }
    }

    /// What may be served of the request: the window that is settled here, and the cost units that may be spent.
    fn admit_request(&mut self, from: &P, want: &Want) -> Result<(Window, u64), RefusalReason> {
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
        let group = self.groups.get(&want.group).ok_or(RefusalReason::UnknownGroup)?;
        if self.serving.len() >= limits.serving || of_peer >= limits.serving_per_peer {
            return Err(RefusalReason::Busy);
        }
        let cost = peer.cost.level(cost_rate(limits), now.monotonic);
        if cost < LEAST_COST || peer.bytes.level(bytes_rate(limits), now.monotonic) <= 0.0 {
            return Err(RefusalReason::RateLimited);
        }
        peer.standing(want.group).holds = Some(want.holds);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at least LEAST_COST, and saturates")]
        let budget = limits.request_cost.min(cost as u64);
        Ok((window::comparable(&self.ctx.config, &group.config, now.unix), budget))
    }

    fn refuse(&mut self, to: P, request: RequestId, reason: RefusalReason) {
        metrics::refusing(reason);
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
        let Asker { peer, want, holds } = asker;
        if let Some(peer) = self.peers.peer_mut(&peer) {
            peer.cost.charge(cost as f64);
        }
        let key = (peer.clone(), want.request);
        let Some(serving) = self.serving.get_mut(&key) else { return };
        if serving.cancelled || !self.peers.connected(&peer) {
            self.serving.remove(&key);
            return;
        }
        let answer = Answer { request: want.request, holds, verdicts: verdicts.clone() };
        self.ctx.emit(Action::Send { to: peer.clone(), frame: Frame::Answer(answer) });
        if selection.is_empty() {
            self.serving.remove(&key);
        } else {
            serving.streaming = true;
            let serve = Action::Serve { to: peer.clone(), request: want.request, group: id, selection };
            self.ctx.emit(serve);
        }
        self.learn(id, &peer, &want, &verdicts);
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
        if let ServeOutcome::Complete { bytes, .. } | ServeOutcome::Stopped { bytes, .. } = outcome
            && let Some(peer) = self.peers.peer_mut(&to)
        {
            peer.bytes.charge(bytes as f64);
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

    /// What the request shows to be missing here.
    fn learn(&mut self, id: GroupId, peer: &P, want: &WantHead, verdicts: &[Verdict]) {
        let probe = want.ranges.len() == 1;
        let mut missing = Vec::new();
        for ((range, theirs), verdict) in want.ranges.iter().zip(verdicts) {
            match verdict {
                Verdict::Deliver { lacks, .. } => {
                    self.told(id, peer, range);
                    if !lacks.is_empty() {
                        missing.push((*range, lacks.clone()));
                    }
                }
                Verdict::Equal if probe => self.mark_equal(id, peer, *range),
                Verdict::Finer(summary) => {
                    let ours = summary.spans().iter().map(|span| span.fingerprint.count).sum();
                    let whole = summary.range().as_ref() == Some(range);
                    if let Some(theirs) = theirs.filter(|theirs| whole && *theirs > ours) {
                        self.suspect(id, peer, Difference { range: *range, theirs, ours });
                    }
                }
                _ => {}
            }
        }
        if !missing.is_empty() {
            self.ask_back(id, peer, want, missing);
        }
    }

    /// A sketch told what the peer has here: no need to suspect it of more.
    fn told(&mut self, id: GroupId, peer: &P, range: &KeyRange) {
        if let Some(group) = self.groups.get_mut(&id) {
            let source = Source::Peer(peer.clone());
            group.pursuit.drop_waiting(range, |task| task.source == source && task.range.covers(range));
        }
    }

    /// The peer holds more than this node. If it does not come to tell, it is asked.
    fn suspect(&mut self, id: GroupId, peer: &P, difference: Difference) {
        let now = self.ctx.now;
        let Some(group) = self.groups.get_mut(&id) else { return };
        let own = window::settled(&self.ctx.config, &group.config, now.unix);
        let Some(range) = window::clip(&difference.range, &own) else { return };
        let difference = Difference { range, ..difference };
        let limit = self.ctx.config.limits.tasks;
        group.pursuit.add(difference, Source::Peer(peer.clone()), now.monotonic + YIELD, limit);
    }

    /// Asks the peer for what its sketches showed to be missing here, under the salt that it chose.
    fn ask_back(&mut self, id: GroupId, peer: &P, want: &WantHead, missing: Vec<(KeyRange, Vec<u32>)>) {
        let now = self.ctx.now;
        let Some(group) = self.groups.get_mut(&id) else { return };
        let own = window::settled(&self.ctx.config, &group.config, now.unix);
        let (mut ranges, mut tasks) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        for (range, ids) in missing {
            let fits = bytes < self.ctx.config.limits.request_bytes && tasks.len() < self.ctx.config.limits.tasks;
            if fits && window::covers(&own, &range) && !group.pursuit.overlaps(&range) {
                let difference = Difference { range, theirs: ids.len() as u64, ours: 0 };
                tasks.push(group.pursuit.lock(difference, Source::Peer(peer.clone())));
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
