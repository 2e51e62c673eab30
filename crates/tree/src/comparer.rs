//! Comparing somebody's spans with a set.
use crate::{Fingerprint, Key, KeyRange, PageError, Snapshot};

/// Compares spans with a set, one after the other.
///
/// Spans are mostly cut where a chunk starts, but their bounds are shortest separators, which lie a little before. To see that no
/// key lies between takes a look at the chunk before, for each cut: a page to be read where the set is on disk. So a span is
/// first compared as if it were cut where the next chunks start. If that is equal, it has been shown that nothing lies between its
/// end and the next chunk, since no key from there on is under the other's digest; and so for the start of the span that follows.
pub struct Comparer<'a> {
    set: &'a Snapshot,
    /// A bound, and the chunk start after it: it is known that the set has nothing in between.
    bare: Option<(Key, Place)>,
}

/// A key, and the number of keys before it.
type Place = (Key, u64);

impl Comparer<'_> {
    /// For spans that are given in order.
    pub fn new(set: &Snapshot) -> Comparer<'_> {
        Comparer { set, bare: None }
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
        let end = self.set.chunk_start_from(&range.end())?;
        if equal(start, end)? {
            self.bare = Some((range.end(), end));
            return Ok(true);
        }
        self.bare = None;
        equal(place(range.start())?, place(range.end())?)
    }
}
