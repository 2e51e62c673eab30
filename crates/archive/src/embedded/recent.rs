//! What was admitted since the index was written.
use std::sync::Arc;

use hearken_tree::{Id, Key, KeyRange};

/// A message's key and sequence.
pub(super) type Place = (Key, u64);

/// The keys and sequences of messages that are stored, but not entered in the tables of keys and ids yet.
///
/// A few sorted runs, each at least twice as long as the next: so adding a commit's worth moves each place a logarithmic
/// number of times, and readers keep the runs they know.
#[derive(Clone, Default)]
pub(super) struct Recent {
    runs: Vec<Arc<[Place]>>,
    bytes: u64,
}

impl Recent {
    /// With the places that one commit adds, in order, whose bodies take `bytes`.
    pub(super) fn with(&self, places: Vec<Place>, bytes: u64) -> Recent {
        let mut recent = self.clone();
        recent.bytes += bytes;
        if places.is_empty() {
            return recent;
        }
        let mut last = places;
        while let Some(run) = recent.runs.pop_if(|run| run.len() < 2 * last.len()) {
            last = merge(&run, &last);
        }
        recent.runs.push(last.into());
        recent
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.runs.iter().map(|run| run.len()).sum()
    }

    /// Bytes of their bodies.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The key of the message with this id. Looks at all of them: whoever asks by id waits for more than that.
    pub(super) fn find(&self, id: &Id) -> Option<Key> {
        let key = |run: &Arc<[Place]>| run.iter().map(|place| place.0).find(|key| key.as_bytes()[8..] == id.0);
        self.runs.iter().find_map(key)
    }

    /// The first key.
    pub(super) fn first(&self) -> Option<Key> {
        self.runs.iter().filter_map(|run| run.first()).map(|place| place.0).min()
    }

    /// All in order.
    pub(super) fn sorted(&self) -> Vec<Place> {
        self.runs.iter().rev().fold(Vec::new(), |all, run| merge(run, &all))
    }

    /// Which of these keys, which are in order, are among them. Goes through one run after the other, so that memory is read in order.
    pub(super) fn contain(&self, keys: &[Key]) -> Vec<bool> {
        let mut found = vec![false; keys.len()];
        for run in &self.runs {
            let mut rest = &run[..];
            for (key, found) in keys.iter().zip(&mut found) {
                rest = rest.get(before(rest, key)..).unwrap_or_default();
                *found |= rest.first().is_some_and(|place| place.0 == *key);
            }
        }
        found
    }

    /// Those in a range, one by one from either end.
    pub(super) fn range(&self, range: &KeyRange) -> RecentRange {
        let within = |run: &Arc<[Place]>| {
            let start = run.partition_point(|place| place.0 < range.start());
            let end = run.partition_point(|place| place.0 < range.end());
            (run.clone(), start..end)
        };
        RecentRange { runs: self.runs.iter().map(within).filter(|(_, range)| !range.is_empty()).collect() }
    }
}

/// What is left of a range.
pub(super) struct RecentRange {
    runs: Vec<(Arc<[Place]>, std::ops::Range<usize>)>,
}

impl RecentRange {
    /// The first place left.
    pub(super) fn first(&self) -> Option<Place> {
        self.runs.iter().filter_map(|(run, range)| run.get(range.clone())?.first()).min().copied()
    }

    /// The last place left.
    pub(super) fn last(&self) -> Option<Place> {
        self.runs.iter().filter_map(|(run, range)| run.get(range.clone())?.last()).max().copied()
    }

    /// Lets go of the place at `key`, which is the first or the last one left.
    pub(super) fn take(&mut self, key: &Key) {
        for (run, range) in &mut self.runs {
            let places = run.get(range.clone()).unwrap_or_default();
            if places.first().is_some_and(|place| place.0 == *key) {
                range.start += 1;
            } else if places.last().is_some_and(|place| place.0 == *key) {
                range.end -= 1;
            }
        }
    }

    /// The sequence of the message at `key`; lets go of all before.
    pub(super) fn seek(&mut self, key: &Key) -> Option<u64> {
        let mut found = None;
        for (run, range) in &mut self.runs {
            let places = run.get(range.clone()).unwrap_or_default();
            let skip = before(places, key);
            range.start += skip;
            found = found.or(places.get(skip).filter(|place| place.0 == *key).map(|place| place.1));
        }
        found
    }
}

