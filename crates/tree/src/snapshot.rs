use std::ops::ControlFlow;

use crate::{
    Comparer, Fingerprint, Key, KeyRange, Keys, PageError, PageId, Span, between, cursor, digest,
    edit::Core,
    node::{Body, Entry},
    pieces::{Piece, Purpose},
    sequence::{Base, MAX, Segment, Stored},
    shape::Shape,
    source::Source,
    summary::{self, Cut},
    visit,
};

/// A set as it stood when [`Tree::snapshot`](crate::Tree::snapshot) was called. Cheap to clone, safe to read from other threads.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) source: Source,
    pub(crate) root: Option<Entry>,
}

impl Default for Snapshot {
    fn default() -> Snapshot {
        Snapshot { source: Source::in_memory(Shape::STANDARD, 0), root: None }
    }
}

impl Snapshot {
    pub(crate) fn of(core: &Core) -> Snapshot {
        Snapshot { source: core.source.clone(), root: core.root.clone() }
    }

    /// Number of keys.
    pub fn len(&self) -> u64 {
        self.root.as_ref().map_or(0, Entry::count)
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// The fingerprint of the whole set. Hashes what changed since it was last asked for.
    pub fn root(&self) -> Result<Fingerprint, PageError> {
        Ok(self.root.as_ref().map_or_else(digest::empty, Entry::fingerprint))
    }

    /// Whether `key` is in the set. O(log n).
    pub fn contains(&self, key: &Key) -> Result<bool, PageError> {
        Ok(self.key_from(key)? == Some(*key))
    }

    /// The fingerprint of the keys in `range`, whatever its bounds: from stored digests and, at each end and level, at most
    /// some chunks that are hashed anew.
    pub fn fingerprint(&self, range: &KeyRange) -> Result<Fingerprint, PageError> {
        let Some(root) = &self.root else { return Ok(digest::empty()) };
        between::fingerprint(&self.source, root, range, || self.cut_fingerprint(root, range))
    }

    /// The fingerprints of several ranges, for less than one after the other.
    pub(crate) fn fingerprints(&self, ranges: &[KeyRange]) -> Result<Vec<Fingerprint>, PageError> {
        let Some(root) = &self.root else { return Ok(vec![digest::empty(); ranges.len()]) };
        between::fingerprints(&self.source, root, ranges, |range| self.cut_fingerprint(root, range))
    }

    /// The same where a range may cut over-long runs: each level's chunks one after the other.
    fn cut_fingerprint(&self, root: &Entry, range: &KeyRange) -> Result<Fingerprint, PageError> {
        let (&from, &to) = range.bounds();
        let stored = Stored { from, to, begins: from <= root.first, ends: to == MAX };
        let base = Base { source: &self.source, root };
        let mut segments = vec![Segment::Stored(stored)];
        for level in base.uncut_levels(&stored)?..=u8::MAX {
            segments = base.step(level, segments, Purpose::Digest)?;
            match segments.as_slice() {
                [] => break,
                [Segment::List(pieces)] => {
                    if let [Piece::One(entry)] = pieces.as_slice() {
                        return Ok(entry.fingerprint());
                    }
                }
                [Segment::Stored(stored)] => {
                    if let Some(entry) = base.only_entry(level, &stored.from, &stored.to)? {
                        return Ok(entry.fingerprint());
                    }
                }
                _ => {}
            }
        }
        Ok(digest::empty())
    }

    /// Number of keys in `range`. O(Q log n); reads no more than two paths.
    pub fn count(&self, range: &KeyRange) -> Result<u64, PageError> {
        Ok(self.rank(&range.end())? - self.rank(&range.start())?)
    }

    /// Number of keys before `key`. O(Q log n).
    pub fn rank(&self, key: &Key) -> Result<u64, PageError> {
        self.root.as_ref().map_or(Ok(0), |root| cursor::rank(&self.source, root, key.as_bytes()))
    }

    /// The key with `rank` keys before it; `None` if there are not more. O(Q log n).
    pub fn nth(&self, rank: u64) -> Result<Option<Key>, PageError> {
        let Some(root) = self.root.as_ref().filter(|root| rank < root.count()) else { return Ok(None) };
        let (mut rest, mut first) = (rank, root.first);
        let found = self.source.descend(root, |node| match &node.body {
            Body::Leaf(keys) => ControlFlow::Break(usize::try_from(rest).ok().and_then(|at| keys.get(at)).copied()),
            Body::Inner(inner) => {
                let (index, before) = inner.find_rank(rest);
                rest -= before;
                first = inner.firsts[index];
                ControlFlow::Continue(index)
            }
        })?;
        Ok(found.unwrap_or(Some(first)).map(Key::from_bytes))
    }

    /// The first key that is not before `key`; `None` if there is none. O(log n).
    pub fn key_from(&self, key: &Key) -> Result<Option<Key>, PageError> {
        let Some(root) = &self.root else { return Ok(None) };
        let base = Base { source: &self.source, root };
        Ok(base.first_from(0, key.as_bytes())?.map(Key::from_bytes))
    }

    /// The keys in `range`, in order. After an error the iterator ends.
    pub fn keys(&self, range: &KeyRange) -> Keys {
        Keys::new(&self.source, self.root.as_ref(), range)
    }

    /// Hands the keys in `range` to `visit` in order, many at a time, as [`Key::as_bytes`] gives them: for whoever reads a million
    /// of them. Loads one page at a time. After an error some have been handed over.
    pub fn visit(&self, range: &KeyRange, mut visit: impl FnMut(&[[u8; Key::LEN]])) -> Result<(), PageError> {
        let Some(root) = &self.root else { return Ok(()) };
        visit::visit(&self.source, root, (range.start().as_bytes(), range.end().as_bytes()), &mut visit)
    }

    /// Cuts `range` into at most `parts` consecutive spans that cover it, of about equal counts, cut at chunk boundaries
    /// where such are near. At least two if `range` holds two keys and `parts` allows it.
    ///
    /// Every cut is the shortest prefix that separates the keys on its two sides, padded with zeros.
    pub fn split(&self, range: &KeyRange, parts: usize) -> Result<Vec<Span>, PageError> {
        self.spans(&summary::equal_counts(self, range, parts)?)
    }

    /// Cuts `window` into at most `spans` consecutive spans that cover it: about half of them by age (finer the younger, at
    /// multiples of 2^k minutes, or beside them where a chunk starts there), the rest where the counts are largest, as
    /// [`split`](Self::split) cuts.
    pub fn summary(&self, window: &KeyRange, spans: usize) -> Result<Vec<Span>, PageError> {
        self.spans(&summary::by_age_and_count(self, window, spans)?)
    }

    /// The same with fewer spans if these are too many: by how many, `excess` says, which is told where a summary is cut and how many
    /// keys are between. That is all that its length depends on, and known before anything is hashed. `None` if more than one in eight
    /// are too many.
    ///
    /// The spans that hold the fewest keys are joined, which takes nothing, where other cuts would have to be looked for.
    pub fn summary_if(
        &self,
        window: &KeyRange,
        spans: usize,
        mut excess: impl FnMut(&[(KeyRange, u64)]) -> usize,
    ) -> Result<Option<Vec<Span>>, PageError> {
        let mut cuts = summary::by_age_and_count(self, window, spans)?;
        let least = cuts.len() - cuts.len() / 8;
        loop {
            let counts = cuts.windows(2).filter_map(|pair| {
                let range = KeyRange::new(pair[0].bound, pair[1].bound).ok()?;
                Some((range, pair[1].rank - pair[0].rank))
            });
            match excess(&counts.collect::<Vec<_>>()) {
                0 => return self.spans(&cuts).map(Some),
                excess if least.saturating_add(excess) > cuts.len() => return Ok(None),
                excess => summary::join_smallest(&mut cuts, excess),
            }
        }
    }

    /// Every chunk of several entries, with the number of its entries: what a test compares with the definition.
    #[doc(hidden)]
    pub fn chunks(&self) -> Result<Vec<(PageId, usize, Fingerprint)>, PageError> {
        let mut chunks = Vec::new();
        let mut open: Vec<Entry> = self.root.iter().cloned().collect();
        while let Some(entry) = open.pop() {
            if let (Some(node), Some(page)) = (self.source.node(&entry)?, entry.page()) {
                chunks.push((page, node.len(), entry.fingerprint()));
                if node.level > 0 {
                    open.extend((0..node.len()).map(|i| node.entry(i)));
                }
            }
        }
        chunks.sort_unstable_by_key(|(page, ..)| *page);
        Ok(chunks)
    }

    /// The spans of a foreign `summary` that differ from this set, each with this set's own fingerprint.
    ///
    /// Only what is settled at both ends should be compared: cut the summary to that first.
    pub fn differing(&self, summary: &[Span]) -> Result<Vec<Span>, PageError> {
        let mut comparer = Comparer::of(self, summary.iter().map(|span| (span.range, span.fingerprint.count)))?;
        let mut differing = Vec::new();
        for Span { range, fingerprint } in summary {
            if !comparer.equals(range, fingerprint.count, |own| own == fingerprint)? {
                differing.push(Span { range: *range, fingerprint: self.fingerprint(range)? });
            }
        }
        Ok(differing)
    }

    /// Where the first chunk starts that does not start before `key`, and the number of keys before it; [`Key::MAX`] if none does.
    /// Reads no chunk of keys.
    pub(crate) fn chunk_start_from(&self, key: &Key) -> Result<(Key, u64), PageError> {
        let (key, Some(root)) = (key.as_bytes(), &self.root) else { return Ok((Key::MAX, 0)) };
        if *key <= root.first {
            return Ok((Key::from_bytes(root.first), 0));
        }
        let (mut before, mut first, mut next) = (0, root.first, (MAX, root.count()));
        let found = self.source.descend(root, |node| {
            let Body::Inner(inner) = &node.body else { return ControlFlow::Break(next) };
            let index = node.guess_before(key, &first, Some(&next.0).filter(|next| **next < MAX));
            before += node.count_before(index);
            first = inner.firsts[index];
            if first == *key {
                return ControlFlow::Break((*key, before));
            }
            if let Some(first) = inner.firsts.get(index + 1) {
                next = (*first, before + inner.count(index));
            }
            if node.level == 1 { ControlFlow::Break(next) } else { ControlFlow::Continue(index) }
        })?;
        let (start, rank) = found.unwrap_or(next);
        Ok((Key::from_bytes(start), rank))
    }

    fn spans(&self, cuts: &[Cut]) -> Result<Vec<Span>, PageError> {
        let (mut ranges, mut held) = (Vec::with_capacity(cuts.len()), Vec::with_capacity(cuts.len()));
        for pair in cuts.windows(2) {
            let [from, to] = pair else { continue };
            if let (Ok(range), Ok(between)) = (KeyRange::new(from.bound, to.bound), KeyRange::new(from.start, to.start))
            {
                ranges.push(range);
                held.push(between);
            }
        }
        let found = self.fingerprints(&held)?;
        Ok(ranges.into_iter().zip(found).map(|(range, fingerprint)| Span { range, fingerprint }).collect())
    }
}
