//! What a neighbour answers: verdicts, messages, the end, or a refusal.
use std::fmt::Debug;

use bytes::Bytes;
use hearken_tree::{GroupId, KeyRange};
use hearken_wire::{Answer, Frame, Refusal, RefusalReason, RequestId, Salt, Summary, Verdict, Window};

use crate::{
    Action, Admitted, Compared, Difference, Engine, Job, Offence, Trigger,
    exchange::{Asked, Delivery, Exchange, Kind, Purpose},
    hearing, metrics,
    peers::Equal,
    pending::{Admission, Finer, Pending},
    pursuit::{Source, TaskId},
    window,
};

/// How many times in a row an answer may be finer spans: a quarter of the keys or less each time, so 4^16 of them.
const MAX_DEPTH: u32 = 16;
/// Messages beyond twice those promised that may come: a provider that is being repaired itself serves what it has by then.
const GROWN: u64 = 4096;
/// Requests remembered that were given up, for which messages may still come.
const CANCELLED: usize = 256;

impl<P: Clone + Ord + Debug> Engine<P> {
    pub(crate) fn on_answer(&mut self, from: &P, answer: Answer) {
        let request = answer.request;
        let deadline = self.request_deadline();
        let Some(exchange) = self.exchange_of(from, request) else { return };
        if let Err(offence) = exchange.check(&answer) {
            self.offend(from, offence);
            return self.abandon(request);
        }
        exchange.answered = true;
        let Exchange { group: id, salt, purpose, yielded, depth, .. } = *exchange;
        let (asked, tasks) = (exchange.asked.clone(), std::mem::take(&mut exchange.tasks));
        exchange.deadline = deadline;
        if let Some(peer) = self.peers.peer_mut(from) {
            peer.standing(id).holds = Some(answer.holds);
            peer.penalty.succeed();
        }
        let verdicts: Vec<(Asked, Verdict)> = asked.into_iter().zip(answer.verdicts).collect();
        let follow_ups = self.settle_tasks(id, from, purpose, &tasks, &verdicts);
        let mut deliveries = Vec::new();
        let mut promised = 0;
        for (asked, verdict) in verdicts {
            metrics::verdict(&verdict);
            self.note_hidden(id, &asked, &verdict);
            match verdict {
                Verdict::Deliver { count, lacks } if count > 0 => {
                    promised += count;
                    let claim = follow_ups.iter().find(|task| task.range == asked.range);
                    let task = self.lock_delivery(id, from, &asked, count, claim);
                    let theirs = asked.theirs(count, lacks.len() as u64);
                    deliveries.extend(task.map(|task| Delivery { task, range: asked.range, theirs }));
                }
                Verdict::Finer(_) if yielded => {}
                Verdict::Finer(summary) => {
                    let probe = Probed {
                        group: id,
                        salt,
                        range: asked.range,
                        purpose,
                        depth: depth + u32::from(!matches!(asked.kind, Kind::Check { .. })),
                    };
                    self.narrow_down(probe, from, summary);
                }
                Verdict::TooCostly => self.too_costly(id, from, &asked, depth),
                Verdict::Outside => self.outside(id, from, purpose, &asked, &answer.holds, depth),
                Verdict::Equal => self.equal(id, from, purpose, asked.range),
                Verdict::Deliver { .. } => {}
            }
        }
        if let Some(exchange) = self.exchanges.get_mut(&request) {
            (exchange.deliveries, exchange.promised) = (deliveries, promised);
            exchange.over = promised == 0;
        }
        self.close_if_over(request);
    }

