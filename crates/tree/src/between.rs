//! The fingerprint of a range whose ends cut honest runs: the short way.
//!
//! Down from the root to the lowest chunk that holds the whole range; from there one way down at each end, and on each level
//! the chunk that is cut keeps the entries on one side of the way. That is all if nothing else can move: on the levels below
//! the common chunk, the run that is cut at the start must end with the chunk that is cut, and the run that is cut at the
//! end must begin with it. Only in over-long runs, which somebody has ground, may cells beside the cut grow together; then
//! [`sequence`](crate::sequence) says what they become.
//!
//! Several ranges are gone through twice: first to see what has to be hashed, which is then hashed side by side.
use std::{cell::RefCell, ops::Range, sync::Arc};

use crate::{
    Fingerprint, KeyRange, PageError,
    cuts::{Cut, Cuts},
    digest::{self, count_in, digest_in, sum},
    lanes,
    node::{Body, Child, Entry, Inner, Node},
    search::before,
    sequence::{MAX, MIN},
    shape::Raw,
    source::Source,
};

/// Why the short way does not lead to the end.
enum Stop {
    /// An over-long run is cut.
    Overlong,
    /// A page could not be read.
    Page(PageError),
    /// Something is hashed later.
    Later,
}

/// What a chunk holds of a range.
enum Held {
    /// An entry of the level above as it is hashed, or nothing.
    Sum(Option<Raw>),
    /// Its entries in this range, at least two.
    Part(Range<usize>),
    /// Entries of its level, as they are hashed.
    Entries(Vec<Raw>),
}

/// What is hashed later.
struct Later {
    cut: Cut,
    node: Arc<Node>,
    held: Held,
}

impl From<PageError> for Stop {
    fn from(error: PageError) -> Stop {
        Stop::Page(error)
    }
}

/// The fingerprint of the keys in `from..to`; `overlong` finds it where the short way does not.
pub(crate) fn fingerprint(
    source: &Source,
    root: &Entry,
    (from, to): (&Raw, &Raw),
    overlong: impl FnOnce() -> Result<Fingerprint, PageError>,
) -> Result<Fingerprint, PageError> {
    let held = Way::new(source, root, from, to, None).held(root, || {
        let found = overlong()?;
        Ok(Held::Sum((found.count > 0).then(|| sum(&found.digest, found.count))))
    });
    match held {
        Ok(held) => {
            Ok(held.map_or_else(digest::empty, |sum| Fingerprint { digest: digest_in(&sum), count: count_in(&sum) }))
        }
        Err(Stop::Page(error)) => Err(error),
        Err(Stop::Overlong | Stop::Later) => unreachable!("the long way leads to the end, and all is hashed at once"),
    }
}

/// Hashes what the fingerprints of `ranges` take, as far as it takes no other hash before, and remembers it.
pub(crate) fn prepare(
    source: &Source,
    root: &Entry,
    ranges: impl ExactSizeIterator<Item = KeyRange>,
) -> Result<(), PageError> {
    // Two cuts a range, on about two levels.
    if ranges.len() * 4 > Cuts::most(root.count()) {
        return Ok(());
    }
    let later = RefCell::new(Vec::new());
    for range in ranges {
        let (from, to) = (range.start(), range.end());
        match Way::new(source, root, from.as_bytes(), to.as_bytes(), Some(&later)).held(root, || Err(Stop::Later)) {
            Err(Stop::Page(error)) => return Err(error),
            Ok(_) | Err(Stop::Overlong | Stop::Later) => {}
        }
    }
    let mut later = later.into_inner();
    later.sort_by_key(|later| later.node.level);
    for level in later.chunk_by(|a, b| a.node.level == b.node.level) {
        let hashed = level.iter().map(|later| (later.entries(), later.pieces()));
        let digests = digest::of_all(level[0].node.level, hashed, |_, _| {});
        let mut cache = source.lock();
        for (later, digest) in level.iter().zip(digests) {
            let held = sum(&digest, later.held.count(&later.node));
            cache.cuts.put(later.cut, Some(held), root.count());
        }
    }
    Ok(())
}

impl Later {
    fn entries(&self) -> &[Raw] {
        self.held.entries(&self.node)
    }

