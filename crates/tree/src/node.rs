//! Chunks in memory, and the entries that point at them.
mod entry;
mod inner;

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use crate::{
    Digest,
    digest::{self, key_sum},
    edge::Edge,
    lanes,
    search::{compare, not_after, not_after_between},
    shape::Raw,
};

pub(crate) use entry::{Child, Entry};
pub(crate) use inner::Inner;

/// A chunk of at least two entries. Chunks of one entry are not materialised: the entry above stands for them.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) level: u8,
    /// When it was last changed, in flushes of its tree: what is not newer than the last flush lies in the store.
    pub(crate) stamp: u64,
    pub(crate) body: Body,
    digest: OnceLock<Digest>,
    /// Above level 0, the values of the pieces of 1 KiB that the digest was made of, if more than one: most of what it takes to hash the
    /// first entries only.
    pieces: OnceLock<Box<[[u8; 32]]>>,
    edge: Edge,
}

/// The entries of a chunk.
#[derive(Clone)]
pub(crate) enum Body {
    /// Level 0: keys, side by side as they are hashed.
    Leaf(Vec<Raw>),
    /// Level 1 and above.
    Inner(Box<Inner>),
}

impl Node {
    pub(crate) fn leaf(stamp: u64, keys: Vec<Raw>) -> Node {
        Node {
            level: 0,
            stamp,
            body: Body::Leaf(keys),
            digest: OnceLock::new(),
            pieces: OnceLock::new(),
            edge: Edge::default(),
        }
    }

    pub(crate) fn inner(level: u8, stamp: u64, inner: Inner) -> Node {
        Node {
            level,
            stamp,
            body: Body::Inner(Box::new(inner)),
            digest: OnceLock::new(),
            pieces: OnceLock::new(),
            edge: Edge::default(),
        }
    }

    /// [`find`](Self::find), where the keys are known to come before `next`.
    pub(crate) fn find_before(&self, key: &Raw, first: &Raw, next: Option<&Raw>) -> usize {
        match (&self.body, next) {
            (Body::Leaf(keys), Some(next)) => not_after_between(keys, key, first, next).saturating_sub(1),
            // These are as many as leaves.
            (Body::Inner(inner), Some(next)) if inner.only_keys() => {
                not_after_between(&inner.firsts, key, first, next).saturating_sub(1)
            }
            // Most of the others are in a processor's cache: halving is quicker than guessing.
            (Body::Inner(inner), Some(_)) => {
                inner.firsts.partition_point(|first| compare(first, key).is_le()).saturating_sub(1)
            }
            (_, None) => self.find(key),
        }
    }

    /// [`find`](Self::find), where the keys are known to come before `next`: for what is seldom in a processor's cache, and touches
    /// the less the better.
    pub(crate) fn guess_before(&self, key: &Raw, first: &Raw, next: Option<&Raw>) -> usize {
        next.map_or_else(|| self.find(key), |next| not_after_between(self.firsts(), key, first, next).saturating_sub(1))
    }

    pub(crate) fn len(&self) -> usize {
        self.firsts().len()
    }

    /// The entries' first keys; at level 0 the keys.
    #[inline]
    pub(crate) fn firsts(&self) -> &[Raw] {
        match &self.body {
            Body::Leaf(keys) => keys,
            Body::Inner(inner) => &inner.firsts,
        }
    }

    pub(crate) fn first(&self) -> &Raw {
        &self.firsts()[0]
    }

    /// Number of keys under it.
    pub(crate) fn count(&self) -> u64 {
        self.count_under(0..self.len())
    }

    /// Number of keys under the entries before `index`.
    pub(crate) fn count_before(&self, index: usize) -> u64 {
        self.count_under(0..index)
    }

    /// Number of keys under these entries.
    pub(crate) fn count_under(&self, entries: Range<usize>) -> u64 {
        match &self.body {
            Body::Leaf(_) => entries.len() as u64,
            Body::Inner(inner) => inner.count_under(entries),
        }
    }