    /// Whether each task's difference was confirmed. Those that were are finished: their ranges go on by themselves.
    /// Returns the finished ones.
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
            let of_task = || verdicts.iter().filter(|(asked, _)| asked.range.intersection(&range).is_some());
            let confirmed = of_task().any(|(_, verdict)| confirms(verdict));
            let outside = of_task().any(|(_, verdict)| *verdict == Verdict::Outside);
            let own_word = group.pursuit.task(*task).is_some_and(|task| task.source == Source::Peer(from.clone()));
            confirmed_any |= confirmed;
            if confirmed || own_word || purpose != Purpose::Fetch {
                finished.extend(group.pursuit.finish(*task));
            } else if outside {
                group.pursuit.failed(*task, from, now);
            } else {
                metrics::unconfirmed();
                group.pursuit.unconfirmed(*task, Some(from), now);
            }
        }
        if confirmed_any {
            group.confirmed(&mut self.ctx);
        }
        finished
    }

    /// Learns how much counts hide.
    fn note_hidden(&mut self, id: GroupId, asked: &Asked, verdict: &Verdict) {
        let (Some(group), Kind::Sketch { capacity, .. }) = (self.groups.get_mut(&id), asked.kind) else { return };
        match verdict {
            Verdict::Deliver { count, lacks } => group.hidden.decoded(*count, lacks.len() as u64),
            Verdict::Finer(_) => group.hidden.overflowed(capacity),
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
        let hinted = claim.filter(|task| task.source == Source::Hint).map(|task| task.claim().saturating_sub(count));
        let (theirs, source) = match hinted {
            Some(more) if more > 0 => (more, Source::Hint),
            _ => (0, Source::Peer(from.clone())),
        };
        let difference = Difference { range: asked.range, theirs, ours: 0 };
        Some(group.pursuit.lock(difference, source, 0))
    }

    fn narrow_down(&mut self, asked: Probed, from: &P, summary: Summary) {
        let Probed { group: id, salt, range, purpose, depth } = asked;
        let Some(group) = self.groups.get_mut(&id) else { return };
        let whole = matches!(purpose, Purpose::Probe(trigger) if trigger != Trigger::Narrow);
        let task = (!whole).then(|| {
            let unknown = Difference { range, theirs: 0, ours: 0 };
            group.pursuit.lock(unknown, Source::Peer(from.clone()), depth)
        });
        let finer = Finer { peer: from.clone(), task, depth, probed: whole.then_some(range) };
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
        if finer.depth > MAX_DEPTH {
            return self.offend(&finer.peer, Offence::Nonsense);
        }
        group.confirmed(&mut self.ctx);
        let own = window::settled(&self.ctx.config, &group.config, now.unix);
        let limit = self.ctx.config.limits.tasks;
        for difference in hearing::clip(&compared.differences, &own) {
            let source = Source::Peer(finer.peer.clone());
            group.pursuit.add(difference, source, finer.depth, now.monotonic, limit);
        }
        group.pursuit.wake();
    }

    pub(crate) fn not_compared(&mut self, id: GroupId, finer: Finer<P>) {
        if let (Some(group), Some(task)) = (self.groups.get_mut(&id), finer.task) {
            group.pursuit.finish(task);
        }
    }

    /// Narrow down first: a check costs them little.
    fn too_costly(&mut self, id: GroupId, from: &P, asked: &Asked, depth: u32) {
        if matches!(asked.kind, Kind::Check { .. }) {
            return self.rest(from);
        }
        let Some(group) = self.groups.get_mut(&id) else { return };
        let unknown = Difference { range: asked.range, theirs: 0, ours: 0 };
        let task = group.pursuit.lock(unknown, Source::Peer(from.clone()), depth + 1);
        self.probe(id, from.clone(), Trigger::Narrow, asked.range, Some(task));
    }

    /// They hold a part of the range only: that part is asked for, unless it was probed, for then they said all they can.
    fn outside(&mut self, id: GroupId, from: &P, purpose: Purpose, asked: &Asked, holds: &Window, depth: u32) {
        let now = self.ctx.now.monotonic;
        let Some(group) = self.groups.get_mut(&id) else { return };
        let part = window::clip(&asked.range, holds).filter(|part| *part != asked.range);
        if let (Purpose::Fetch, Some(range), true) = (purpose, part, depth < MAX_DEPTH) {
            let difference = Difference { range, theirs: u64::from(asked.kind == Kind::All), ours: 0 };
            let limit = self.ctx.config.limits.tasks;
            group.pursuit.add(difference, Source::Peer(from.clone()), depth + 1, now, limit);
        }
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

    pub(crate) fn on_messages(&mut self, from: &P, request: RequestId, messages: Vec<Bytes>) {
        let deadline = self.request_deadline();
        if self.cancelled.contains(&request) {
            // They had not heard of it yet.
            return;
        }
        let Some(exchange) = self.exchange_of(from, request) else {
            if self.ctx.issued(request) {
                self.offend(from, Offence::Unasked);
            }
            return;
        };
        exchange.received = exchange.received.saturating_add(messages.len() as u64);
        if exchange.over || exchange.received > exchange.promised.saturating_mul(2).saturating_add(GROWN) {
            self.offend(from, Offence::Unasked);
            return self.abandon(request);
        }
        if messages.is_empty() {
            return;
        }
        exchange.deadline = deadline;
        exchange.admitting += 1;
        let (group, asked) = (exchange.group, exchange.deliveries.iter().map(|delivery| delivery.range).collect());
        let bytes = messages.iter().map(Bytes::len).sum();
        self.unadmitted += bytes;
        let ticket = self.ctx.ticket();
        self.admissions.insert(ticket, Admission { request, bytes });
        self.ctx.emit(Action::Admit { ticket, group, asked, messages });
        if self.unadmitted > 2 * self.ctx.config.limits.unadmitted_bytes {
            self.abandon(request);
        }
    }

    pub(crate) fn on_admitted(&mut self, ticket: crate::Ticket, outcome: Admitted) {
        let Some(Admission { request, bytes }) = self.admissions.remove(&ticket) else { return };
        self.unadmitted = self.unadmitted.saturating_sub(bytes);
        metrics::admitted(&outcome);
        let deadline = self.request_deadline();
        let Some(exchange) = self.exchanges.get_mut(&request) else { return };
        exchange.admitting = exchange.admitting.saturating_sub(1);
        exchange.incomplete |= outcome.failed > 0;
        exchange.deadline = deadline;
        let (id, peer) = (exchange.group, exchange.peer.clone());
        if let Some(group) = self.groups.get_mut(&id)
            && outcome.stored + outcome.refused > 0
        {
            group.repairs += 1;
            group.refreshed |= outcome.stored > 0;
            group.synced_at = Some(self.ctx.now.monotonic);
            group.repaired += outcome.stored;
            group.confirmed(&mut self.ctx);
        }
        if outcome.unasked > 0 {
            self.offend(&peer, Offence::Unasked);
            return self.abandon(request);
        }
        self.close_if_over(request);
    }

    pub(crate) fn on_done(&mut self, from: &P, request: RequestId) {
        let Some(exchange) = self.exchange_of(from, request) else { return };
        if !exchange.answered {
            self.offend(from, Offence::Nonsense);
            return self.abandon(request);
        }
        if exchange.over {
            return;
        }
        exchange.over = true;
        if exchange.received < exchange.promised {
            exchange.incomplete = true;
            self.offend(from, Offence::BrokenPromise);
        }
        self.close_if_over(request);
    }

    pub(crate) fn on_refusal(&mut self, from: &P, refusal: Refusal) {
        let (now, until) = (self.ctx.now.monotonic, self.ctx.now.monotonic + self.ctx.config.limits.unsupported);
        let Some(exchange) = self.exchange_of(from, refusal.request) else { return };
        let id = exchange.group;
        metrics::refused(refusal.reason);
        match refusal.reason {
            RefusalReason::UnknownGroup => {
                if let Some(peer) = self.peers.peer_mut(from) {
                    peer.unknown_group(id, until);
                }
            }
            RefusalReason::Unsupported => self.peers.unsupported(from, until),
            _ => {
                if let Some(peer) = self.peers.peer_mut(from) {
                    peer.penalty.fail(now);
                }
            }
        }
        self.end(refusal.request);
    }

    pub(crate) fn on_send_failed(&mut self, to: &P, request: RequestId) {
        if self.exchange_of(to, request).is_some() {
            self.rest(to);
            self.end(request);
        }
    }

    /// Gives up requests that nothing comes of.
    pub(crate) fn expire(&mut self) {
        let now = self.ctx.now.monotonic;
        let late = self.exchanges.iter().filter(|(_, exchange)| exchange.admitting == 0 && exchange.deadline <= now);
        let late: Vec<(RequestId, P, bool)> =
            late.map(|(request, e)| (*request, e.peer.clone(), e.promised > 0 && e.received == 0)).collect();
        for (request, peer, withheld) in late {
            metrics::timeout();
            // Who stalls in the middle may be overloaded; who promises and sends nothing lies.
            if withheld {
                self.offend(&peer, Offence::BrokenPromise);
            } else {
                self.rest(&peer);
            }
            self.abandon(request);
        }
    }

    /// Ends every request to a peer that is gone.
    pub(crate) fn give_up_on(&mut self, peer: &P) {
        let to_peer = self.exchanges.iter().filter(|(_, exchange)| exchange.peer == *peer);
        let requests: Vec<RequestId> = to_peer.map(|(request, _)| *request).collect();
        requests.into_iter().for_each(|request| self.end(request));
    }

    /// Cancels a request: what it did not bring is asked elsewhere.
    pub(crate) fn abandon(&mut self, request: RequestId) {
        let Some(exchange) = self.exchanges.get(&request) else { return };
        let to = exchange.peer.clone();
        if !exchange.over && self.peers.connected(&to) {
            self.ctx.emit(Action::Send { to, frame: Frame::Cancel { request } });
        }
        self.end(request);
    }

    /// Nothing more will come of a request.
    fn end(&mut self, request: RequestId) {
        if let Some(exchange) = self.exchanges.get_mut(&request) {
            exchange.incomplete |= !exchange.answered || exchange.received < exchange.promised;
            exchange.over = true;
            if self.cancelled.len() >= CANCELLED {
                self.cancelled.pop_front();
            }
            self.cancelled.push_back(request);
        }
        self.close_if_over(request);
    }

    /// Once everything that came is stored, what did not come is asked elsewhere.
    fn close_if_over(&mut self, request: RequestId) {
        if self.exchanges.get(&request).is_none_or(|exchange| !exchange.over || exchange.admitting > 0) {
            return;
        }
        let Some(exchange) = self.exchanges.remove(&request) else { return };
        metrics::finished(&exchange);
        let now = self.ctx.now.monotonic;
        let Exchange { group: id, peer, purpose, tasks, deliveries, incomplete, .. } = exchange;
        if let Some(group) = self.groups.get_mut(&id) {
            for task in tasks {
                if purpose == Purpose::Fetch {
                    group.pursuit.failed(task, &peer, now);
                } else {
                    group.pursuit.finish(task);
                }
            }
            for Delivery { task, theirs, .. } in deliveries {
                if purpose != Purpose::Fetch {
                    group.pursuit.finish(task);
                } else if incomplete {
                    group.pursuit.reopen(task, theirs, &peer, now);
                } else {
                    // Where more had been announced than this peer had, others may have it.
                    group.pursuit.unconfirmed(task, Some(&peer), now);
                }
            }
        }
        self.release(id, &peer);
    }

    /// The request under way with this peer by that name. Frames for one that was never made are an offence, those for one
    /// that is over come late.
    fn exchange_of(&mut self, from: &P, request: RequestId) -> Option<&mut Exchange<P>> {
        if !self.ctx.issued(request) {
            self.offend(from, Offence::Nonsense);
            return None;
        }
        self.exchanges.get_mut(&request).filter(|exchange| exchange.peer == *from)
    }
}

/// A range of a request that is answered by finer spans.
struct Probed {
    group: GroupId,
    salt: Salt,
    range: KeyRange,
    purpose: Purpose,
    depth: u32,
}

/// Whether a verdict shows that the sets differ.
fn confirms(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Deliver { count, lacks } => *count > 0 || !lacks.is_empty(),
        Verdict::Finer(_) | Verdict::TooCostly => true,
        _ => false,
    }
}
