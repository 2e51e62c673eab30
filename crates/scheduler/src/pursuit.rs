//! What differs and is not settled yet: the ranges of a group that are waiting for a request or are in one.
//!
//! Ranges of tasks never overlap, so nothing is asked for twice at once.
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hearken_tree::{Key, KeyRange};

use crate::Difference;

/// Tries of a difference that nobody confirms: at once, then after 1, 2, 4 and 8 seconds.
const UNCONFIRMED_TRIES: u32 = 5;
/// Times that a range is taken up again after a peer failed.
const FAILED_TRIES: u32 = 12;
/// After no peer could be asked, the next look.
const STALL: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskId(u64);

/// Who said that a range differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source<P> {
    /// Somebody, over gossip.
    Hint,
    /// A neighbour, over its own stream.
    Peer(P),
}

/// How a range was come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Way {
    /// How many times finer spans led here.
    pub(crate) depth: u32,
    /// Whether it is of a range that was asked for in vain the last time: then more differs than counts tell.
    pub(crate) again: bool,
}

/// A range in which something differs.
#[derive(Clone, Debug)]
pub(crate) struct Task<P> {
    pub(crate) range: KeyRange,
    pub(crate) theirs: u64,
    pub(crate) ours: u64,
    /// Several spans taken together: see [`Difference::apart`].
    pub(crate) apart: Option<u64>,
    pub(crate) source: Source<P>,
    pub(crate) way: Way,
    /// Peers that did not help.
    pub(crate) tried: BTreeSet<P>,
    unconfirmed: u32,
    failed: u32,
    /// Whether a neighbour has shown what is missing there while it waited.
    shown: bool,
    /// When to ask; `None` while it is being asked.
    not_before: Option<Duration>,
}

impl<P: PartialEq> Task<P> {
    /// Whether this peer alone said it, of itself.
    pub(crate) fn by_word_of(&self, peer: &P) -> bool {
        matches!(&self.source, Source::Peer(source) if source == peer)
    }

    /// How many messages may be missing.
    pub(crate) fn claim(&self) -> u64 {
        self.theirs.saturating_sub(self.ours)
    }

    pub(crate) fn difference(&self) -> Difference {
        let Task { range, theirs, ours, apart, .. } = *self;
        Difference { range, theirs, ours, before: None, apart }
    }
}

/// The tasks of a group.
pub(crate) struct Pursuit<P> {
    tasks: BTreeMap<TaskId, Task<P>>,
    /// The same by where their ranges start.
    starts: BTreeSet<(Key, TaskId)>,
    next: u64,
    stalled_until: Duration,
}

impl<P: Clone + Ord> Pursuit<P> {
    pub(crate) fn new() -> Pursuit<P> {
        Pursuit { tasks: BTreeMap::new(), starts: BTreeSet::new(), next: 0, stalled_until: Duration::ZERO }
    }

    pub(crate) fn task(&self, id: TaskId) -> Option<&Task<P>> {
        self.tasks.get(&id)
    }