    /// The digest, computed the first time it is asked for.
    pub(crate) fn digest(&self) -> Digest {
        *self.digest.get_or_init(|| {
            self.edge.digest(self).unwrap_or_else(|| self.with_hashed(|all| digest::of_entries(self.level, all)))
        })
    }

    /// The digest, if it was computed since the last change.
    pub(crate) fn known_digest(&self) -> Option<Digest> {
        self.digest.get().copied()
    }

    /// What is known of the [pieces](crate::lanes::digests) of what is hashed.
    pub(crate) fn known_pieces(&self) -> &[[u8; 32]] {
        self.pieces.get().map_or(lanes::NONE, |pieces| pieces)
    }

    /// What is hashed for the entries.
    pub(crate) fn hashed(&self) -> &[Raw] {
        match &self.body {
            Body::Leaf(keys) => keys,
            Body::Inner(inner) => inner.sums(),
        }
    }

    /// The entry at `index` as it is hashed one level up.
    pub(crate) fn entry_sum(&self, index: usize) -> Raw {
        match &self.body {
            Body::Leaf(keys) => key_sum(&keys[index]),
            Body::Inner(inner) => inner.fresh_sum(index),
        }
    }

    /// Looks at what is hashed for the entries, without keeping what had to be made for it.
    pub(crate) fn with_hashed<R>(&self, look: impl FnOnce(&[Raw]) -> R) -> R {
        match &self.body {
            Body::Leaf(keys) => look(keys),
            Body::Inner(inner) => inner.with_sums(look),
        }
    }

    /// The entry at `index`, which must exist.
    pub(crate) fn entry(&self, index: usize) -> Entry {
        match &self.body {
            Body::Leaf(keys) => Entry::key(keys[index]),
            Body::Inner(inner) => inner.entry(index),
        }
    }

    /// The last entry whose first key is not after `key`; the first one if there is none.
    pub(crate) fn find(&self, key: &Raw) -> usize {
        not_after(self.firsts(), key).saturating_sub(1)
    }

    /// What is hashed for the entry at `index`.
    pub(crate) fn hashed_at(&self, index: usize) -> Raw {
        match &self.body {
            Body::Leaf(keys) => keys[index],
            Body::Inner(inner) => inner.fresh_sum(index),
        }
    }

    /// The entries, of which the one at `index` and those after it are about to change: the digest is forgotten. `last`: the
    /// chunk is the last of its level.
    fn changing(&mut self, index: usize, last: bool) -> &mut Body {
        let read = self.digest.get().is_some();
        if read {
            self.digest = OnceLock::new();
            self.pieces = OnceLock::new();
        }
        if self.edge.knows() || (last && read) {
            let mut edge = std::mem::take(&mut self.edge);
            if last {
                edge.changing(self, index, read);
                self.edge = edge;
            }
        }
        &mut self.body
    }

    /// The child at `index` has changed and holds this many keys more.
    pub(crate) fn touch(&mut self, index: usize, more: i64, last: bool) {
        if let Body::Inner(inner) = self.changing(index, last) {
            inner.touch(index, more);
        }
    }

    /// What the entry at `index` points at; `None` where nothing is below.
    pub(crate) fn child_mut(&mut self, index: usize) -> Option<&mut Child> {
        match &mut self.body {
            Body::Leaf(_) => None,
            Body::Inner(inner) => inner.children_mut().get_mut(index),
        }
    }

    /// It is not the last chunk of its level any more.
    fn leave_edge(&mut self) {
        self.edge = Edge::default();
        if let Body::Inner(inner) = &mut self.body
            && let Some(Child::Page(node)) = inner.children_mut().last_mut()
            && let Some(node) = Arc::get_mut(node)
        {
            node.leave_edge();
        }
    }

    /// Adds `key`, a chunk of its own below this level, before the entry at `at`.
    pub(crate) fn insert(&mut self, at: usize, key: &Raw, last: bool) {
        let last = last && at == self.len();
        match self.changing(at, last) {
            Body::Leaf(keys) => {
                make_room(keys);
                keys.insert(at, *key);
            }
            Body::Inner(inner) => {
                if let (true, Some(Child::Page(node))) = (last, inner.children_mut().last_mut())
                    && let Some(node) = Arc::get_mut(node)
                {
                    node.leave_edge();
                }
                inner.insert(at, Entry::key(*key));
            }
        }
    }

