use std::{collections::BTreeSet, sync::Arc};

use crate::{Fingerprint, Key, KeyRange, PageError, PageStore, PageWrite, Root, Span, model};

/// An ordered set of keys with a fingerprint for every range.
#[derive(Clone, Default)]
pub struct Tree {
    keys: Arc<BTreeSet<Key>>,
}

/// The keys that were to be sorted are not, or are not distinct.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key {key:?} does not come after the one before it: a bulk build takes distinct keys in ascending order")]
pub struct Unsorted {
    /// The first key out of order.
    pub key: Key,
}

impl Tree {
    /// The empty set, in memory.
    pub fn new() -> Tree {
        Tree::default()
    }

    /// The set of these distinct keys in ascending order, in memory.
    pub fn from_sorted(keys: impl IntoIterator<Item = Key>) -> Result<Tree, Unsorted> {
        let mut set = BTreeSet::new();
        for key in keys {
            if set.last().is_some_and(|last| *last >= key) {
                return Err(Unsorted { key });
            }
            set.insert(key);
        }
        Ok(Tree { keys: Arc::new(set) })
    }

    /// The set whose pages lie in `store` under `root`, as [`Tree::flush`] left them. Reads nothing yet.
    /// `cache` bounds the decoded pages kept in memory, in bytes.
    pub fn open(_store: Arc<dyn PageStore>, _root: Root, _cache: usize) -> Tree {
        unreachable!("interim")
    }

    /// Adds a key; `false` if it was there.
    pub fn insert(&mut self, key: Key) -> Result<bool, PageError> {
        Ok(Arc::make_mut(&mut self.keys).insert(key))
    }

    /// Adds keys in any order; returns how many were new.
    pub fn insert_all(&mut self, keys: impl IntoIterator<Item = Key>) -> Result<u64, PageError> {
        let mut new = 0;
        for key in keys {
            new += u64::from(self.insert(key)?);
        }
        Ok(new)
    }

    /// Removes a key; `false` if it was not there.
    pub fn remove(&mut self, key: &Key) -> Result<bool, PageError> {
        Ok(Arc::make_mut(&mut self.keys).remove(key))
    }

    /// Removes every key before `bound`; returns how many there were.
    pub fn drop_before(&mut self, bound: &Key) -> Result<u64, PageError> {
        let keys = Arc::make_mut(&mut self.keys);
        let kept = keys.split_off(bound);
        let dropped = keys.len() as u64;
        *keys = kept;
        Ok(dropped)
    }

    /// The set as it stands now; later changes do not touch it. Cheap: O(1).
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { keys: self.keys.clone() }
    }

    /// Hands every page changed since the last flush to `write`, to be made durable together with the root returned.
    ///
    /// The pages stay in memory until [`Tree::flushed`] says that they are durable.
    pub fn flush(&mut self, _write: &mut dyn FnMut(PageWrite)) -> Result<Root, PageError> {
        unreachable!("interim")
    }

    /// What the last [`Tree::flush`] wrote is durable and is read from `store` from now on.
    pub fn flushed(&mut self, _store: Arc<dyn PageStore>) {
        unreachable!("interim")
    }
}

/// A set as it stood when [`Tree::snapshot`] was called. Cheap to clone, safe to read from other threads.
#[derive(Clone, Default)]
pub struct Snapshot {
    keys: Arc<BTreeSet<Key>>,
}

impl Snapshot {
    /// Number of keys.
    pub fn len(&self) -> u64 {
        self.keys.len() as u64
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The fingerprint of the whole set.
    pub fn root(&self) -> Result<Fingerprint, PageError> {
        self.fingerprint(&KeyRange::ALL)
    }

    /// Whether `key` is in the set.
    pub fn contains(&self, key: &Key) -> Result<bool, PageError> {
        Ok(self.keys.contains(key))
    }

    /// The fingerprint of the keys in `range`, whatever its bounds.
    pub fn fingerprint(&self, range: &KeyRange) -> Result<Fingerprint, PageError> {
        let keys: Vec<Key> = self.keys.range(range.start()..range.end()).copied().collect();
        Ok(model::fingerprint(&keys))
    }

    /// Number of keys in `range`.
    pub fn count(&self, range: &KeyRange) -> Result<u64, PageError> {
        Ok(self.keys.range(range.start()..range.end()).count() as u64)
    }

    /// The keys in `range`, in order. After an error the iterator ends.
    pub fn keys(&self, range: &KeyRange) -> Keys {
        let keys: Vec<Key> = self.keys.range(range.start()..range.end()).copied().collect();
        Keys { keys: keys.into_iter() }
    }

    /// Cuts `range` into at most `parts` consecutive spans that cover it, of about equal counts, cut at chunk boundaries
    /// where such are near. At least two if `range` holds two keys and `parts` allows it.
    pub fn split(&self, range: &KeyRange, parts: usize) -> Result<Vec<Span>, PageError> {
        let keys: Vec<Key> = self.keys.range(range.start()..range.end()).copied().collect();
        let parts = parts.min(keys.len()).max(1);
        let mut bounds = vec![range.start()];
        bounds.extend((1..parts).map(|part| keys[part * keys.len() / parts]));
        bounds.push(range.end());
        self.spans(&bounds)
    }

    /// Cuts `window` into at most `spans` consecutive spans that cover it: about half of them by equal counts, half by age
    /// (finer the younger, at multiples of 2^k minutes).
    pub fn summary(&self, window: &KeyRange, spans: usize) -> Result<Vec<Span>, PageError> {
        self.split(window, spans)
    }

    fn spans(&self, bounds: &[Key]) -> Result<Vec<Span>, PageError> {
        let mut spans = Vec::new();
        for pair in bounds.windows(2) {
            if let Ok(range) = KeyRange::new(pair[0], pair[1]) {
                spans.push(Span { range, fingerprint: self.fingerprint(&range)? });
            }
        }
        Ok(spans)
    }
}

/// Iterator over the keys of a range; see [`Snapshot::keys`].
pub struct Keys {
    keys: std::vec::IntoIter<Key>,
}

impl Iterator for Keys {
    type Item = Result<Key, PageError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.keys.next().map(Ok)
    }
}
