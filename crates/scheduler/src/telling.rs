//! Telling neighbours what has come that they lack.
//!
//! An announcement tells all nodes at once that something is missing. Where few hold it, most neighbours that are asked lack it as well,
//! and who asked them looks elsewhere, a few times. Whoever gets it meanwhile probes those that had asked it in vain: rare messages go from
//! neighbour to neighbour, instead of waiting for the next try or the next announcement. Under steady loss next to nobody asks in vain.
//!
//! A node that comes back brings what it alone has to the neighbours that it meets first. Nobody announced it, so that nobody asked: but
//! who was equal to such a neighbour a moment before lacks it, and is told in the same way.
use std::{collections::BTreeMap, fmt::Debug, time::Duration};

use hearken_tree::GroupId;

use hearken_wire::RequestId;

use crate::{Engine, Trigger, exchange::Delivery, window};

/// For so long who asked in vain tries elsewhere: 1, 2, 4 and 8 seconds.
const WAITS: Duration = Duration::from_secs(15);

/// Intervals for which a message may be missing here and there; later next to nobody lacks it, or next to everybody.
const RECENT: u32 = 2;

/// Neighbours that lack something: they asked in vain, or were equal before it came.
#[derive(Clone, Debug)]
pub(crate) struct Vain<P> {
    asked: BTreeMap<P, Duration>,
    /// Something has come since they were told.
    news: bool,
}

impl<P: Clone + Ord> Vain<P> {
    pub(crate) fn new() -> Vain<P> {
        Vain { asked: BTreeMap::new(), news: false }
    }

    pub(crate) fn asked(&mut self, peer: &P, now: Duration) {
        self.asked.insert(peer.clone(), now);
    }

    pub(crate) fn came(&mut self) {
        self.news = true;
    }

    pub(crate) fn forget(&mut self, peer: &P) {
        self.asked.remove(peer);
    }

    /// Those that are to be told, once each.
    fn told(&mut self, now: Duration) -> Vec<P> {
        self.asked.retain(|_, at| now < *at + WAITS);
        if std::mem::take(&mut self.news) { std::mem::take(&mut self.asked).into_keys().collect() } else { Vec::new() }
    }
}

impl<P: Clone + Ord + Debug> Engine<P> {
    /// What this request brought is news to neighbours that were equal until now, unless an announcement told them as well, or it is
    /// so recent that the next one will.
    pub(crate) fn note_news(&mut self, request: RequestId) {
        let now = self.ctx.now.monotonic;
        let Some(exchange) = self.exchanges.get(&request) else { return };
        let Some(group) = self.groups.get_mut(&exchange.group) else { return };
        let settled = window::settled(&self.ctx.config, &group.config, self.ctx.now.unix);
        let recent = settled.to.saturating_sub(window::nanos(RECENT * group.trickle.interval()));
        let of_its_own = |delivery: &Delivery| {
            delivery.range.start().timestamp() < recent
                && group.pursuit.task(delivery.task).is_some_and(|task| task.by_word_of(&exchange.peer))
        };
        if !exchange.deliveries.iter().any(of_its_own) {
            return;
        }
        for (name, peer) in self.peers.usable(exchange.group, now) {
            if *name != exchange.peer && peer.equal_by(&exchange.group, group.repairs, now) {
                group.vain.asked(name, now);
            }
        }
    }

    /// Probes who lacks something, once the repair that brought it is over.
    pub(crate) fn tell(&mut self, id: GroupId) {
        let now = self.ctx.now.monotonic;
        let Some(group) = self.groups.get_mut(&id) else { return };
        if !self.ctx.config.probe || group.pursuit.busy(now) {
            return;
        }
        for peer in group.vain.told(now) {
            if self.may_ask(id, &peer) {
                self.probe_window(id, peer, Trigger::FollowUp);
            }
        }
    }
}
