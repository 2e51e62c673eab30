use std::sync::Arc;

use crate::{
    Key, PageError, PageId, PageStore, PageWrite, Root, Snapshot,
    build::Builder,
    digest,
    edit::{Core, Ledger},
    flush,
    node::{Child, Entry},
    search::compare,
    sequence::{MAX, MIN},
    shape::Shape,
    source::Source,
};

/// Bytes of decoded pages that a tree keeps once its pages are stored, unless [`Tree::open`] said otherwise: 64 MiB.
const CACHE: usize = 64 << 20;

/// An ordered set of keys with a fingerprint for every range.
///
/// A clone is a set of its own, but only one of the clones may be flushed to a store.
#[derive(Clone)]
pub struct Tree {
    core: Core,
}

/// The keys that were to be sorted are not, or are not distinct.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key {key:?} does not come after the one before it: a bulk build takes distinct keys in ascending order")]
pub struct Unsorted {
    /// The first key out of order.
    pub key: Key,
}

impl Default for Tree {
    fn default() -> Tree {
        Tree::shaped(Shape::STANDARD)
    }
}

impl Tree {
    /// The empty set, in memory.
    pub fn new() -> Tree {
        Tree::default()
    }

    /// The empty set with Q = 2^`bits` instead of 128: other digests than everybody else's, but over-long runs with few
    /// keys. For tests.
    #[doc(hidden)]
    pub fn with_q_bits(bits: u32) -> Tree {
        Tree::shaped(Shape::with_bits(bits))
    }

    fn shaped(shape: Shape) -> Tree {
        let ledger = Ledger { now: 1, gone: Default::default(), stored: false };
        Tree { core: Core { source: Source::in_memory(shape, CACHE), root: None, ledger } }
    }

    /// The set of these distinct keys in ascending order, in memory. [`Key::MAX`] counts as out of order.
    pub fn from_sorted(keys: impl IntoIterator<Item = Key>) -> Result<Tree, Unsorted> {
        Tree::new().filled(keys)
    }

    /// This tree, which must be new, with these keys.
    #[doc(hidden)]
    pub fn filled(mut self, keys: impl IntoIterator<Item = Key>) -> Result<Tree, Unsorted> {
        let mut builder = Builder::new(self.core.source.shape, self.core.ledger.now);
        for key in keys {
            if is_end(&key) || builder.last().is_some_and(|last| compare(last, key.as_bytes()).is_ge()) {
                return Err(Unsorted { key });
            }
            builder.push(*key.as_bytes());
        }
        self.core.root = builder.finish();
        Ok(self)
    }

    /// The set whose pages lie in `store` under `root`, as [`Tree::flush`] left them. Reads nothing yet.
    /// `cache` bounds the decoded pages kept in memory, in bytes.
    pub fn open(store: Arc<dyn PageStore>, root: Root, cache: usize) -> Tree {
        Tree::open_shaped(Shape::STANDARD, store, root, cache)
    }

    /// [`Tree::open`] for a tree made by [`Tree::with_q_bits`].
    #[doc(hidden)]
    pub fn open_with_q_bits(bits: u32, store: Arc<dyn PageStore>, root: Root, cache: usize) -> Tree {
        Tree::open_shaped(Shape::with_bits(bits), store, root, cache)
    }

    fn open_shaped(shape: Shape, store: Arc<dyn PageStore>, root: Root, cache: usize) -> Tree {
        let entry = |page: PageId| match (*page.first.as_bytes(), root.count) {
            (key, 1) => Entry::key(key),
            (first, count) => Entry { first, sum: digest::sum(&root.digest, count), child: Child::Stored(page.level) },
        };
        let source = Source { store: Some(store), ..Source::in_memory(shape, cache) };
        let ledger = Ledger { now: 1, gone: Default::default(), stored: true };
        Tree { core: Core { source, root: root.page.map(entry), ledger } }
    }

    /// Adds a key; `false` if it was there. [`Key::MAX`] is no key and not added.
    pub fn insert(&mut self, key: Key) -> Result<bool, PageError> {
        if is_end(&key) { Ok(false) } else { self.core.insert(key.as_bytes()) }
    }

    /// Adds keys in any order; returns how many were new. After an error none is added.
    pub fn insert_all(&mut self, keys: impl IntoIterator<Item = Key>) -> Result<u64, PageError> {
        let mut keys: Vec<[u8; Key::LEN]> =
            keys.into_iter().filter(|key| !is_end(key)).map(|key| *key.as_bytes()).collect();
        keys.sort_unstable_by(compare);
        let before = self.core.source.store.is_some().then(|| self.core.clone());
        let added = self.core.insert_all(&keys);
        if let (Err(_), Some(before)) = (&added, before) {
            self.core = before;
        }
        added
    }

    /// Removes a key; `false` if it was not there.
    pub fn remove(&mut self, key: &Key) -> Result<bool, PageError> {
        if is_end(key) { Ok(false) } else { self.core.remove(key.as_bytes()) }
    }

    /// Removes every key before `bound`; returns how many there were. Costs the chunks dropped.
    pub fn drop_before(&mut self, bound: &Key) -> Result<u64, PageError> {
        let dropped = self.snapshot().rank(bound)?;
        if dropped > 0 {
            self.core.replace(&MIN, bound.as_bytes(), Vec::new())?;
        }
        Ok(dropped)
    }

    /// The set as it stands now; later changes do not touch it. Cheap: O(1).
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.core)
    }

    /// Hands every page changed since the last flush to `write`, in the order of [`PageId`], to be made durable together
    /// with the root returned.
    ///
    /// The pages stay in memory until [`Tree::flushed`] says that they are durable. If they cannot be made durable, the tree
    /// does not know what its store holds: drop it and [`open`](Tree::open) it again as it was stored last.
    pub fn flush(&mut self, write: &mut dyn FnMut(PageWrite)) -> Result<Root, PageError> {
        Ok(flush::flush(&mut self.core, write))
    }

    /// What the last [`Tree::flush`] wrote is durable and is read from `store` from now on. Snapshots taken before go on
    /// reading from the version of the store that they know.
    pub fn flushed(&mut self, store: Arc<dyn PageStore>) {
        flush::flushed(&mut self.core, store);
    }

    /// Reads the stored pages from `store` from now on: a later version of the store, in which they are the same.
    pub fn read_from(&mut self, store: Arc<dyn PageStore>) {
        self.core.source.store = Some(store);
    }

    /// Bytes of the chunks that changed since the last flush: they stay in memory until the next. Costs the chunks.
    pub fn unflushed_bytes(&self) -> usize {
        flush::unflushed_bytes(&self.core)
    }
}

/// Whether this is no key but the end of all ranges.
fn is_end(key: &Key) -> bool {
    compare(key.as_bytes(), &MAX).is_eq()
}
