//! The fingerprint of a range whose ends cut honest runs: the short way.
//!
//! Down from the root to the lowest chunk that holds the whole range; from there one way down at each end, and on each level
//! the chunk that is cut keeps the entries on one side of the way. That is all if nothing else can move: on the levels below
//! the common chunk, the run that is cut at the start must end with the chunk that is cut, and the run that is cut at the
//! end must begin with it. Only in over-long runs, which somebody has ground, may cells beside the cut grow together; then
//! [`sequence`](crate::sequence) says what they become.
//!
//! For several ranges, what has to be hashed is noted first, and then hashed side by side: level by level, since a chunk may end with
//! one that was cut below it.
use std::{borrow::Cow, cell::RefCell, ops::Range, sync::Arc};

use crate::{
    Fingerprint, KeyRange, PageError,
    cuts::Cut,
    digest::{self, count_in, digest_in, sum},
    lanes,
    node::{Body, Child, Entry, Inner, Node},
    search::before,
    sequence::{MAX, MIN},
    shape::Raw,
    source::Source,
};

/// Ranges whose hashes go side by side: enough for many lanes, and few enough to hold all chunks that they cut.
const TOGETHER: usize = 256;

/// Why the short way does not lead to the end.
enum Stop {
    /// An over-long run is cut.
    Overlong,
    /// A page could not be read.
    Page(PageError),
}

/// What a part of the tree holds of a range.
#[derive(Clone, Copy)]
enum Part {
    Nothing,
    /// This, as it is hashed one level up.
    Sum(Raw),
    /// What comes of the [hash](Work::hashes) with this index.
    Hash(usize),
}

/// What a chunk holds of a range.
enum Held {
    /// No entry, or one; or what a single chunk below holds.
    Part(Part),
    /// At least two entries: these, with what the chunks cut beside them hold.
    Several { first: Part, between: Range<usize>, last: Part },
}

/// What is to be hashed.
struct Hash {
    node: Arc<Node>,
    first: Part,
    between: Range<usize>,
    last: Part,
}

/// What is left to do when all ranges have been looked at.
struct Work {
    /// None needs one that comes behind it, nor one of its own level.
    hashes: Vec<Hash>,
    /// What is to be remembered.
    cuts: Vec<(Cut, Part)>,
}

impl From<PageError> for Stop {
    fn from(error: PageError) -> Stop {
        Stop::Page(error)
    }
}

/// The fingerprint of the keys in `range`; `overlong` finds it where the short way does not.
pub(crate) fn fingerprint(
    source: &Source,
    root: &Entry,
    range: &KeyRange,
    overlong: impl FnOnce() -> Result<Fingerprint, PageError>,
) -> Result<Fingerprint, PageError> {
    Ok(Way::new(source, root, range, None).held(root, overlong)?.fingerprint(&[]))
}

/// The fingerprints of the keys in each of `ranges`, for less than one after the other.
pub(crate) fn fingerprints(
    source: &Source,
    root: &Entry,
    ranges: &[KeyRange],
    overlong: impl Fn(&KeyRange) -> Result<Fingerprint, PageError>,
) -> Result<Vec<Fingerprint>, PageError> {
    let mut found = Vec::with_capacity(ranges.len());
    for ranges in ranges.chunks(TOGETHER) {
        let work = RefCell::new(Work::with_capacity(3 * ranges.len()));
        let part = |range| Way::new(source, root, range, Some(&work)).held(root, || overlong(range));
        let parts = ranges.iter().map(part).collect::<Result<Vec<_>, _>>()?;
        let sums = work.into_inner().finish(source, root.count());
        found.extend(parts.iter().map(|part| part.fingerprint(&sums)));
    }
    Ok(found)
}

impl Part {
    /// As it is hashed one level up, if it is anything, with what has come of the hashes.
    fn sum(self, sums: &[Raw]) -> Option<Raw> {
        match self {
            Part::Nothing => None,
            Part::Sum(sum) => Some(sum),
            Part::Hash(index) => sums.get(index).copied(),
        }
    }

    fn fingerprint(self, sums: &[Raw]) -> Fingerprint {
        let found = |sum| Fingerprint { digest: digest_in(&sum), count: count_in(&sum) };
        self.sum(sums).map_or_else(digest::empty, found)
    }
}