    /// Makes room for a few keys in a leaf without any: where a batch is scattered over a stored set, each gets about one.
    pub(crate) fn spare_some(&mut self) {
        if let Body::Leaf(keys) = &mut self.body
            && keys.len() == keys.capacity()
        {
            keys.reserve_exact(SOME);
        }
    }

    /// Adds `keys` at the end of a leaf.
    pub(crate) fn append(&mut self, more: &[Raw], last: bool) {
        if let Body::Leaf(keys) = self.changing(self.len(), last) {
            if more.len() > keys.capacity() - keys.len() {
                keys.reserve_exact(more.len().max(keys.len() / 4).max(8));
            }
            keys.extend_from_slice(more);
        }
    }

    /// Adds an entry before the one at `at` of a chunk above level 0.
    pub(crate) fn insert_entry(&mut self, at: usize, entry: Entry, last: bool) {
        if let Body::Inner(inner) = self.changing(at, last) {
            inner.insert(at, entry);
        }
    }

    /// Makes a leaf of the single key at `index` and `key`, which comes after it.
    pub(crate) fn pair(&mut self, index: usize, key: &Raw, stamp: u64, last: bool) {
        let leaf = Node::leaf(stamp, vec![self.firsts()[index], *key]);
        self.replace(index, Entry::node(leaf), last);
    }

    /// Replaces the entry at `index` by one with the same first key.
    pub(crate) fn replace(&mut self, index: usize, entry: Entry, last: bool) {
        let last = last && index + 1 == self.len();
        if let Body::Inner(inner) = self.changing(index, last) {
            inner.replace(index, entry);
        }
    }

    /// Removes the key at `at` of a leaf.
    pub(crate) fn remove_key(&mut self, at: usize) {
        if let Body::Leaf(keys) = self.changing(at, false) {
            keys.remove(at);
        }
    }

    /// Bytes on the heap, about.
    pub(crate) fn heap_bytes(&self) -> usize {
        let body = match &self.body {
            Body::Leaf(keys) => keys.capacity() * size_of::<Raw>(),
            Body::Inner(inner) => inner.heap_bytes(),
        };
        let pieces = size_of_val(self.known_pieces());
        size_of::<Node>() + 16 + body + pieces + self.edge.heap_bytes()
    }
}

/// Room for a few keys.
const SOME: usize = 8;

/// Computes the digests of chunks: of all that are of one level at once.
pub(crate) fn digest_all(mut nodes: Vec<&Node>) {
    nodes.retain(|node| node.known_digest().is_none());
    while let Some(level) = nodes.first().map(|node| node.level) {
        let (these, others) = nodes.into_iter().partition(|node| node.level == level);
        // Saved hashers are quicker, and what is hashed for chunks of nothing but single keys is not kept.
        let is_apart =
            |node: &&Node| node.edge.knows() || matches!(&node.body, Body::Inner(inner) if inner.only_keys());
        let (apart, together): (Vec<&Node>, Vec<&Node>) = Vec::into_iter(these).partition(is_apart);
        for node in apart {
            node.digest();
        }
        let keep = |at: usize, pieces: &[[u8; 32]]| {
            if level > 0 && pieces.len() > 1 {
                let _ = together[at].pieces.set(pieces.into());
            }
        };
        let digests = digest::of_all(level, together.iter().map(|node| (node.hashed(), lanes::NONE)), keep);
        for (node, digest) in together.into_iter().zip(digests) {
            // Another thread may have come to the same.
            let _ = node.digest.set(digest);
        }
        nodes = others;
    }
}

/// Room for one more: half as much again, which wastes less than doubling.
fn make_room<T>(entries: &mut Vec<T>) {
    if entries.len() == entries.capacity() {
        entries.reserve_exact((entries.len() / 2).max(8));
    }
}
