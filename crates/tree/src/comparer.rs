//! Comparing somebody's spans with a set.
use std::collections::VecDeque;

use crate::{Fingerprint, Key, KeyRange, PageError, Snapshot, between};

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
    /// The ends of the spans that are to come, with the next chunk starts.
    ends: VecDeque<(Key, Place)>,
    /// A bound, and the chunk start after it: it is known that the set has nothing in between.
    bare: Option<(Key, Place)>,
}

/// A key, and the number of keys before it.
type Place = (Key, u64);

impl<'a> Comparer<'a> {
    /// For these spans, given by their ranges and counts, in order.
    pub fn of(set: &'a Snapshot, spans: impl Iterator<Item = (KeyRange, u64)>) -> Result<Comparer<'a>, PageError> {
        let (mut ends, mut alike) = (VecDeque::new(), Vec::new());
        for (range, count) in spans {
            let (start, before) = match ends.back() {
                Some((bound, start)) if *bound == range.start() => *start,
                _ => (range.start(), set.rank(&range.start())?),
            };
            let (end, rank) = set.chunk_start_from(&range.end())?;
            ends.push_back((range.end(), (end, rank)));
            alike.extend(KeyRange::new(start, end).ok().filter(|_| rank.checked_sub(before) == Some(count)));
        }
        if let Some(root) = &set.root {
            between::prepare(&set.source, root, alike.into_iter())?;
        }
        Ok(Comparer { set, ends, bare: None })
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
        let equal = |(start, before): Place, (end, rank): Place| -> Result<bool, PageError> {
            let Ok(range) = KeyRange::new(start, end) else { return Ok(false) };
            Ok(rank.checked_sub(before) == Some(count) && matches(&self.set.fingerprint(&range)?))
        };
        let place = |bound: Key| -> Result<Place, PageError> { Ok((bound, self.set.rank(&bound)?)) };
        let start = match self.bare {
            Some((bound, start)) if bound == range.start() => start,
            _ => place(range.start())?,
        };
        let end = match self.ends.pop_front() {
            Some((bound, end)) if bound == range.end() => end,
            _ => self.set.chunk_start_from(&range.end())?,
        };
        if equal(start, end)? {
            self.bare = Some((range.end(), end));
            return Ok(true);
        }
        self.bare = None;
        equal(place(range.start())?, place(range.end())?)
    }
}
