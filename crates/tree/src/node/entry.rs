//! Entries, and what they point at.
use std::sync::Arc;

use super::Node;
use crate::{
    Digest, Fingerprint, Key, PageId,
    digest::{count_in, digest_in, is_stale, key_sum, sum},
    shape::Raw,
};

/// What an entry points at.
#[derive(Clone)]
pub(crate) enum Child {
    /// Nothing: the one key under it is the entry's key.
    Key,
    /// A chunk in memory, perhaps not yet stored.
    Page(Arc<Node>),
    /// A stored chunk of this level.
    Stored(u8),
}

/// An entry by itself, out of any chunk.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) first: Raw,
    pub(crate) sum: Raw,
    pub(crate) child: Child,
}

impl Entry {
    /// A key, or the chunk of one key.
    pub(crate) fn key(key: Raw) -> Entry {
        Entry { first: key, sum: key_sum(&key), child: Child::Key }
    }

    /// The chunk whose digest has yet to be computed, if so.
    pub(crate) fn stale_page(&self) -> Option<&Node> {
        self.child.page().filter(|_| is_stale(&self.sum))
    }

    /// A chunk; its digest is left for later.
    pub(crate) fn node(node: Node) -> Entry {
        let digest = node.digest.get().copied().unwrap_or(Digest([0; 32]));
        Entry { first: *node.first(), sum: sum(&digest, node.count()), child: Child::Page(Arc::new(node)) }
    }

    pub(crate) fn count(&self) -> u64 {
        count_in(&self.sum)
    }

    /// The digest, computed if need be.
    pub(crate) fn digest(&self) -> Digest {
        match &self.child {
            _ if !is_stale(&self.sum) => digest_in(&self.sum),
            Child::Page(node) => node.digest(),
            Child::Key | Child::Stored(_) => digest_in(&self.sum),
        }
    }

    /// What is hashed for this entry, the digest computed if need be.
    pub(crate) fn fresh_sum(&self) -> Raw {
        if is_stale(&self.sum) { sum(&self.digest(), self.count()) } else { self.sum }
    }

    /// This entry, of which the key is left.
    pub(crate) fn take(&mut self) -> Entry {
        Entry { child: std::mem::replace(&mut self.child, Child::Key), ..*self }
    }

    /// Computes the digest if need be.
    pub(crate) fn freshen(&mut self) {
        if is_stale(&self.sum) {
            self.sum = self.fresh_sum();
        }
    }

    /// The digest; zero where it is stale.
    pub(crate) fn digest_if_known(&self) -> Digest {
        digest_in(&self.sum)
    }

    /// What is under it has changed and holds this many keys more.
    pub(crate) fn touch(&mut self, more: i64) {
        self.sum = sum(&Digest([0; 32]), self.count().wrapping_add_signed(more));
    }

    /// Whether both stand for the same chunk, unchanged.
    pub(crate) fn is_same_chunk(&self, other: &Entry) -> bool {
        match (&self.child, &other.child) {
            (Child::Page(a), Child::Page(b)) => Arc::ptr_eq(a, b),
            (Child::Stored(a), Child::Stored(b)) => a == b && self.first == other.first && self.sum == other.sum,
            _ => false,
        }
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint { digest: self.digest(), count: self.count() }
    }

    /// The level of the lowest chunk that this entry stands for.
    pub(crate) fn level(&self) -> u8 {
        self.child.level()
    }

    /// Where its page lies; `None` for a single key, which needs none.
    pub(crate) fn page(&self) -> Option<PageId> {
        let first = Key::from_bytes(self.first);
        (!matches!(self.child, Child::Key)).then(|| PageId { level: self.level(), first })
    }
}

impl Child {
    pub(super) fn page(&self) -> Option<&Node> {
        if let Child::Page(node) = self { Some(node) } else { None }
    }

    pub(crate) fn level(&self) -> u8 {
        match self {
            Child::Key => 0,
            Child::Page(node) => node.level,
            Child::Stored(level) => *level,
        }
    }
}
