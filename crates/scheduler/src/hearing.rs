//! Hearing: what becomes of an IHAVE that came over gossip. It is a hint, never a fact.
use std::fmt::Debug;

use hearken_tree::GroupId;
use hearken_wire::{Ihave, Window};

use crate::{
    Action, Compared, Config, Difference, Engine, GossipId, GossipVerdict, Job, Trigger, bucket::Rate, metrics, peers,
    pending::Pending, pursuit::Source, window,
};

/// Announcements of a group that are compared at a time.
const COMPARING: usize = 4;

impl<P: Clone + Ord + Debug> Engine<P> {
    pub(crate) fn on_gossip(&mut self, from: P, id: GossipId, ihave: Ihave) {
        let verdict = self.judge(&from, &ihave);
        metrics::heard(verdict);
        self.ctx.emit(Action::Judge { id, verdict });
        if verdict == GossipVerdict::Accept {
            self.compare_heard(ihave);
        }
    }

    /// A rumour that would cost much to follow: a neighbour is asked first, but not for each of many such rumours.
    fn doubt(&mut self, id: GroupId) {
        let now = self.ctx.now.monotonic;
        let Some(group) = self.groups.get_mut(&id) else { return };
        if now >= group.doubt_at {
            group.doubt_at = now + self.ctx.config.interval_min / 4;
            group.wanted = Some(Trigger::Doubt);
        }
    }

    /// `Reject` only for what is wrong whatever the state.
    fn judge(&mut self, from: &P, ihave: &Ihave) -> GossipVerdict {
        if !plausible(ihave) {
            return GossipVerdict::Reject;
        }
        let now = self.ctx.now;
        let limits = &self.ctx.config.limits;
        let own = now.unix.saturating_sub(window::nanos(self.ctx.config.settle_delay));
        if own.abs_diff(ihave.window.to) > window::nanos(limits.horizon_tolerance) {
            return GossipVerdict::Ignore;
        }
        let heard = |group: &mut crate::group::Group<P>| group.heard_before(ihave.salt, ihave.root);
        if self.groups.get_mut(&ihave.group).is_some_and(heard) {
            return GossipVerdict::Ignore;
        }
        let rate = peers::forward_rate(limits, self.peers.connected_count());
        let peer = self.peers.entry(from, limits, now.monotonic);
        if peer.penalty.muted(now.monotonic) || !peer.forwards.take(1.0, rate, now.monotonic) {
            return GossipVerdict::Ignore;
        }
        GossipVerdict::Accept
    }

    fn compare_heard(&mut self, ihave: Ihave) {
        let Some(group) = self.groups.get_mut(&ihave.group) else { return };
        let Some(range) = ihave.summary.range() else { return };
        let comparable = window::comparable(&self.ctx.config, &group.config, self.ctx.now.unix);
        let Some(within) = window::clip(&range, &comparable) else { return };
        if group.comparing >= COMPARING || self.paused {
            return;
        }
        group.comparing += 1;
        let Ihave { group, window, salt, root, summary } = ihave;
        let job = Job::Compare { salt, summary, root: Some(root), within };
        self.index(group, job, Pending::Heard { window });
    }

    pub(crate) fn not_heard(&mut self, id: GroupId) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.comparing = group.comparing.saturating_sub(1);
        }
    }

    /// An announcement was compared with what is held here.
    pub(crate) fn heard(&mut self, id: GroupId, theirs: Window, compared: Compared) {
        self.not_heard(id);
        let now = self.ctx.now;
        let Some(group) = self.groups.get_mut(&id) else { return };
        let equal = compared.spans > 0 && compared.differences.is_empty();
        group.trickle.heard(&self.ctx.config, now.monotonic, equal);
        metrics::compared(equal);
        if equal {
            group.equal = Some((now.monotonic, theirs.to));
            return;
        }
        let own = window::settled(&self.ctx.config, &group.config, now.unix);
        let mut differences = clip(&compared.differences, &own);
        if group.fresh(now.monotonic) {
            // That something is missing here where they hold less is not likely now.
            differences.retain(|difference| difference.theirs >= difference.ours);
        }
        let limits = &self.ctx.config.limits;
        let rate = hint_rate(&self.ctx.config);
        if !group.hints.take(differences.iter().map(cost).sum(), rate, now.monotonic) {
            return self.doubt(id);
        }
        for difference in differences {
            group.pursuit.add(difference, Source::Hint, 0, now.monotonic, limits.tasks);
        }
    }
}

/// The parts of differences that this node's window covers: older ones are never fetched.
pub(crate) fn clip(differences: &[Difference], own: &Window) -> Vec<Difference> {
    let from = hearken_tree::Key::at(own.from);
    let clipped = differences.iter().filter_map(|difference| {
        let range = hearken_tree::KeyRange::new(difference.range.start().max(from), difference.range.end()).ok()?;
        (!range.is_empty()).then_some(Difference { range, ..*difference })
    });
    clipped.collect()
}

/// What it costs to follow a claim, in differences: those that a sketch would have to tell, and something for the range.
/// Where nothing is held here, no sketch is needed.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn cost(difference: &Difference) -> f64 {
    let sketched = if difference.ours == 0 { 0 } else { difference.theirs.abs_diff(difference.ours) };
    sketched as f64 + 2.0
}

/// What rumours may cost: so much in each shortest interval.
#[expect(clippy::cast_precision_loss, reason = "rates need no precision")]
pub(crate) fn hint_rate(config: &Config) -> Rate {
    let burst = config.limits.hint_differences as f64;
    Rate { per_second: burst / config.interval_min.as_secs_f64(), burst }
}

/// What holds for every true announcement: the spans cover the window and their counts add up.
fn plausible(ihave: &Ihave) -> bool {
    let sum = ihave.summary.spans().try_fold(0u64, |sum, span| sum.checked_add(span.fingerprint.count));
    ihave.summary.range() == Some(ihave.window.keys()) && sum == Some(ihave.root.count)
}
