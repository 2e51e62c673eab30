//! What a neighbour answers: verdicts, messages, the end, or a refusal.
use std::fmt::Debug;

use hearken_tree::{GroupId, KeyRange};
use hearken_wire::{Answer, Salt, Summary, Verdict, Window};

use crate::{
    Compared, Difference, Engine, Job, Offence, Trigger,
    exchange::{Asked, Delivery, Exchange, HEAD, Kind, Purpose, verdict_weight},
    group::Doubt,
    hearing, metrics,
    peers::Equal,
    pending::{Finer, Pending, Probe},
    pursuit::{Source, TaskId, Way},
    ranges::{at, overlapping},
    window,
};

/// How many times in a row an answer may be finer spans: a quarter of the keys or less each time, so 4^16 of them.
const MAX_DEPTH: u32 = 16;
/// Ranges that are narrowed down with one peer at a time, after they were too costly: each takes a request of its own, and a peer whose
/// budget is used up finds everything too costly.
const NARROWED: usize = 4;

impl<P: Clone + Ord + Debug> Engine<P> {
    pub(crate) fn on_answer(&mut self, from: &P, answer: Answer) {
        let request = answer.request;
        let deadline = self.request_deadline();
        let now = self.ctx.now.monotonic;
        let Some(exchange) = self.exchange_of(from, request) else { return };
        if let Err(offence) = exchange.check(&answer) {
            self.offend(from, offence);
            return self.abandon(request);
        }
        exchange.answered = true;
        exchange.bytes[1] = (HEAD / 2 + answer.verdicts.iter().map(|v| verdict_weight(&v)).sum::<usize>()) as u64;
        let Exchange { group: id, salt, purpose, yielded, depth, .. } = *exchange;
        let (asked, tasks) = (exchange.asked.clone(), std::mem::take(&mut exchange.tasks));
        exchange.deadline = deadline;
        if let Some(peer) = self.peers.peer_mut(from) {
            peer.standing(id).holds = Some((answer.holds, now));
            peer.penalty.succeed();
        }
        let verdicts: Vec<(Asked, Verdict)> = asked.into_iter().zip(answer.verdicts.iter()).collect();
        let claims = self.claims(id, from, &tasks);
        let follow_ups = self.settle_tasks(id, from, purpose, &tasks, &verdicts);
        let further = |again| Way { depth: depth + 1, again };
        let mut deliveries = Vec::new();
        let (mut promised, mut narrowed, mut lied) = (0, self.narrowing(from), false);
        for (asked, verdict) in verdicts {
            metrics::verdict(&verdict);
            let claim = at(&claims, &asked.range, |claim| claim.difference.range);
            self.note_hidden(id, &asked, &verdict, claim.and_then(|claim| claim.difference.apart));
            lied |= claim.is_some_and(|claim| claim.own && contradicts(&claim.difference, &asked, &verdict));
            match verdict {
                Verdict::Deliver { count, lacks } if count > 0 => {
                    promised += count;
                    let claim = at(&follow_ups, &asked.range, |task| task.range);
                    let task = self.lock_delivery(id, from, &asked, count, claim);
                    let theirs = asked.theirs(count, lacks.len() as u64);
                    let (range, whole) = (asked.range, asked.kind == Kind::All);
                    deliveries.extend(task.map(|task| Delivery { task, range, theirs, whole }));
                }
                // Its sketches will tell. What it said may not be true, though, or nothing may come of its probe.
                Verdict::Finer(_) if yielded => self.look_again(id, from, self.yields_for(), Doubt::Unsettled),
                Verdict::Finer(summary) => {
                    // Where all of what was known to differ is narrowed down first, nothing was in vain.
                    let planned = claim.is_some() && purpose == Purpose::Fetch;
                    let again = !(planned && matches!(asked.kind, Kind::Check { .. }));
                    let way = further(again);
                    self.narrow_down(Probed { group: id, salt, range: asked.range, purpose, way }, from, summary);
                }
                Verdict::TooCostly if narrowed < NARROWED => {
                    narrowed += 1;
                    self.too_costly(id, from, &asked, further(true));
                }
                Verdict::TooCostly => self.not_narrowed(id, from),
                Verdict::Outside if purpose == Purpose::Fetch && depth < MAX_DEPTH => {
                    self.outside(id, from, &asked, &answer.holds, further(true));
                }
                Verdict::Outside => {}
                Verdict::Equal => self.equal(id, from, purpose, asked.range),
                Verdict::Deliver { .. } => {}
            }
        }
        if let Some(exchange) = self.exchanges.get_mut(&request) {
            (exchange.deliveries, exchange.promised) = (deliveries, promised);
            exchange.over = promised == 0;
        }
        if lied {
            self.offend(from, Offence::BrokenPromise);
        }
        self.close_if_over(request);
    }

