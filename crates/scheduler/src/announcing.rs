//! Announcing: from the timer to the IHAVE.
use std::{fmt::Debug, time::Duration};

use hearken_tree::GroupId;
use hearken_wire::Ihave;

use crate::{Action, Engine, Job, metrics, pending::Pending, trickle::Fired, window};

impl<P: Clone + Ord + Debug> Engine<P> {
    pub(crate) fn tick_announcer(&mut self, id: GroupId) {
        let now = self.ctx.now.monotonic;
        let Some(group) = self.groups.get_mut(&id) else { return };
        if self.ctx.config.announce && group.trickle.deadline() <= now {
            let horizon_age = |horizon: u64| Duration::from_nanos(self.ctx.now.unix.saturating_sub(horizon));
            metrics::group(id, group.equal.map(|(_, horizon)| horizon_age(horizon)), group.pursuit.len());
            metrics::load(self.unadmitted, self.exchanges.len(), self.serving.len());
        }
        while self.ctx.config.announce && group.trickle.deadline() <= now {
            match group.trickle.tick(&self.ctx.config, now, &mut self.ctx.rng) {
                Some(Fired::Suppressed) => metrics::announcement("suppressed"),
                Some(Fired::Announce) if !group.announcing && self.peers.connected_count() > 0 => {
                    group.announcing = true;
                    let spans = group.spans;
                    return self.summarise(id, spans);
                }
                _ => {}
            }
        }
    }

    fn summarise(&mut self, id: GroupId, spans: usize) {
        let Some(group) = self.groups.get(&id) else { return };
        let window = window::settled(&self.ctx.config, &group.config, self.ctx.now.unix);
        let salt = self.ctx.salt();
        let budget = if spans > self.fewest_spans() { self.ctx.config.summary_budget } else { usize::MAX };
        let job = Job::Summarise { group: id, window, spans, salt, budget };
        self.index(id, job, Pending::Announce { spans });
    }

    /// So many spans fit into the budget in any case.
    fn fewest_spans(&self) -> usize {
        hearken_wire::max_spans(self.ctx.config.summary_budget).max(1)
    }

    /// So many spans took `size` bytes, more than expected: fewer of them, down to as many as fit in any case.
    pub(crate) fn summarise_shorter(&mut self, id: GroupId, spans: usize, size: usize) {
        let (fewest, budget) = (self.fewest_spans(), self.ctx.config.summary_budget);
        let Some(group) = self.groups.get_mut(&id) else { return };
        group.spans = (spans * budget / size).clamp(fewest, (spans - 1).max(fewest));
        let fewer = group.spans;
        self.summarise(id, fewer);
    }

    pub(crate) fn announce(&mut self, id: GroupId, spans: usize, ihave: Ihave) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        group.count = Some(ihave.root.count);
        group.spans = (spans + 1).min(hearken_wire::likely_spans(self.ctx.config.summary_budget).max(1));
        group.announcing = false;
        group.heard_before(ihave.salt, ihave.root);
        group.trickle.announced(ihave.salt);
        metrics::announcement("sent");
        self.ctx.emit(Action::Announce(ihave));
    }

    pub(crate) fn announcing(&mut self, id: GroupId, announcing: bool) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.announcing = announcing;
        }
    }
}
