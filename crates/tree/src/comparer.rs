//! Comparing somebody's spans with a set.
use std::collections::VecDeque;

use crate::{Fingerprint, Key, KeyRange, PageError, Snapshot};

/// Compares spans with a set, one after the other.
///
/// Spans are mostly cut where a chunk starts, but their bounds are shortest separators, which lie a little before. To see that no
/// key lies between takes a look at the chunk before, for each cut: a page to be read where the set is on disk. So a span is
/// first compared as if it were cut where the next chunks start. If that is equal, it has been shown that nothing lies between its
/// end and the next chunk, since no key from there on is under the other's digest; and so for the start of the span that follows.
///
/// What the digests take is hashed side by side, for all spans that have equal counts.
pub struct Comparer<'a> {
    set: &'a Snapshot,
    /// The spans that are to come.
    coming: VecDeque<Coming>,
    /// A bound, and the chunk start after it: it is known that the set has nothing in between.
    bare: Option<(Key, Place)>,
}

/// A key, and the number of keys before it.
type Place = (Key, u64);

/// A span that is to come.
struct Coming {
    end: Key,
    /// The next chunk start.
    start_after: Place,
    /// Where the counts agree: the fingerprint of what it holds, if the spans before are equal.
    found: Option<(KeyRange, Fingerprint)>,
}

impl<'a> Comparer<'a> {
    /// For these spans, given by their ranges and counts, in order.
    pub fn of(set: &'a Snapshot, spans: impl Iterator<Item = (KeyRange, u64)>) -> Result<Comparer<'a>, PageError> {
        let (mut coming, mut alike): (VecDeque<Coming>, _) = (VecDeque::new(), Vec::new());
        for (range, count) in spans {
            let (start, before) = match coming.back() {
                Some(last) if last.end == range.start() => last.start_after,
                _ => (range.start(), set.rank(&range.start())?),
            };
            let start_after = set.chunk_start_from(&range.end())?;
            coming.push_back(Coming { end: range.end(), start_after, found: None });
            let held = KeyRange::new(start, start_after.0).ok();
            let held = held.filter(|_| start_after.1.checked_sub(before) == Some(count));
            alike.extend(held.map(|held| (coming.len() - 1, held)));
        }
        let (places, held): (Vec<_>, Vec<_>) = alike.into_iter().unzip();
        for ((place, held), found) in places.into_iter().zip(&held).zip(set.fingerprints(&held)?) {
            coming[place].found = Some((*held, found));
        }
        Ok(Comparer { set, coming, bare: None })
    }

    /// Whether the set has `count` keys in `range`, with a fingerprint that `matches`.
    ///
    /// Counts are cheap and come first: only equal ones are worth a digest.
    pub fn equals(
        &mut self,
        range: &KeyRange,
        count: u64,
        matches: impl Fn(&Fingerprint) -> bool,
    ) -> Result<bool, PageError> {
        let place = |bound: Key| -> Result<Place, PageError> { Ok((bound, self.set.rank(&bound)?)) };
        let start = match self.bare.take() {
            Some((bound, start)) if bound == range.start() => start,
            _ => place(range.start())?,
        };
        let (end, known) = match self.coming.pop_front() {
            Some(coming) if coming.end == range.end() => (coming.start_after, coming.found),
            _ => (self.set.chunk_start_from(&range.end())?, None),
        };
        let equal = |(start, before): Place, (end, rank): Place| -> Result<bool, PageError> {
            let Ok(range) = KeyRange::new(start, end) else { return Ok(false) };
            if rank.checked_sub(before) != Some(count) {
                return Ok(false);
            }
            let known = known.filter(|(held, _)| *held == range);
            Ok(matches(&known.map_or_else(|| self.set.fingerprint(&range), |(_, found)| Ok(found))?))
        };
        if equal(start, end)? {
            self.bare = Some((range.end(), end));
            return Ok(true);
        }
        equal(place(range.start())?, place(range.end())?)
    }
}