    /// Whether each task's difference was confirmed. Those that were are finished: their ranges go on by themselves.
    /// Returns the finished ones, in order.
    fn settle_tasks(
        &mut self,
        id: GroupId,
        from: &P,
        purpose: Purpose,
        tasks: &[TaskId],
        verdicts: &[(Asked, Verdict)],
    ) -> Vec<crate::pursuit::Task<P>> {
        let now = self.ctx.now.monotonic;
        let Some(group) = self.groups.get_mut(&id) else { return Vec::new() };
        let (mut finished, mut confirmed_any) = (Vec::new(), false);
        for task in tasks {
            let Some(range) = group.pursuit.task(*task).map(|task| task.range) else { continue };
            let of_task = overlapping(verdicts, &range, |(asked, _)| asked.range);
            let confirmed = of_task.iter().any(|(_, verdict)| confirms(verdict));
            let outside = of_task.iter().any(|(_, verdict)| *verdict == Verdict::Outside);
            let own_word = group.pursuit.task(*task).is_some_and(|task| task.by_word_of(from));
            confirmed_any |= confirmed;
            if confirmed || own_word || purpose != Purpose::Fetch {
                finished.extend(group.pursuit.finish(*task));
            } else if outside {
                group.pursuit.failed(*task, from, now);
            } else {
                metrics::unconfirmed();
                group.belief.charge(1.0);
                group.pursuit.unconfirmed(*task, Some(from), now);
            }
        }
        if confirmed_any {
            group.confirmed(&mut self.ctx);
        }
        finished.sort_unstable_by_key(|task| task.range);
        finished
    }

    /// What had been said of the ranges that the tasks are about, in order.
    fn claims(&self, id: GroupId, from: &P, tasks: &[TaskId]) -> Vec<Claim> {
        let Some(group) = self.groups.get(&id) else { return Vec::new() };
        let tasks = tasks.iter().filter_map(|task| group.pursuit.task(*task));
        let claims = tasks.map(|task| Claim { difference: task.difference(), own: task.by_word_of(from) });
        let mut claims: Vec<Claim> = claims.collect();
        claims.sort_unstable_by_key(|claim| claim.difference.range);
        claims
    }

    /// Learns how much counts hide.
    fn note_hidden(&mut self, id: GroupId, asked: &Asked, verdict: &Verdict, apart: Option<u64>) {
        let (Some(group), Kind::Sketch { capacity, .. }) = (self.groups.get_mut(&id), asked.kind) else { return };
        match (verdict, apart) {
            (Verdict::Deliver { count, lacks }, Some(apart)) => {
                group.hidden_beyond(apart).note(count.saturating_add(lacks.len() as u64).saturating_sub(apart));
            }
            (Verdict::Deliver { count, lacks }, None) => group.hidden.decoded(*count, lacks.len() as u64),
            (Verdict::Finer(_), Some(apart)) => group.hidden_beyond(apart).note((2 * capacity).saturating_sub(apart)),
            (Verdict::Finer(_), None) => group.hidden.overflowed(capacity),
            _ => {}
        }
    }

    /// Messages will come for this range: nobody else is asked for it meanwhile. `claim` is what had been said of it.
    fn lock_delivery(
        &mut self,
        id: GroupId,
        from: &P,
        asked: &Asked,
        count: u64,
        claim: Option<&crate::pursuit::Task<P>>,
    ) -> Option<TaskId> {
        let group = self.groups.get_mut(&id)?;
        let (theirs, source) = match claim {
            Some(task) if task.source == Source::Hint => (task.claim().saturating_sub(count), Source::Hint),
            Some(task) => (0, task.source.clone()),
            None => (0, Source::Peer(from.clone())),
        };
        let difference = Difference { range: asked.range, theirs, ours: 0, before: None, apart: None };
        Some(group.pursuit.lock(difference, source, Way::default()))
    }

