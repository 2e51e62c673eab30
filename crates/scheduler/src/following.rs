//! Following up a repair: the neighbour that was asked may have lacked some of the same messages. Where much was missing
//! that is likely, and others are probed at once instead of in the next interval.
//!
//! If losses are independent, a node that lacked r of n messages has asked a neighbour that lacked r/n of those r: with
//! r^2 >= n one or more are still missing. Steady loss of 1 % stays far below (6 messages of 70,000 in an interval), so that it
//! costs nothing there. Neighbours that were repaired from one another agree in what they lack, so that one that is equal
//! proves little: [`AT_LEAST`] are asked. From then on, one that brings nothing is the last, and [`AT_MOST`] are asked. A node that
//! starts is often repaired by its first neighbour before it has others: for them it waits, for the shortest interval.
use std::{collections::BTreeSet, fmt::Debug, time::Duration};

use hearken_tree::GroupId;
use rand::seq::IteratorRandom;

use crate::{Engine, Trigger, exchange::Purpose, pending::Pending};

/// Fewer messages are no large repair, however few there are in all.
const MUCH: u64 = 8;
/// Neighbours probed after a large repair at least, if there are so many.
const AT_LEAST: usize = 3;
/// Neighbours probed after a repair at most.
const AT_MOST: usize = 6;

/// What was repaired, and who was asked whether there is more.
#[derive(Clone, Debug)]
pub(crate) struct Tail<P> {
    /// Messages stored since the last look.
    repaired: u64,
    /// Who brought them.
    from: BTreeSet<P>,
    /// Neighbours probed since a large repair. Empty: there was none.
    asked: BTreeSet<P>,
    /// Those of them that lied, and so told nothing.
    liars: BTreeSet<P>,
    /// Since when there has been nobody to ask.
    alone_since: Option<Duration>,
}

impl<P: Clone + Ord> Tail<P> {
    pub(crate) fn new() -> Tail<P> {
        Tail { repaired: 0, from: BTreeSet::new(), asked: BTreeSet::new(), liars: BTreeSet::new(), alone_since: None }
    }

    pub(crate) fn repaired(&mut self, from: &P, messages: u64) {
        if messages > 0 {
            self.repaired = self.repaired.saturating_add(messages);
            self.from.insert(from.clone());
        }
    }

    /// Whether this neighbour may have what the others lacked: who alone brought everything has not.
    fn may_help(&self, peer: &P) -> bool {
        let brought_all = self.from.len() == 1 && self.from.contains(peer);
        !brought_all && !self.asked.contains(peer)
    }

    /// Whether there may be anything to follow up, once what is under way is over.
    fn open(&self) -> bool {
        self.repaired > 0 || !self.asked.is_empty()
    }

    /// What is under way is over. Whether somebody else should be probed, if `count` messages were held before.
    fn look(&mut self, count: u64) -> bool {
        let repaired = std::mem::take(&mut self.repaired);
        self.from.clear();
        if self.asked.is_empty() {
            return repaired >= MUCH && repaired.saturating_mul(repaired) >= count.saturating_add(repaired);
        }
        let told = self.asked.difference(&self.liars).count();
        told < AT_LEAST || (told < AT_MOST && repaired > 0)
    }

    /// A peer lied: if it was asked, another will be in its place.
    pub(crate) fn disbelieve(&mut self, liar: &P) {
        self.liars.insert(liar.clone());
    }
}

impl<P: Clone + Ord + Debug> Engine<P> {
    pub(crate) fn follow_up(&mut self, id: GroupId) {
        let now = self.ctx.now.monotonic;
        let Some(group) = self.groups.get(&id) else { return };
        if !group.tail.open() || group.pursuit.busy(now) || self.probing(id) {
            return;
        }
        let (news, _) = self.believable(id);
        let peer = news.into_iter().filter(|name| group.tail.may_help(name)).choose(&mut self.ctx.rng);
        let on = self.ctx.config.probe;
        let Some(group) = self.groups.get_mut(&id) else { return };
        let waits = group.tail.alone_since.is_none_or(|since| now < since + self.ctx.config.interval_min);
        match peer {
            Some(peer) if group.tail.look(group.count.unwrap_or(0).max(group.told)) && on => {
                group.tail.asked.insert(peer.clone());
                self.probe_window(id, peer, Trigger::FollowUp);
            }
            None if waits => group.tail.alone_since = group.tail.alone_since.or(Some(now)),
            _ => group.tail = Tail::new(),
        }
    }

    /// Whether a probe of the group is being made, is under way, or its answer is being compared.
    pub(crate) fn probing(&self, id: GroupId) -> bool {
        let asking = self.exchanges.values().any(|e| e.group == id && matches!(e.purpose, Purpose::Probe(_)));
        let comparing = |pending: &Pending<P>| matches!(pending, Pending::Probe(_) | Pending::Finer(_));
        asking || self.pending.values().any(|(group, pending)| *group == id && comparing(pending))
    }
}
