//! The entries of a chunk above level 0.
use std::{ops::Range, sync::OnceLock};

use super::{Child, Entry, Node, digest_all, make_room};
use crate::{
    Digest,
    digest::{count_in, digest_in, is_stale, key_sum, sum},
    shape::Raw,
};

/// Entries that point at the chunks below, as parallel vectors so that what is hashed lies side by side.
#[derive(Clone)]
pub(crate) struct Inner {
    /// The first key under each child.
    pub(crate) firsts: Vec<Raw>,
    /// Digest and count of each child; the digest is stale (zero) where the child changed. Unused while `fresh` is set, and empty
    /// where every child is a single key.
    sums: Vec<Raw>,
    /// The counts once more, side by side: adding up those before a child is most of what a rank takes, and touches a fifth of the
    /// memory so. Empty where every child is a single key.
    counts: Vec<u64>,
    /// Whether a digest in `sums` is stale.
    stale: bool,
    /// The same with every digest computed.
    fresh: OnceLock<Vec<Raw>>,
    /// Empty where every child is a single key, so that keys ground to be boundaries take little room.
    children: Vec<Child>,
}

/// Counts that are added up at a time.
const COUNTS: usize = 16;

impl Inner {
    /// Adds an entry before the one at `at`.
    pub(crate) fn insert(&mut self, at: usize, entry: Entry) {
        self.settle();
        if !self.only_keys() || !matches!(entry.child, Child::Key) {
            self.spread();
            make_room(&mut self.counts);
            self.counts.insert(at, entry.count());
            make_room(&mut self.children);
            self.children.insert(at, entry.child);
            make_room(&mut self.sums);
            self.sums.insert(at, entry.sum);
            self.stale |= is_stale(&entry.sum);
        }
        make_room(&mut self.firsts);
        self.firsts.insert(at, entry.first);
    }

    /// Whether every child is a single key, as far as is known without looking: then there are neither children nor sums.
    pub(super) fn only_keys(&self) -> bool {
        self.children.is_empty()
    }

    /// Looks at what is hashed for each child, without keeping what had to be made for it.
    pub(super) fn with_sums<R>(&self, look: impl FnOnce(&[Raw]) -> R) -> R {
        if self.only_keys() && self.fresh.get().is_none() { look(&self.key_sums()) } else { look(self.sums()) }
    }

    /// What is hashed where every child is a single key.
    fn key_sums(&self) -> Vec<Raw> {
        self.firsts.iter().map(key_sum).collect()
    }

    /// Makes room for a child that is not a single key.
    fn spread(&mut self) {
        if self.only_keys() {
            self.children.reserve_exact(self.firsts.capacity());
            self.children.resize(self.firsts.len(), Child::Key);
            self.sums.reserve_exact(self.firsts.capacity());
            self.sums.extend(self.firsts.iter().map(key_sum));
            self.counts.reserve_exact(self.firsts.capacity());
            self.counts.resize(self.firsts.len(), 1);
        }
    }