    fn narrow_down(&mut self, asked: Probed, from: &P, summary: Summary) {
        let Probed { group: id, salt, range, purpose, way } = asked;
        let Some(group) = self.groups.get_mut(&id) else { return };
        let whole = matches!(purpose, Purpose::Probe(trigger) if trigger != Trigger::Narrow);
        let way = if whole { Way::default() } else { way };
        let task = (!whole).then(|| {
            let unknown = Difference { range, theirs: 0, ours: 0, before: None, apart: None };
            group.pursuit.lock(unknown, Source::Peer(from.clone()), way)
        });
        let finer = Finer { peer: from.clone(), task, way, probed: whole.then_some(range) };
        self.index(id, Job::Compare { salt, summary, root: None, within: range }, Pending::Finer(finer));
    }

    /// A neighbour's finer spans were compared: what differs there is asked of that neighbour.
    pub(crate) fn compared(&mut self, id: GroupId, finer: Finer<P>, compared: Compared) {
        let now = self.ctx.now;
        let Some(group) = self.groups.get_mut(&id) else { return };
        if let Some(task) = finer.task {
            group.pursuit.finish(task);
        }
        if compared.differences.is_empty() {
            if let (Some(range), true) = (finer.probed, compared.spans > 0) {
                self.mark_equal(id, &finer.peer, range);
            }
            return;
        }
        if finer.way.depth > MAX_DEPTH {
            return self.offend(&finer.peer, Offence::Nonsense);
        }
        group.confirmed(&mut self.ctx);
        let own = window::settled(&self.ctx.config, &group.config, now.unix);
        let limit = self.ctx.config.limits.tasks;
        metrics::found("neighbour", compared.differences.len());
        // Its word is for the whole of what it named: where that begins before the window, the rest is as good as a rumour.
        let begins_before = |difference: &Difference| difference.range.start().timestamp() < own.from;
        let (cut, mut whole): (Vec<_>, Vec<_>) = compared.differences.into_iter().partition(begins_before);
        if finer.probed.is_some() {
            whole = hearing::together(whole, hearing::near(&self.ctx.config), &group.pursuit);
        }
        let mut left_out = false;
        for difference in hearing::clip(&cut, &own) {
            group.pursuit.add(difference, Source::Hint, finer.way, now.monotonic, limit);
        }
        for difference in whole {
            let source = Source::Peer(finer.peer.clone());
            left_out |= !group.pursuit.add(difference, source, finer.way, now.monotonic, limit);
        }
        if left_out {
            self.look_again(id, &finer.peer, self.ctx.config.interval_min, Doubt::LeftOut);
        }
    }

    pub(crate) fn not_compared(&mut self, id: GroupId, finer: Finer<P>) {
        if let (Some(group), Some(task)) = (self.groups.get_mut(&id), finer.task) {
            group.pursuit.finish(task);
        }
    }

    /// Narrow down first: a check costs them little.
    fn too_costly(&mut self, id: GroupId, from: &P, asked: &Asked, way: Way) {
        if matches!(asked.kind, Kind::Check { .. }) {
            return self.rest(from);
        }
        let Some(group) = self.groups.get_mut(&id) else { return };
        let unknown = Difference { range: asked.range, theirs: 0, ours: 0, before: None, apart: None };
        let task = group.pursuit.lock(unknown, Source::Peer(from.clone()), way);
        self.probe(id, from.clone(), Trigger::Narrow, asked.range, Some(task));
    }

    /// How many ranges are being narrowed down with the peer.
    fn narrowing(&self, peer: &P) -> usize {
        let narrow = |e: &&Exchange<P>| e.peer == *peer && e.purpose == Purpose::Probe(Trigger::Narrow);
        let is_narrow = |probe: &Probe<P>| probe.peer == *peer && probe.trigger == Trigger::Narrow;
        let preparing = |pending: &Pending<P>| matches!(pending, Pending::Probe(probe) if is_narrow(probe));
        let pending = self.pending.values().filter(|(_, pending)| preparing(pending));
        self.exchanges.values().filter(narrow).count() + pending.count()
    }