    /// What is known of the pieces of what is hashed.
    fn pieces(&self) -> &[[u8; 32]] {
        if let Held::Part(Range { start: 0, .. }) = self.held { self.node.known_pieces() } else { lanes::NONE }
    }
}

impl Held {
    /// Some entries of a chunk.
    fn part(node: &Node, range: Range<usize>) -> Held {
        match range.len() {
            0 => Held::Sum(None),
            1 => Held::Sum(Some(node.entry_sum(range.start))),
            _ => Held::Part(range),
        }
    }

    /// What is hashed, if anything is, of what this `node` holds.
    fn entries<'a>(&'a self, node: &'a Node) -> &'a [Raw] {
        match self {
            Held::Sum(_) => &[],
            Held::Part(range) => &node.hashed()[range.clone()],
            Held::Entries(entries) => entries,
        }
    }

    /// Number of keys under what is hashed.
    fn count(&self, node: &Node) -> u64 {
        match self {
            Held::Sum(_) => 0,
            // What is hashed need not be touched, where its pieces are known.
            Held::Part(range) => node.count_before(range.end) - node.count_before(range.start),
            Held::Entries(entries) => node.count_of(entries),
        }
    }
}

/// A range in a tree. What a part of the tree holds of it is an entry as it is hashed, or nothing.
struct Way<'a> {
    source: &'a Source,
    from: &'a Raw,
    to: &'a Raw,
    /// Whether no key comes before the range.
    begins: bool,
    /// Number of keys in the tree.
    keys: u64,
    /// Where to note what is hashed later, unless it is hashed at once.
    later: Option<&'a RefCell<Vec<Later>>>,
}