    pub(crate) fn with_capacity(capacity: usize) -> Inner {
        Inner {
            firsts: Vec::with_capacity(capacity),
            sums: Vec::new(),
            counts: Vec::new(),
            stale: false,
            fresh: OnceLock::new(),
            children: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.settle();
        if !self.only_keys() || !matches!(entry.child, Child::Key) {
            self.spread();
            self.counts.push(entry.count());
            self.children.push(entry.child);
            self.sums.push(entry.sum);
            self.stale |= is_stale(&entry.sum);
        }
        self.firsts.push(entry.first);
    }

    /// These entries, of which the keys are left.
    pub(crate) fn of(entries: &mut [Entry]) -> Inner {
        let mut inner = Inner::with_capacity(entries.len());
        inner.firsts.extend(entries.iter().map(|entry| entry.first));
        if entries.iter().any(|entry| !matches!(entry.child, Child::Key)) {
            inner.sums = entries.iter().map(|entry| entry.sum).collect();
            inner.counts = entries.iter().map(Entry::count).collect();
            inner.stale = inner.sums.iter().any(is_stale);
            inner.children = entries.iter_mut().map(|entry| entry.take().child).collect();
        }
        inner
    }

    /// What is hashed for each child, the digest perhaps stale; nothing where all are single keys.
    fn known_sums(&self) -> &[Raw] {
        self.fresh.get().filter(|_| !self.only_keys()).unwrap_or(&self.sums)
    }

    /// What is hashed for the child at `index`, the digest perhaps stale.
    fn known_sum(&self, index: usize) -> Raw {
        if self.only_keys() { key_sum(&self.firsts[index]) } else { self.known_sums()[index] }
    }

    /// Number of keys under these entries.
    pub(super) fn count_under(&self, entries: Range<usize>) -> u64 {
        if self.only_keys() { entries.len() as u64 } else { self.counts[entries].iter().sum() }
    }

    /// What is hashed for each child, every digest computed.
    pub(crate) fn sums(&self) -> &[Raw] {
        if self.only_keys() {
            return self.fresh.get_or_init(|| self.key_sums());
        }
        if !self.stale {
            return &self.sums;
        }
        self.fresh.get_or_init(|| {
            let mut sums = self.sums.clone();
            let stale = sums.iter().zip(&self.children).filter(|(sum, _)| is_stale(sum));
            digest_all(stale.filter_map(|(_, child)| child.page()).collect());
            for (i, sum) in sums.iter_mut().enumerate().filter(|(_, sum)| is_stale(sum)) {
                *sum = self.entry(i).fresh_sum();
            }
            sums
        })
    }

    /// Digest and count of the child at `index`, the digest computed if need be.
    pub(crate) fn fresh_sum(&self, index: usize) -> Raw {
        let known = self.known_sum(index);
        match self.child(index) {
            Child::Page(node) if is_stale(&known) => sum(&node.digest(), count_in(&known)),
            _ => known,
        }
    }

    pub(crate) fn entry(&self, index: usize) -> Entry {
        Entry { first: self.firsts[index], sum: self.known_sum(index), child: self.child(index).clone() }
    }

    /// Number of keys under the entry at `index`.
    pub(crate) fn count(&self, index: usize) -> u64 {
        if self.only_keys() { 1 } else { self.counts[index] }
    }

    /// The child that holds the key with `rank` keys of this chunk before it, and the number of keys before that child.
    pub(crate) fn find_rank(&self, rank: u64) -> (usize, u64) {
        let last = self.firsts.len() - 1;
        if self.only_keys() {
            let index = usize::try_from(rank).unwrap_or(usize::MAX).min(last);
            return (index, index as u64);
        }
        let (mut index, mut before) = (0, 0);
        // Many at a time, which takes no longer than one.
        for counts in self.counts.chunks_exact(COUNTS) {
            let many: u64 = counts.iter().sum();
            if rank < before + many {
                break;
            }
            before += many;
            index += COUNTS;
        }
        for count in self.counts.iter().take(last).skip(index) {
            if rank < before + count {
                return (index, before);
            }
            before += count;
            index += 1;
        }
        // All before the last are passed over, and it too if there are not so many keys.
        if index > last { (last, before - self.counts[last]) } else { (last, before) }
    }

    pub(crate) fn child(&self, index: usize) -> &Child {
        self.children.get(index).unwrap_or(&Child::Key)
    }

    pub(crate) fn known_digest(&self, index: usize) -> Digest {
        digest_in(&self.known_sum(index))
    }

    /// The digest of the chunk at `index`, if it was computed since the last change.
    pub(crate) fn known_chunk(&self, index: usize) -> Option<Digest> {
        match self.known_sums().get(index) {
            Some(sum) if !is_stale(sum) => Some(digest_in(sum)),
            _ => self.child(index).page().and_then(Node::known_digest),
        }
    }

    /// The children; none where all are single keys.
    pub(crate) fn children(&self) -> &[Child] {
        &self.children
    }

    /// The children; none where all are single keys.
    pub(crate) fn children_mut(&mut self) -> &mut [Child] {
        &mut self.children
    }

    /// Makes `sums` the place to change.
    pub(crate) fn settle(&mut self) {
        if let Some(fresh) = self.fresh.take()
            && !self.only_keys()
        {
            self.sums = fresh;
            self.stale = false;
        }
    }

    /// The child at `index` has changed and holds this many keys more.
    pub(crate) fn touch(&mut self, index: usize, more: i64) {
        self.settle();
        self.spread();
        let count = self.counts[index].wrapping_add_signed(more);
        self.counts[index] = count;
        self.sums[index] = sum(&Digest([0; 32]), count);
        self.stale = true;
    }

    /// Replaces the entry at `index` by one with the same first key.
    pub(crate) fn replace(&mut self, index: usize, entry: Entry) {
        self.settle();
        self.spread();
        self.counts[index] = entry.count();
        self.sums[index] = entry.sum;
        self.stale |= is_stale(&entry.sum);
        self.children[index] = entry.child;
    }

    /// Bytes on the heap, about.
    pub(super) fn heap_bytes(&self) -> usize {
        let raws = self.firsts.capacity() + self.sums.capacity() + self.fresh.get().map_or(0, Vec::capacity);
        let counts = self.counts.capacity() * size_of::<u64>();
        raws * size_of::<Raw>() + counts + self.children.capacity() * size_of::<Child>()
    }
}