    /// A range that differs is asked about no further: what differs is found again in the next comparison, which is not waited for.
    pub(crate) fn not_narrowed(&mut self, id: GroupId, from: &P) {
        self.look_again(id, from, self.ctx.config.interval_min, Doubt::Unsettled);
    }

    /// They hold a part of the range only: that part is asked for, unless it was probed, for then they said all they can.
    fn outside(&mut self, id: GroupId, from: &P, asked: &Asked, holds: &Window, way: Way) {
        let now = self.ctx.now.monotonic;
        let part = window::clip(&asked.range, holds).filter(|part| *part != asked.range);
        let (Some(group), Some(range)) = (self.groups.get_mut(&id), part) else { return };
        let (theirs, apart) = match asked.kind {
            // Somebody else said that there is something: this peer has not, and cannot be held to it.
            Kind::All => (0, None),
            Kind::Sketch { capacity, .. } => (0, Some(capacity.saturating_sub(1))),
            Kind::Check { .. } | Kind::Ids(_) => return,
        };
        let difference = Difference { range, theirs, ours: 0, before: None, apart };
        let limit = self.ctx.config.limits.tasks;
        group.pursuit.add(difference, Source::Peer(from.clone()), way, now, limit);
    }

    fn equal(&mut self, id: GroupId, from: &P, purpose: Purpose, range: KeyRange) {
        if matches!(purpose, Purpose::Probe(trigger) if trigger != Trigger::Narrow) {
            metrics::probe_equal();
            self.mark_equal(id, from, range);
        }
    }

    /// The peer's set is equal to the one here.
    pub(crate) fn mark_equal(&mut self, id: GroupId, peer: &P, range: KeyRange) {
        let at = self.ctx.now.monotonic;
        let Some(group) = self.groups.get_mut(&id) else { return };
        group.equal = Some((at, range.end().timestamp()));
        group.synced_at = Some(at);
        let repairs = group.repairs;
        if let Some(peer) = self.peers.peer_mut(peer) {
            peer.standing(id).equal = Some(Equal { range, at, repairs });
        }
    }
}

/// A range of a request that is answered by finer spans.
struct Probed {
    group: GroupId,
    salt: Salt,
    range: KeyRange,
    purpose: Purpose,
    /// To what it is narrowed down to.
    way: Way,
}

/// What was said of a range that was asked about.
struct Claim {
    difference: Difference,
    /// By the peer that was asked, over its own stream.
    own: bool,
}

/// Whether a peer's verdict contradicts what it had said of the same range before. Sets only grow (what leaves
/// the window is kept for longer than a request takes), so that it cannot hold less now, and cannot hold the same as this node, whose set has not grown, if it held something else that was no less.
fn contradicts(claim: &Difference, asked: &Asked, verdict: &Verdict) -> bool {
    let (ours, theirs) = match (verdict, asked.kind) {
        (Verdict::Equal, Kind::Sketch { ours, .. } | Kind::Check { ours }) => (ours, ours),
        (Verdict::Deliver { count, lacks }, Kind::Sketch { ours, .. }) => {
            (ours, asked.theirs(*count, lacks.len() as u64))
        }
        (Verdict::Deliver { count, .. }, Kind::All) => (0, *count),
        _ => return false,
    };
    // A range of which nothing is known is asked about as well: it has no keys on either side.
    let claimed = claim.theirs > 0 || claim.ours > 0;
    theirs < claim.theirs || (*verdict == Verdict::Equal && claimed && ours == claim.ours && theirs == claim.theirs)
}

/// Whether a verdict shows that the sets differ.
pub(crate) fn confirms(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Deliver { count, lacks } => *count > 0 || !lacks.is_empty(),
        Verdict::Finer(_) | Verdict::TooCostly => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_said_something_can_contradict_it() {
        let range = KeyRange::between(1, 2);
        let claim = |theirs, ours| Difference { range, theirs, ours, before: None, apart: None };
        let asked = |ours| Asked { range, kind: Kind::Check { ours } };
        assert!(contradicts(&claim(3, 3), &asked(3), &Verdict::Equal));
        assert!(contradicts(&claim(4, 3), &asked(3), &Verdict::Equal));
        assert!(!contradicts(&claim(3, 2), &asked(3), &Verdict::Equal), "this node's set has grown");
        assert!(!contradicts(&claim(0, 0), &asked(0), &Verdict::Equal), "nothing was said");
    }
}