impl From<Option<Raw>> for Part {
    fn from(sum: Option<Raw>) -> Part {
        sum.map_or(Part::Nothing, Part::Sum)
    }
}

impl Work {
    fn with_capacity(capacity: usize) -> Work {
        Work { hashes: Vec::with_capacity(capacity), cuts: Vec::with_capacity(capacity) }
    }

    /// Notes what is to be hashed.
    fn hash(&mut self, hash: Hash) -> Part {
        self.hashes.push(hash);
        Part::Hash(self.hashes.len() - 1)
    }

    /// Hashes what is to be hashed, and remembers what came of it in a tree of so many `keys`.
    fn finish(self, source: &Source, keys: u64) -> Vec<Raw> {
        let mut sums = vec![[0; 40]; self.hashes.len()];
        let mut order: Vec<usize> = (0..self.hashes.len()).collect();
        order.sort_by_key(|index| self.hashes[*index].node.level);
        for level in order.chunk_by(|a, b| self.hashes[*a].node.level == self.hashes[*b].node.level) {
            let hashes = || level.iter().map(|index| &self.hashes[*index]);
            let entries: Vec<_> = hashes().map(|hash| hash.entries(&sums)).collect();
            let inputs = entries.iter().zip(hashes()).map(|(entries, hash)| (&entries[..], hash.pieces()));
            let digests = digest::of_all(hashes().next().map_or(0, |hash| hash.node.level), inputs, |_, _| {});
            let found: Vec<Raw> = hashes().zip(digests).map(|(hash, digest)| sum(&digest, hash.count(&sums))).collect();
            level.iter().zip(found).for_each(|(index, found)| sums[*index] = found);
        }
        let mut cache = source.lock();
        self.cuts.into_iter().for_each(|(cut, part)| cache.cuts.put(cut, part.sum(&sums), keys));
        sums
    }
}

impl Hash {
    /// What comes of it, where nothing beside it is still to be hashed.
    fn now(&self) -> Raw {
        sum(&digest::of_entries(self.node.level, &self.entries(&[])), self.count(&[]))
    }

    /// What is hashed.
    fn entries(&self, sums: &[Raw]) -> Cow<'_, [Raw]> {
        let between = &self.node.hashed()[self.between.clone()];
        match (self.first.sum(sums), self.last.sum(sums)) {
            (None, None) => Cow::Borrowed(between),
            // Side by side first: BLAKE3 takes an input at one go faster than in pieces.
            (first, last) => {
                let mut all = Vec::with_capacity(between.len() + 2);
                all.extend(first);
                all.extend_from_slice(between);
                all.extend(last);
                Cow::Owned(all)
            }
        }
    }

    /// What is known of the pieces of what is hashed.
    fn pieces(&self) -> &[[u8; 32]] {
        match self {
            Hash { node, first: Part::Nothing, between: Range { start: 0, .. }, last: Part::Nothing } => {
                node.known_pieces()
            }
            _ => lanes::NONE,
        }
    }

    /// Number of keys under what is hashed, by the counts beside: where its pieces are known, it is not touched itself.
    fn count(&self, sums: &[Raw]) -> u64 {
        let beside = [self.first, self.last].map(|part| part.sum(sums).map_or(0, |sum| count_in(&sum)));
        beside[0] + self.node.count_under(self.between.clone()) + beside[1]
    }
}

impl Held {
    /// Some entries of a chunk.
    fn entries(node: &Node, range: Range<usize>) -> Held {
        match range.len() {
            0 => Held::Part(Part::Nothing),
            1 => Held::Part(Part::Sum(node.entry_sum(range.start))),
            _ => Held::Several { first: Part::Nothing, between: range, last: Part::Nothing },
        }
    }

    /// The entries of `node` that are `between`, with others before and behind.
    fn joined(node: &Node, first: Part, between: Range<usize>, last: Part) -> Held {
        match (first, between.len(), last) {
            (Part::Nothing, _, Part::Nothing) => Held::entries(node, between),
            (only, 0, Part::Nothing) | (Part::Nothing, 0, only) => Held::Part(only),
            _ => Held::Several { first, between, last },
        }
    }

