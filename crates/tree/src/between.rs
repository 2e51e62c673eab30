//! The fingerprint of a range whose ends cut honest runs: the short way.
//!
//! Down from the root to the lowest chunk that holds the whole range; from there one way down at each end, and on each level
//! the chunk that is cut keeps the entries on one side of the way. That is all if nothing else can move: on the levels below
//! the common chunk, the run that is cut at the start must end with the chunk that is cut, and the run that is cut at the
//! end must begin with it. Only in over-long runs, which somebody has ground, may cells beside the cut grow together; then
//! [`sequence`](crate::sequence) says what they become.
use crate::{
    Digest, Fingerprint, PageError,
    cuts::Cut,
    digest::{self, count_in, digest_in, sum},
    node::{Body, Entry, Inner, Node},
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
    let way = Way { source, from, to, begins: *from <= root.first, keys: root.count() };
    let held = match source.node(root)? {
        _ if from >= to || *to <= root.first => None,
        None => way.begins.then(|| root.fresh_sum()),
        Some(node) => way.remembered(&node, (from, to), || match way.inside(&node) {
            Ok(held) => Ok(held),
            Err(Stop::Page(error)) => Err(error),
            Err(Stop::Overlong) => overlong().map(|found| (found.count > 0).then(|| sum(&found.digest, found.count))),
        })?,
    };
    Ok(held.map_or_else(digest::empty, |sum| Fingerprint { digest: digest_in(&sum), count: count_in(&sum) }))
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
}

impl Way<'_> {
    /// What is inside the range, all of which is under `node`.
    fn inside(&self, node: &Node) -> Result<Option<Raw>, Stop> {
        let Body::Inner(inner) = &node.body else {
            let keys = node.firsts();
            return Ok(of_keys(&keys[before(keys, self.from)..before(keys, self.to)]));
        };
        let start = node.find(self.from);
        let end = before(node.firsts(), self.to).saturating_sub(1).max(start);
        if start == end {
            let begins = self.from <= &inner.firsts[start];
            if begins && inner.firsts.get(end + 1) == Some(self.to) {
                return Ok(Some(inner.fresh_sum(start)));
            }
            return self.source.with_child(inner, start, |child| match child {
                Some(child) => self.remembered(child, (self.from, self.to), || self.inside(child)),
                None => Ok(begins.then(|| inner.fresh_sum(start))),
            });
        }
        let first = if self.begins {
            Some(inner.fresh_sum(start))
        } else {
            self.after(inner, node.level, start, &inner.firsts[start + 1])?
        };
        let last = if *self.to == MAX {
            Some(inner.fresh_sum(end))
        } else {
            self.before(inner, node.level, end, inner.firsts.get(end + 1))?
        };
        Ok(joined(node.level, first, &inner.sums()[start + 1..end], last))
    }

    /// What the entry at `index`, of a chunk of `level`, holds from the range's start on. `next`: the first key after the entry.
    fn after(&self, inner: &Inner, level: u8, index: usize, next: &Raw) -> Result<Option<Raw>, Stop> {
        let (shape, first) = (self.source.shape, &inner.firsts[index]);
        let whole = self.from <= first;
        if whole && shape.bounds(first, level - 1) {
            return Ok(Some(inner.fresh_sum(index)));
        }
        if !shape.bounds(next, level - 1) {
            return Err(Stop::Overlong);
        }
        self.source.with_child(inner, index, |child| match child {
            None => Ok(whole.then(|| inner.fresh_sum(index))),
            Some(node) => self.remembered(node, (self.from, &MAX), || self.after_in(node, next)),
        })
    }

    fn after_in(&self, node: &Node, next: &Raw) -> Result<Option<Raw>, Stop> {
        let Body::Inner(inner) = &node.body else {
            return Ok(of_leaf(node, before(node.firsts(), self.from), node.len()));
        };
        let index = node.find(self.from);
        let first = self.after(inner, node.level, index, inner.firsts.get(index + 1).unwrap_or(next))?;
        Ok(joined(node.level, first, &inner.sums()[index + 1..], None))
    }

    /// What the entry at `index`, of a chunk of `level`, holds before the range's end, which is not nothing. `next`: the first
    /// key after the entry, unless it is the last.
    fn before(&self, inner: &Inner, level: u8, index: usize, next: Option<&Raw>) -> Result<Option<Raw>, Stop> {
        let shape = self.source.shape;
        if next.is_some_and(|next| next == self.to && shape.bounds(next, level - 1)) {
            return Ok(Some(inner.fresh_sum(index)));
        }
        if !shape.bounds(&inner.firsts[index], level - 1) {
            return Err(Stop::Overlong);
        }
        self.source.with_child(inner, index, |child| match child {
            None => Ok(Some(inner.fresh_sum(index))),
            Some(node) => self.remembered(node, (&MIN, self.to), || self.before_in(node, next)),
        })
    }

    fn before_in(&self, node: &Node, next: Option<&Raw>) -> Result<Option<Raw>, Stop> {
        let end = before(node.firsts(), self.to);
        let Body::Inner(inner) = &node.body else { return Ok(of_leaf(node, 0, end)) };
        let index = end.saturating_sub(1);
        let last = self.before(inner, node.level, index, inner.firsts.get(end).or(next))?;
        Ok(joined(node.level, None, &inner.sums()[..index], last))
    }

    /// What `node` holds of a range, worked out once in a while. Not where the digest, which names the chunk, would have to be
    /// computed first.
    fn remembered<E>(
        &self,
        node: &Node,
        (from, to): (&Raw, &Raw),
        work: impl FnOnce() -> Result<Option<Raw>, E>,
    ) -> Result<Option<Raw>, E> {
        let Some(chunk) = node.known_digest() else { return work() };
        let cut = Cut { chunk, from: *from, to: *to };
        if let Some(left) = self.source.lock().cuts.get(&cut) {
            return Ok(left);
        }
        let left = work()?;
        self.source.lock().cuts.put(cut, left, self.keys);
        Ok(left)
    }
}

/// The keys of a leaf in `start..end`, as an entry of level 1.
fn of_leaf(leaf: &Node, start: usize, end: usize) -> Option<Raw> {
    let whole = start == 0 && end == leaf.len();
    if whole { Some(sum(&leaf.digest(), leaf.count())) } else { of_keys(&leaf.firsts()[start..end]) }
}

fn of_keys(keys: &[Raw]) -> Option<Raw> {
    match keys {
        [] => None,
        [key] => Some(digest::key_sum(key)),
        keys => Some(sum(&digest::of_entries(0, keys), keys.len() as u64)),
    }
}

/// These entries of `level` as one of the level above.
fn joined(level: u8, first: Option<Raw>, between: &[Raw], last: Option<Raw>) -> Option<Raw> {
    let (digest, count): (Digest, u64) = match (first, between, last) {
        (None, [], None) => return None,
        (Some(only), [], None) | (None, [], Some(only)) => return Some(only),
        (None, [only], None) => return Some(*only),
        (None, between, None) => (digest::of_entries(level, between), between.iter().map(count_in).sum()),
        // Side by side first: BLAKE3 takes an input at one go faster than in pieces.
        (first, between, last) => {
            let mut sums = Vec::with_capacity(between.len() + 2);
            sums.extend(first);
            sums.extend_from_slice(between);
            sums.extend(last);
            (digest::of_entries(level, &sums), sums.iter().map(count_in).sum())
        }
    };
    Some(sum(&digest, count))
}