impl Way<'_> {
    fn new<'a>(
        source: &'a Source,
        root: &Entry,
        from: &'a Raw,
        to: &'a Raw,
        later: Option<&'a RefCell<Vec<Later>>>,
    ) -> Way<'a> {
        Way { source, from, to, begins: *from <= root.first, keys: root.count(), later }
    }

    /// What the tree holds of the range; `overlong` finds it where an over-long run is cut.
    fn held(&self, root: &Entry, overlong: impl FnOnce() -> Result<Held, Stop>) -> Result<Option<Raw>, Stop> {
        if self.from >= self.to || *self.to <= root.first {
            return Ok(None);
        }
        let Some(node) = self.source.node(root)? else { return Ok(self.begins.then(|| root.fresh_sum())) };
        let cut = node.known_digest().map(|chunk| Cut { chunk, from: *self.from, to: *self.to });
        if let Some(held) = self.remembered(cut.as_ref()) {
            return Ok(held);
        }
        let held = match self.inside(&node) {
            Err(Stop::Overlong) => overlong()?,
            held => held?,
        };
        self.hashed(cut, &node, held)
    }

    /// What is inside the range, all of which is under `node`.
    fn inside(&self, node: &Node) -> Result<Held, Stop> {
        let Body::Inner(inner) = &node.body else {
            let keys = node.firsts();
            return Ok(Held::part(node, before(keys, self.from)..before(keys, self.to)));
        };
        let start = node.find(self.from);
        let end = before(node.firsts(), self.to).saturating_sub(1).max(start);
        if start == end {
            let begins = self.from <= &inner.firsts[start];
            if begins && inner.firsts.get(end + 1) == Some(self.to) {
                return Ok(Held::Sum(Some(inner.fresh_sum(start))));
            }
            return self.below(inner, start, (self.from, self.to), begins, |child| self.inside(child)).map(Held::Sum);
        }
        let (first, from) = if self.begins || self.is_start(node, start) {
            (Ok(None), start)
        } else {
            (self.after(inner, node.level, start, &inner.firsts[start + 1]), start + 1)
        };
        if let Err(Stop::Overlong | Stop::Page(_)) = first {
            return first.map(Held::Sum);
        }
        let next = inner.firsts.get(end + 1);
        let (last, to) = if *self.to == MAX || self.is_end(node, next) {
            (None, end + 1)
        } else {
            (self.before(inner, node.level, end, next)?, end)
        };
        Ok(joined(node, first?, from..to, last))
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
    fn after(&self, inner: &Inner, level: u8, index: usize, next: &Raw) -> Result<Option<Raw>, Stop> {
        if !self.source.shape.bounds(next, level - 1) {
            return Err(Stop::Overlong);
        }
        let whole = self.from <= &inner.firsts[index];
        self.below(inner, index, (self.from, &MAX), whole, |node| self.after_in(node, next))
    }

    fn after_in(&self, node: &Node, next: &Raw) -> Result<Held, Stop> {
        let Body::Inner(inner) = &node.body else {
            return Ok(of_leaf(node, before(node.firsts(), self.from), node.len()));
        };
        let index = node.find(self.from);
        if self.is_start(node, index) {
            return Ok(Held::part(node, index..node.len()));
        }
        let first = self.after(inner, node.level, index, inner.firsts.get(index + 1).unwrap_or(next))?;
        Ok(joined(node, first, index + 1..node.len(), None))
    }

    /// What the entry at `index`, of a chunk of `level`, holds before the range's end, which is not nothing and [may cut
    /// it](Self::is_end). `next`: the first key after the entry, unless it is the last.
    fn before(&self, inner: &Inner, level: u8, index: usize, next: Option<&Raw>) -> Result<Option<Raw>, Stop> {
        if !self.source.shape.bounds(&inner.firsts[index], level - 1) {
            return Err(Stop::Overlong);
        }
        self.below(inner, index, (&MIN, self.to), true, |node| self.before_in(node, next))
    }

    fn before_in(&self, node: &Node, next: Option<&Raw>) -> Result<Held, Stop> {
        let end = before(node.firsts(), self.to);
        let Body::Inner(inner) = &node.body else { return Ok(of_leaf(node, 0, end)) };
        let (index, next) = (end.saturating_sub(1), inner.firsts.get(end).or(next));
        if self.is_end(node, next) {
            return Ok(Held::part(node, 0..end));
        }
        let last = self.before(inner, node.level, index, next)?;
        Ok(joined(node, None, 0..index, last))
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
    ) -> Result<Option<Raw>, Stop> {
        if let Child::Key = inner.child(index) {
            return Ok(inside.then(|| inner.fresh_sum(index)));
        }
        let cut = inner.known_chunk(index).map(|chunk| Cut { chunk, from: *from, to: *to });
        if let Some(held) = self.remembered(cut.as_ref()) {
            return Ok(held);
        }
        self.source.with_child(inner, index, |node| node.map_or(Ok(None), |node| self.hashed(cut, node, look(node)?)))
    }

    /// What is remembered of a cut.
    fn remembered(&self, cut: Option<&Cut>) -> Option<Option<Raw>> {
        cut.and_then(|cut| self.source.lock().cuts.get(cut))
    }

    /// Hashes what is held, now or later. It is remembered unless the digest, which names the chunk, would have to be computed first.
    fn hashed(&self, cut: Option<Cut>, node: &Arc<Node>, held: Held) -> Result<Option<Raw>, Stop> {
        let held = match (held, self.later) {
            (Held::Sum(held), _) => held,
            (held, None) => Some(sum(&digest::of_entries(node.level, held.entries(node)), held.count(node))),
            (held, Some(later)) => {
                later.borrow_mut().extend(cut.map(|cut| Later { cut, node: node.clone(), held }));
                return Err(Stop::Later);
            }
        };
        if let Some(cut) = cut {
            self.source.lock().cuts.put(cut, held, self.keys);
        }
        Ok(held)
    }
}

/// The keys of a leaf in `start..end`.
fn of_leaf(leaf: &Node, start: usize, end: usize) -> Held {
    let whole = start == 0 && end == leaf.len();
    if whole { Held::Sum(Some(sum(&leaf.digest(), leaf.count()))) } else { Held::part(leaf, start..end) }
}

/// The entries of `node` that are `between`, with others before and behind.
fn joined(node: &Node, first: Option<Raw>, between: Range<usize>, last: Option<Raw>) -> Held {
    match (first, between.len(), last) {
        (None, _, None) => Held::part(node, between),
        (Some(only), 0, None) | (None, 0, Some(only)) => Held::Sum(Some(only)),
        // Side by side first: BLAKE3 takes an input at one go faster than in pieces.
        (first, len, last) => {
            let mut sums = Vec::with_capacity(len + 2);
            sums.extend(first);
            sums.extend_from_slice(&node.hashed()[between]);
            sums.extend(last);
            Held::Entries(sums)
        }
    }
}