    /// The keys of a leaf in `start..end`.
    fn of_leaf(leaf: &Node, start: usize, end: usize) -> Held {
        let whole = start == 0 && end == leaf.len();
        if whole { Held::Part(Part::Sum(sum(&leaf.digest(), leaf.count()))) } else { Held::entries(leaf, start..end) }
    }
}

/// A range in a tree.
struct Way<'a> {
    source: &'a Source,
    from: &'a Raw,
    to: &'a Raw,
    /// Whether no key comes before the range.
    begins: bool,
    /// Number of keys in the tree.
    keys: u64,
    /// Where to note what is to be done later, unless all is done at once.
    work: Option<&'a RefCell<Work>>,
}

impl Way<'_> {
    fn new<'a>(source: &'a Source, root: &Entry, range: &'a KeyRange, work: Option<&'a RefCell<Work>>) -> Way<'a> {
        let (from, to) = range.bounds();
        Way { source, from, to, begins: *from <= root.first, keys: root.count(), work }
    }

    /// What the tree holds of the range; `overlong` finds it where an over-long run is cut.
    fn held(&self, root: &Entry, overlong: impl FnOnce() -> Result<Fingerprint, PageError>) -> Result<Part, PageError> {
        if self.from >= self.to || *self.to <= root.first {
            return Ok(Part::Nothing);
        }
        let Some(node) = self.source.node(root)? else {
            return Ok(if self.begins { Part::Sum(root.fresh_sum()) } else { Part::Nothing });
        };
        let cut = node.known_digest().map(|chunk| Cut { chunk, from: *self.from, to: *self.to });
        // Of many ranges only what the chunks at their ends hold is remembered: they share that, and little more is to be hashed.
        let alone = cut.filter(|_| self.work.is_none());
        if let Some(part) = self.remembered(alone.as_ref()) {
            return Ok(part);
        }
        match self.inside(&node) {
            Ok(held) => Ok(self.note(alone, &node, held)),
            Err(Stop::Page(error)) => Err(error),
            // It has no such ends.
            Err(Stop::Overlong) => {
                if let Some(part) = self.remembered(cut.as_ref()) {
                    return Ok(part);
                }
                let found = overlong()?;
                let part = if found.count > 0 { Part::Sum(sum(&found.digest, found.count)) } else { Part::Nothing };
                Ok(self.note(cut, &node, Held::Part(part)))
            }
        }
    }

    /// What is inside the range, all of which is under `node`.
    fn inside(&self, node: &Node) -> Result<Held, Stop> {
        let Body::Inner(inner) = &node.body else {
            let keys = node.firsts();
            return Ok(Held::entries(node, before(keys, self.from)..before(keys, self.to)));
        };
        let start = node.find(self.from);
        let end = before(node.firsts(), self.to).saturating_sub(1).max(start);
        if start == end {
            let begins = self.from <= &inner.firsts[start];
            if begins && inner.firsts.get(end + 1) == Some(self.to) {
                return Ok(Held::Part(Part::Sum(inner.fresh_sum(start))));
            }
            return self.below(inner, start, (self.from, self.to), begins, |child| self.inside(child)).map(Held::Part);
        }
        let (first, from) = if self.begins || self.is_start(node, start) {
            (Part::Nothing, start)
        } else {
            (self.after(inner, node.level, start, &inner.firsts[start + 1])?, start + 1)
        };
        let next = inner.firsts.get(end + 1);
        let (last, to) = if *self.to == MAX || self.is_end(node, next) {
            (Part::Nothing, end + 1)
        } else {
            (self.before(inner, node.level, end, next)?, end)
        };
        Ok(Held::joined(node, first, from..to, last))
    }

    /// Whether the range begins with the entry at `index` or before it, and a run of the level below does so: then all of it is inside,
    /// as it is stored.
    fn is_start(&self, node: &Node, index: usize) -> bool {
        let first = &node.firsts()[index];
        self.from <= first && self.source.shape.bounds(first, node.level - 1)
    }

    /// Whether the range ends before the `next` entry after one of `node`, and a run of the level below begins there.
    fn is_end(&self, node: &Node, next: Option<&Raw>) -> bool {
        next.is_some_and(|next| next == self.to && self.source.shape.bounds(next, node.level - 1))
    }

    /// What the entry at `index`, of a chunk of `level`, holds from the range's start on, where that [may cut it](Self::is_start).
    /// `next`: the first key after the entry.
    fn after(&self, inner: &Inner, level: u8, index: usize, next: &Raw) -> Result<Part, Stop> {
        if !self.source.shape.bounds(next, level - 1) {
            return Err(Stop::Overlong);
        }
        let whole = self.from <= &inner.firsts[index];
        self.below(inner, index, (self.from, &MAX), whole, |node| self.after_in(node, next))
    }

    fn after_in(&self, node: &Node, next: &Raw) -> Result<Held, Stop> {
        let Body::Inner(inner) = &node.body else {
            return Ok(Held::of_leaf(node, before(node.firsts(), self.from), node.len()));
        };
        let index = node.find(self.from);
        if self.is_start(node, index) {
            return Ok(Held::entries(node, index..node.len()));
        }
        let first = self.after(inner, node.level, index, inner.firsts.get(index + 1).unwrap_or(next))?;
        Ok(Held::joined(node, first, index + 1..node.len(), Part::Nothing))
    }

    /// What the entry at `index`, of a chunk of `level`, holds before the range's end, which is not nothing and [may cut
    /// it](Self::is_end). `next`: the first key after the entry, unless it is the last.
    fn before(&self, inner: &Inner, level: u8, index: usize, next: Option<&Raw>) -> Result<Part, Stop> {
        if !self.source.shape.bounds(&inner.firsts[index], level - 1) {
            return Err(Stop::Overlong);
        }
        self.below(inner, index, (&MIN, self.to), true, |node| self.before_in(node, next))
    }

    fn before_in(&self, node: &Node, next: Option<&Raw>) -> Result<Held, Stop> {
        let end = before(node.firsts(), self.to);
        let Body::Inner(inner) = &node.body else { return Ok(Held::of_leaf(node, 0, end)) };
        let (index, next) = (end.saturating_sub(1), inner.firsts.get(end).or(next));
        if self.is_end(node, next) {
            return Ok(Held::entries(node, 0..end));
        }
        let last = self.before(inner, node.level, index, next)?;
        Ok(Held::joined(node, Part::Nothing, 0..index, last))
    }

    /// What the chunk below the entry at `index` holds of a range, which `look` finds, once in a while. A single key has no chunk: is it
    /// `inside`?
    fn below(
        &self,
        inner: &Inner,
        index: usize,
        (from, to): (&Raw, &Raw),
        inside: bool,
        look: impl FnOnce(&Node) -> Result<Held, Stop>,
    ) -> Result<Part, Stop> {
        if let Child::Key = inner.child(index) {
            return Ok(if inside { Part::Sum(inner.fresh_sum(index)) } else { Part::Nothing });
        }
        let cut = inner.known_chunk(index).map(|chunk| Cut { chunk, from: *from, to: *to });
        if let Some(part) = self.remembered(cut.as_ref()) {
            return Ok(part);
        }
        self.source.with_child(inner, index, |node| {
            node.map_or(Ok(Part::Nothing), |node| Ok(self.note(cut, node, look(node)?)))
        })
    }

    /// What is remembered of a cut.
    fn remembered(&self, cut: Option<&Cut>) -> Option<Part> {
        cut.and_then(|cut| self.source.lock().cuts.get(cut)).map(Part::from)
    }

    /// Hashes what is held of a `node`, or notes that. What comes of it is remembered unless the digest, which names the chunk, would
    /// have to be computed first.
    fn note(&self, cut: Option<Cut>, node: &Arc<Node>, held: Held) -> Part {
        let part = match held {
            Held::Part(part) => part,
            Held::Several { first, between, last } => {
                let hash = Hash { node: node.clone(), first, between, last };
                match self.work {
                    Some(work) => work.borrow_mut().hash(hash),
                    None => Part::Sum(hash.now()),
                }
            }
        };
        match (cut, self.work) {
            (Some(cut), Some(work)) => work.borrow_mut().cuts.push((cut, part)),
            (Some(cut), None) => self.source.lock().cuts.put(cut, part.sum(&[]), self.keys),
            (None, _) => {}
        }
        part
    }
}
