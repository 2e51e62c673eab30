//! Announcing: from the timer to the IHAVE.
use std::{fmt::Debug, time::Duration};

use hearken_tree::GroupId;
use hearken_wire::{Ihave, ShortFingerprint, Summary};

use crate::{
    Action, Engine, Job, metrics,
    pending::{Announcement, Pending},
    trickle::Fired,
    window,
};

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
        let job = Job::Summarise { range: window.keys(), spans, salt };
        self.index(id, job, Pending::Announce(Announcement { window, salt, spans }));
    }

    pub(crate) fn announce(
        &mut self,
        id: GroupId,
        announcement: Announcement,
        root: ShortFingerprint,
        summary: Summary,
    ) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        group.count = Some(root.count);
        let Announcement { window, salt, spans } = announcement;
        let ihave = Ihave { group: id, window, salt, root, summary };
        let (size, budget) = (ihave.encode().map_or(usize::MAX, |bytes| bytes.len()), self.ctx.config.summary_budget);
        let fewest = hearken_wire::max_spans(budget).max(1);
        if size > budget && spans > fewest {
            // Spans came out larger than expected: fewer of them, down to as many as fit in any case.
            group.spans = (spans * budget / size).clamp(fewest, spans - 1);
            let fewer = group.spans;
            return self.summarise(id, fewer);
        }
        group.spans = (spans + 1).min(hearken_wire::likely_spans(budget).max(1));
        group.announcing = false;
        group.heard_before(salt, root);
        group.trickle.announced(salt);
        metrics::announcement("sent");
        self.ctx.emit(Action::Announce(ihave));
    }

    pub(crate) fn announcing(&mut self, id: GroupId, announcing: bool) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.announcing = announcing;
        }
    }
}