    pub(crate) fn tasks(&self) -> impl Iterator<Item = &Task<P>> {
        self.tasks.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// A new difference, to be asked about from `not_before`. Left out where its range is being asked about already; a
    /// neighbour's word replaces rumours, what it said before, and what somebody did not confirm, that wait.
    pub(crate) fn add(
        &mut self,
        difference: Difference,
        source: Source<P>,
        way: Way,
        not_before: Duration,
        limit: usize,
    ) -> bool {
        if source != Source::Hint {
            let replaced =
                |task: &Task<P>| task.source == Source::Hint || task.source == source || task.unconfirmed > 0;
            self.drop_waiting(&difference.range, replaced);
        }
        if self.tasks.len() >= limit || self.overlaps(&difference.range) {
            return false;
        }
        self.insert(difference, source, way, Some(not_before));
        true
    }

    /// A range that is being asked about from now on. The caller has made sure that nothing else covers it.
    pub(crate) fn lock(&mut self, difference: Difference, source: Source<P>, way: Way) -> TaskId {
        self.insert(difference, source, way, None)
    }

    pub(crate) fn overlaps(&self, range: &KeyRange) -> bool {
        self.overlapping(range).next().is_some()
    }

    /// The tasks in `range`, last first: since ranges do not overlap, those before the first that ends in time do so, too.
    fn overlapping(&self, range: &KeyRange) -> impl Iterator<Item = (TaskId, &Task<P>)> {
        let before = self.starts.range(..(range.end(), TaskId(0))).rev();
        let tasks = before.filter_map(|(_, id)| Some((*id, self.tasks.get(id)?)));
        let start = range.start();
        tasks.take_while(move |(_, task)| task.range.end() > start)
    }

    /// Drops what waits in `range` and fits.
    pub(crate) fn drop_waiting(&mut self, range: &KeyRange, fits: impl Fn(&Task<P>) -> bool) {
        let waiting = self.overlapping(range).filter(|(_, task)| task.not_before.is_some() && fits(task));
        for id in waiting.map(|(id, _)| id).collect::<Vec<_>>() {
            self.finish(id);
        }
    }

    /// A neighbour shows so many messages to be missing in `range`. Whether they are asked for there and then: nothing is in the way, or
    /// what waits there does so for them, and for no more. That is asked for with others when its time has come, unless it is shown
    /// again meanwhile: each who does so had to sketch it.
    pub(crate) fn make_way(&mut self, range: &KeyRange, messages: u64) -> bool {
        let inside: Vec<TaskId> = self.overlapping(range).map(|(id, _)| id).collect();
        let tasks = || inside.iter().filter_map(|id| self.tasks.get(id));
        let claims = tasks().map(Task::claim).fold(0, u64::saturating_add);
        let waiting = tasks().all(|task| task.not_before.is_some() && range.covers(&task.range));
        let again = tasks().all(|task| task.shown);
        if !waiting || claims > messages {
            return false;
        }
        for id in inside {
            if again {
                self.finish(id);
            } else if let Some(task) = self.tasks.get_mut(&id) {
                task.shown = true;
            }
        }
        again
    }

    /// The tasks whose time has come, in order of their ranges.
    pub(crate) fn due(&self, now: Duration) -> Vec<TaskId> {
        if now < self.stalled_until {
            return Vec::new();
        }
        let due = self.tasks.iter().filter(|(_, task)| task.not_before.is_some_and(|at| at <= now));
        let mut due: Vec<(KeyRange, TaskId)> = due.map(|(id, task)| (task.range, *id)).collect();
        due.sort_unstable();
        due.into_iter().map(|(_, id)| id).collect()
    }

    /// Whether a task is being asked about, or is due.
    pub(crate) fn busy(&self, now: Duration) -> bool {
        self.tasks.values().any(|task| task.not_before.is_none_or(|at| at <= now))
    }

    /// When the next task is due.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let first = self.tasks.values().filter_map(|task| task.not_before).min()?;
        Some(first.max(self.stalled_until))
    }

    /// Nobody can be asked at the moment.
    pub(crate) fn stall(&mut self, now: Duration) {
        self.stalled_until = now + STALL;
    }

    /// Somebody may be asked again.
    pub(crate) fn wake(&mut self) {
        self.stalled_until = Duration::ZERO;
    }

