//! What a neighbour delivers, and how a request ends.
use std::fmt::Debug;

use bytes::Bytes;
use hearken_wire::{Frame, Refusal, RefusalReason, RequestId};

use crate::{
    Action, Admitted, Engine, Offence, Ticket, Trigger,
    exchange::{Delivery, Exchange, Purpose},
    metrics,
    pending::Admission,
};

/// Requests remembered that were given up, for which messages may still come.
const CANCELLED: usize = 256;

impl<P: Clone + Ord + Debug> Engine<P> {
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
        if exchange.over || exchange.received > exchange.promised {
            self.offend(from, Offence::Unasked);
            return self.abandon(request);
        }
        if messages.is_empty() {
            return;
        }
        exchange.deadline = deadline;
        exchange.admitting += 1;
        let last = exchange.received == exchange.promised;
        let (group, asked) = (exchange.group, exchange.deliveries.iter().map(|delivery| delivery.range).collect());
        let bytes = messages.iter().map(Bytes::len).sum();
        exchange.bytes[2] = exchange.bytes[2].saturating_add(bytes as u64);
        self.unadmitted += bytes;
        let ticket = self.ctx.ticket();
        self.admissions.insert(ticket, Admission { peer: from.clone(), request, bytes });
        self.download.charge(bytes as f64);
        self.ctx.emit(Action::Admit { ticket, group, asked, messages, last });
        if self.unadmitted > 2 * self.ctx.config.limits.unadmitted_bytes {
            self.abandon(request);
        }
    }

    pub(crate) fn on_admitted(&mut self, ticket: Ticket, outcome: Admitted) {
        let Some(Admission { request, bytes, .. }) = self.admissions.remove(&ticket) else { return };
        self.unadmitted = self.unadmitted.saturating_sub(bytes);
        metrics::admitted(&outcome);
        let deadline = self.request_deadline();
        let Some(exchange) = self.exchanges.get_mut(&request) else { return };
        exchange.admitting = exchange.admitting.saturating_sub(1);
        exchange.incomplete |= outcome.failed > 0;
        exchange.deadline = deadline;
        let (id, peer) = (exchange.group, exchange.peer.clone());
        if outcome.stored > 0 {
            self.note_news(request);
        }
        if let Some(group) = self.groups.get_mut(&id)
            && outcome.stored + outcome.refused > 0
        {
            group.repairs += 1;
            group.refreshed |= outcome.stored > 0;
            group.probe_soon(self.ctx.now.monotonic);
            group.synced_at = Some(self.ctx.now.monotonic);
            group.repaired += outcome.stored;
            group.tail.repaired(&peer, outcome.stored);
            group.vain.came();
            group.vain.forget(&peer);
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
            exchange.lied = exchange.received == 0;
            self.offend(from, Offence::BrokenPromise);
        }
        self.close_if_over(request);
    }

    pub(crate) fn on_refusal(&mut self, from: &P, refusal: Refusal) {
        let (now, until) = (self.ctx.now.monotonic, self.ctx.now.monotonic + self.ctx.config.limits.unsupported);
        let Some(exchange) = self.exchange_of(from, refusal.request) else { return };
        let (id, purpose) = (exchange.group, exchange.purpose);
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
                if purpose == Purpose::Probe(Trigger::Narrow) {
                    self.not_narrowed(id, from);
                }
            }
        }
        self.end(refusal.request);
    }

    pub(crate) fn on_send_failed(&mut self, to: &P, request: RequestId) {
        if self.exchanges.get(&request).is_some_and(|exchange| exchange.peer == *to) {
            self.rest(to);
            self.end(request);
        }
    }

    /// Gives up requests that nothing comes of.
    pub(crate) fn expire(&mut self) {
        let now = self.ctx.now.monotonic;
        let late =
            self.exchanges.iter_mut().filter(|(_, exchange)| exchange.admitting == 0 && exchange.deadline <= now);
        let late: Vec<(RequestId, P, u64, u64)> = late
            .map(|(request, exchange)| {
                exchange.lied = exchange.promised > 0 && exchange.received == 0;
                (*request, exchange.peer.clone(), exchange.promised, exchange.received)
            })
            .collect();
        for (request, peer, promised, received) in late {
            metrics::timeout();
            // Who stalls in the middle may be overloaded, once; who promises and sends nothing lies.
            let stalled = (1..promised).contains(&received);
            let again = stalled && self.peers.peer_mut(&peer).is_some_and(|peer| peer.penalty.stalled());
            if again || (promised > 0 && received == 0) {
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
    pub(crate) fn close_if_over(&mut self, request: RequestId) {
        if self.exchanges.get(&request).is_none_or(|exchange| !exchange.over || exchange.admitting > 0) {
            return;
        }
        let Some(exchange) = self.exchanges.remove(&request) else { return };
        metrics::finished(&exchange);
        let now = self.ctx.now.monotonic;
        let Exchange { group: id, peer, purpose, tasks, deliveries, promised, incomplete, lied, .. } = exchange;
        if promised > 0
            && !incomplete
            && let Some(peer) = self.peers.peer_mut(&peer)
        {
            peer.penalty.kept();
        }
        if let Some(group) = self.groups.get_mut(&id) {
            for task in tasks {
                if purpose == Purpose::Fetch {
                    group.pursuit.failed(task, &peer, now);
                } else {
                    group.pursuit.finish(task);
                }
            }
            for Delivery { task, range, theirs, whole } in deliveries {
                if whole {
                    group.took(range);
                }
                // What a liar alone had said is looked for no longer: somebody else is probed in its place.
                let made_up = lied && group.pursuit.task(task).is_some_and(|task| task.by_word_of(&peer));
                if purpose != Purpose::Fetch || made_up {
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
    pub(crate) fn exchange_of(&mut self, from: &P, request: RequestId) -> Option<&mut Exchange<P>> {
        if !self.ctx.issued(request) {
            self.offend(from, Offence::Nonsense);
            return None;
        }
        self.exchanges.get_mut(&request).filter(|exchange| exchange.peer == *from)
    }
}
