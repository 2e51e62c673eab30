//! Hearing: what becomes of an IHAVE that came over gossip. It is a hint, never a fact.
use std::fmt::Debug;

use hearken_tree::GroupId;
use hearken_wire::{Ihave, Salt, Window};

use crate::{
    Action, Compared, Config, Difference, Engine, GossipId, GossipVerdict, Job, Trigger,
    bucket::Rate,
    job::{MAX_SKETCH, Scatter, are_many},
    metrics, peers,
    pending::Pending,
    pursuit::{Pursuit, Source, Way},
    window,
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
        let (most, within) = (forwards(&self.ctx.config), self.ctx.config.interval_min);
        if let Some(group) = self.groups.get_mut(&ihave.group)
            && !group.forwards(from, most, within, now.monotonic)
        {
            // It was heard all the same.
            group.trickle.heard(&self.ctx.config, now.monotonic, false, ihave.salt);
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
        group.told = ihave.root.count;
        let Ihave { group, window, salt, root, summary } = ihave;
        let job = Job::Compare { salt, summary, root: Some(root), within };
        self.index(group, job, Pending::Heard { window, salt });
    }

    pub(crate) fn not_heard(&mut self, id: GroupId) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.comparing = group.comparing.saturating_sub(1);
        }
    }

    /// An announcement was compared with what is held here.
    pub(crate) fn heard(&mut self, id: GroupId, theirs: Window, salt: Salt, compared: Compared) {
        self.not_heard(id);
        let now = self.ctx.now;
        let Some(group) = self.groups.get_mut(&id) else { return };
        let equal = compared.spans > 0 && compared.differences.is_empty();
        group.trickle.heard(&self.ctx.config, now.monotonic, equal, salt);
        metrics::compared(equal);
        if equal {
            group.equal = Some((now.monotonic, theirs.to));
            return;
        }
        let own = window::settled(&self.ctx.config, &group.config, now.unix);
        let mut differences = clip(&compared.differences, &own);
        if group.fresh(now.monotonic) {
            // That something is missing here where they hold less is not likely now.
            let mut left_out = false;
            differences.retain_mut(|difference| {
                difference.before = difference.before.filter(|_| !left_out);
                left_out = difference.theirs < difference.ours;
                !left_out
            });
        }
        let limits = &self.ctx.config.limits;
        let rate = hint_rate(&self.ctx.config);
        let believed = group.belief.level(belief_rate(&self.ctx.config), now.monotonic) >= 1.0;
        if !believed || !group.hints.take(differences.iter().map(cost).sum(), rate, now.monotonic) {
            return self.doubt(id);
        }
        metrics::found("announcement", differences.len());
        for difference in together(differences, near(&self.ctx.config), &group.pursuit) {
            group.pursuit.add(difference, Source::Hint, Way::default(), now.monotonic, limits.tasks);
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

/// How far apart in time differences may lie to be taken together: about what settles between two announcements.
pub(crate) fn near(config: &Config) -> u64 {
    window::nanos(config.settle_delay + config.interval_min)
}

/// Differences of which at least so many messages are told by their counts are taken by themselves.
const LARGE: u64 = 16;
/// Keys up to which ranges are taken together: every key is added to every sum of a sketch, so that what takes twice the keys with
/// twice the sums takes four times as long, and more of it saves few bytes.
const FEW_KEYS: u64 = 1 << 14;
/// Differences from which on the scatter of their counts tells something.
const MANY: usize = 16;

/// Takes small differences that lie near each other together: one sketch costs less than several, as each brings along its
/// bounds, its digest, and room for what counts do not show. Not beyond [`FEW_KEYS`], not across what is being asked about already, not where the counts of all
/// scatter so far that one sketch would not hold what they hide, and not where all hold so many keys that they are narrowed down first:
/// that is done by equal counts, and best from small ranges.
pub(crate) fn together<P: Clone + Ord>(
    differences: Vec<Difference>,
    near: u64,
    pursuit: &Pursuit<P>,
) -> Vec<Difference> {
    if are_many(differences.iter().map(|difference| difference.ours)) {
        return differences;
    }
    let (scatter, many) = (Scatter::of(&differences), differences.len() >= MANY);
    let mut taken: Vec<Difference> = Vec::with_capacity(differences.len());
    for difference in differences {
        let few =
            |joined: &Difference| joined.ours <= FEW_KEYS && (!many || scatter.expected(joined.ours) < MAX_SKETCH);
        let joined = taken.last().and_then(|last| join(last, &difference, near));
        let joined = joined.filter(|joined| few(joined) && !pursuit.overlaps(&joined.range));
        match (taken.last_mut(), joined) {
            (Some(last), Some(joined)) => *last = joined,
            _ => taken.push(difference),
        }
    }
    taken
}

fn join(left: &Difference, right: &Difference, near: u64) -> Option<Difference> {
    let both = |d: &Difference| d.theirs > 0 && d.ours > 0;
    let apart = |d: &Difference| d.apart.unwrap_or(d.theirs.abs_diff(d.ours).max(1));
    let apart = apart(left).checked_add(apart(right)).filter(|apart| *apart <= LARGE);
    let gap = right.range.start().timestamp().saturating_sub(left.range.end().timestamp());
    let range = hearken_tree::KeyRange::new(left.range.start(), right.range.end()).ok();
    let (apart, range) = (apart.filter(|_| both(left) && both(right) && gap <= near)?, range?);
    let between = right.before?;
    let sum = |get: fn(&Difference) -> u64| get(left).saturating_add(between).saturating_add(get(right));
    let (theirs, ours) = (sum(|d| d.theirs), sum(|d| d.ours));
    Some(Difference { range, theirs, ours, before: left.before, apart: Some(apart) })
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

/// Ranges that rumours name and neighbours do not confirm, before rumours lead to a probe only: so many in each shortest
/// interval, and four times as many at once.
const UNFOUNDED: f64 = 8.0;

pub(crate) fn belief_rate(config: &Config) -> Rate {
    Rate { per_second: UNFOUNDED / config.interval_min.as_secs_f64(), burst: 4.0 * UNFOUNDED }
}

/// Announcements of a group that are forwarded in each shortest interval: an honest network makes about `redundancy_any`, and one or two
/// more where some get lost.
fn forwards(config: &Config) -> usize {
    usize::try_from(config.redundancy_any).unwrap_or(usize::MAX).saturating_add(3)
}

/// What holds for every true announcement: the spans cover the window and their counts add up.
fn plausible(ihave: &Ihave) -> bool {
    let sum = ihave.summary.spans().try_fold(0u64, |sum, span| sum.checked_add(span.fingerprint.count));
    ihave.summary.range() == Some(ihave.window.keys()) && sum == Some(ihave.root.count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_keys_are_taken_together() {
        let spans = |keys: u64| {
            let span = |at: u64| Difference {
                range: hearken_tree::KeyRange::between(at, at + 1),
                theirs: keys + 1,
                ours: keys,
                before: Some(0),
                apart: None,
            };
            (0..8).map(span).collect()
        };
        let taken = |keys| together(spans(keys), 10, &Pursuit::<u32>::new()).len();
        assert_eq!(taken(100), 1);
        assert_eq!(taken(FEW_KEYS / 4), 2);
        assert_eq!(taken(FEW_KEYS), 8);
    }
}