    /// The task is being asked about.
    pub(crate) fn begin(&mut self, id: TaskId) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.not_before = None;
        }
    }

    /// The task is not being asked about after all.
    pub(crate) fn postpone(&mut self, id: TaskId, now: Duration) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.not_before = Some(now);
        }
    }

    /// Settled, or given up.
    pub(crate) fn finish(&mut self, id: TaskId) -> Option<Task<P>> {
        let task = self.tasks.remove(&id)?;
        self.starts.remove(&(task.range.start(), id));
        Some(task)
    }

    /// The peer holds nothing that is missing here, or nobody could be asked: try elsewhere, later each time. False if that
    /// was the last time.
    pub(crate) fn unconfirmed(&mut self, id: TaskId, peer: Option<&P>, now: Duration) -> bool {
        let Some(task) = self.tasks.get_mut(&id) else { return false };
        task.tried.extend(peer.cloned());
        task.unconfirmed += 1;
        let again = task.unconfirmed < UNCONFIRMED_TRIES && task.claim() > 0;
        // Who said so of itself can be asked at once.
        let known = peer.is_some() && matches!(&task.source, Source::Peer(peer) if !task.tried.contains(peer));
        let wait = if known { Duration::ZERO } else { Duration::from_secs(1 << (task.unconfirmed - 1).min(8)) };
        task.not_before = Some(now + wait);
        if !again {
            self.finish(id);
        }
        again
    }

    /// The peer failed, whatever it holds: try elsewhere at once.
    pub(crate) fn failed(&mut self, id: TaskId, peer: &P, now: Duration) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.tried.insert(peer.clone());
        task.failed += 1;
        task.not_before = Some(now);
        if task.failed >= FAILED_TRIES {
            self.finish(id);
        }
    }

    /// A peer promised messages and did not bring them all: anybody may be asked for the rest. `theirs`: how many keys the
    /// peer has there.
    pub(crate) fn reopen(&mut self, id: TaskId, theirs: u64, peer: &P, now: Duration) {
        if let Some(task) = self.tasks.get_mut(&id) {
            (task.theirs, task.ours, task.apart, task.source) = (theirs, 0, None, Source::Hint);
        }
        self.failed(id, peer, now);
    }

    /// A peer lied: what waits by its word alone is dropped.
    pub(crate) fn disbelieve(&mut self, peer: &P) {
        let by_its_word = |task: &Task<P>| task.not_before.is_some() && task.by_word_of(peer);
        let dropped: Vec<TaskId> = self.tasks.iter().filter(|(_, task)| by_its_word(task)).map(|(id, _)| *id).collect();
        dropped.into_iter().for_each(|id| drop(self.finish(id)));
    }

    /// A peer is gone: what it said of itself may not hold when it comes back.
    pub(crate) fn orphan(&mut self, peer: &P) {
        self.tasks.values_mut().filter(|task| task.by_word_of(peer)).for_each(|task| task.source = Source::Hint);
    }

    /// All peers were tried: any may be tried again.
    pub(crate) fn forget_tried(&mut self, id: TaskId) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.tried.clear();
        }
    }

    fn insert(&mut self, difference: Difference, source: Source<P>, way: Way, not_before: Option<Duration>) -> TaskId {
        let id = TaskId(self.next);
        self.next += 1;
        let Difference { range, theirs, ours, apart, .. } = difference;
        let (tried, unconfirmed, failed, shown) = (BTreeSet::new(), 0, 0, false);
        self.starts.insert((range.start(), id));
        let task = Task { range, theirs, ours, apart, source, way, tried, unconfirmed, failed, shown, not_before };
        self.tasks.insert(id, task);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_makes_way_for_as_much() {
        let range = KeyRange::between;
        let missing = |range: KeyRange, theirs| Difference { range, theirs, ours: 1, before: None, apart: None };
        let waiting = || {
            let mut pursuit = Pursuit::<u32>::new();
            for at in [10, 20] {
                let task = pursuit.lock(missing(range(at, at + 5), 2), Source::Hint, Way::default());
                assert!(pursuit.unconfirmed(task, Some(&7), Duration::ZERO));
            }
            pursuit
        };
        let mut pursuit = waiting();
        assert!(!pursuit.make_way(&range(0, 50), 1), "one of two messages");
        assert!(!pursuit.make_way(&range(0, 22), 9), "it may be about what lies outside");
        assert!(!pursuit.make_way(&range(0, 50), 2), "their time will come");
        assert_eq!(pursuit.len(), 2);
        assert!(pursuit.make_way(&range(0, 50), 2), "shown twice");
        assert_eq!(pursuit.len(), 0);
        assert!(pursuit.make_way(&range(0, 50), 2), "nothing is in the way");

        let mut pursuit = waiting();
        pursuit.lock(missing(range(30, 40), 2), Source::Hint, Way::default());
        for _ in 0..3 {
            assert!(!pursuit.make_way(&range(0, 50), 9), "some of it may be coming");
        }
        assert_eq!(pursuit.len(), 3);
    }
}