/// Finds places one by one, quickly where keys ascend.
pub(super) struct Finder<'r> {
    recent: &'r Recent,
    left: RecentRange,
    last: Key,
}

impl<'r> Finder<'r> {
    pub(super) fn new(recent: &'r Recent) -> Finder<'r> {
        Finder { recent, left: recent.range(&KeyRange::ALL), last: Key::MIN }
    }

    /// The sequence of the message at `key`.
    pub(super) fn sequence(&mut self, key: &Key) -> Option<u64> {
        if *key < self.last {
            self.left = self.recent.range(&KeyRange::ALL);
        }
        self.last = *key;
        self.left.seek(key)
    }
}

/// How many places come before `key`. Looks near the first one first: who goes through a run goes in small steps.
fn before(places: &[Place], key: &Key) -> usize {
    let is_before = |at: usize| places.get(at).is_some_and(|place| place.0 < *key);
    let mut past = 1;
    while is_before(past - 1) {
        past *= 2;
    }
    let (from, to) = (past / 2, past.min(places.len()));
    from + places.get(from..to).unwrap_or_default().partition_point(|place| place.0 < *key)
}

/// Two sorted runs as one.
fn merge(a: &[Place], b: &[Place]) -> Vec<Place> {
    let mut merged = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a, b);
    while let ([first, rest_a @ ..], [second, rest_b @ ..]) = (a, b) {
        if first < second {
            merged.push(*first);
            a = rest_a;
        } else {
            merged.push(*second);
            b = rest_b;
        }
    }
    merged.extend_from_slice(a);
    merged.extend_from_slice(b);
    merged
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn key(n: u16) -> Key {
        Key::new(u64::from(n / 8), Id([u8::try_from(n % 8).unwrap_or(0); 32]))
    }

    proptest! {
        /// However they came, they are found as in a map.
        #[test]
        fn recent_places_are_a_map(batches in prop::collection::vec(prop::collection::btree_set(0u16..400, 0..40), 0..12), from in 0u16..400, to in 0u16..400) {
            let (mut recent, mut map) = (Recent::default(), BTreeMap::new());
            for batch in batches {
                let new: Vec<Place> = batch.iter().map(|n| key(*n)).filter(|key| !map.contains_key(key)).zip(map.len() as u64..).collect();
                map.extend(new.iter().copied());
                recent = recent.with(new, 3);
                prop_assert!(recent.runs.windows(2).all(|pair| pair[0].len() >= 2 * pair[1].len()));
            }
            prop_assert_eq!(recent.len(), map.len());
            prop_assert_eq!(recent.sorted(), map.clone().into_iter().collect::<Vec<_>>());
            prop_assert_eq!(recent.first(), map.keys().next().copied());
            let range = KeyRange::new(key(from.min(to)), key(from.max(to))).expect("in order");
            let (mut forward, mut backward, mut seeking) = (recent.range(&range), recent.range(&range), recent.range(&range));
            for (expected, sequence) in map.range(range.start()..range.end()) {
                prop_assert_eq!(forward.first(), Some((*expected, *sequence)));
                forward.take(expected);
            }
            for (expected, sequence) in map.range(range.start()..range.end()).rev() {
                prop_assert_eq!(backward.last(), Some((*expected, *sequence)));
                backward.take(expected);
            }
            prop_assert!(forward.first().is_none() && backward.last().is_none());
            for n in (0..400).map(key) {
                prop_assert_eq!(seeking.seek(&n), map.get(&n).copied().filter(|_| range.contains(&n)));
            }
            let all: Vec<Key> = (0..400).map(key).collect();
            let contained = recent.contain(&all);
            prop_assert!(all.iter().zip(contained).all(|(key, found)| found == map.contains_key(key)));
            let mut finder = Finder::new(&recent);
            for n in (from..400).chain(to..400).chain(0..from).map(key) {
                prop_assert_eq!(finder.sequence(&n), map.get(&n).copied());
            }
        }
    }
}
