//! Where chunks come from when they are not in memory: the store, through a cache of decoded pages.
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

use crate::{
    Digest, Key, PageError, PageId, PageStore,
    cuts::Cuts,
    node::{Child, Entry, Inner, Node},
    page,
    shape::Shape,
};

/// Decoded pages, the least recently used of which go first when they take more than `budget` bytes.
///
/// They are found by digest, which names what is in a page whatever version of the set it belongs to: so snapshots over
/// different versions share one cache.
pub(crate) struct Cache {
    pages: LruCache<(u8, Digest), Arc<Node>>,
    bytes: usize,
    budget: usize,
    pub(crate) cuts: Cuts,
}

/// Everything that is needed to follow an entry down.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) shape: Shape,
    pub(crate) store: Option<Arc<dyn PageStore>>,
    pub(crate) cache: Arc<Mutex<Cache>>,
}

impl Cache {
    pub(crate) fn new(budget: usize) -> Cache {
        Cache { pages: LruCache::unbounded(), bytes: 0, budget, cuts: Cuts::default() }
    }

    /// Keeps a page, and lets go of others for it.
    pub(crate) fn put(&mut self, digest: Digest, node: Arc<Node>) {
        self.bytes += node.heap_bytes();
        if let Some(old) = self.pages.put((node.level, digest), node) {
            self.bytes = self.bytes.saturating_sub(old.heap_bytes());
        }
        while self.bytes > self.budget {
            let Some((_, old)) = self.pages.pop_lru() else { break };
            self.bytes = self.bytes.saturating_sub(old.heap_bytes());
        }
    }
}

impl Source {
    pub(crate) fn in_memory(shape: Shape, budget: usize) -> Source {
        Source { shape, store: None, cache: Arc::new(Mutex::new(Cache::new(budget))) }
    }

    /// The chunk at which `entry` points; `None` for a single key.
    pub(crate) fn node(&self, entry: &Entry) -> Result<Option<Arc<Node>>, PageError> {
        match &entry.child {
            Child::Key => Ok(None),
            Child::Page(node) => Ok(Some(node.clone())),
            Child::Stored(level) => {
                let id = PageId { level: *level, first: Key::from_bytes(entry.first) };
                self.load(&id, entry.digest()).map(Some)
            }
        }
    }

    /// The chunk below the entry at `index`; `None` for a single key.
    pub(crate) fn child(&self, inner: &Inner, index: usize) -> Result<Option<Arc<Node>>, PageError> {
        match inner.child(index) {
            Child::Page(node) => Ok(Some(node.clone())),
            _ => self.node(&inner.entry(index)),
        }
    }

    /// Looks at the chunk below the entry at `index`; `None` for a single key.
    pub(crate) fn with_child<R, E: From<PageError>>(
        &self,
        inner: &Inner,
        index: usize,
        look: impl FnOnce(Option<&Arc<Node>>) -> Result<R, E>,
    ) -> Result<R, E> {
        match inner.child(index) {
            Child::Key => look(None),
            Child::Page(node) => look(Some(node)),
            Child::Stored(_) => look(self.node(&inner.entry(index))?.as_ref()),
        }
    }

    /// The chunk stored at `id`, checked against the digest that its parent holds.
    pub(crate) fn load(&self, id: &PageId, digest: Digest) -> Result<Arc<Node>, PageError> {
        let cached = self.lock().pages.get(&(id.level, digest)).cloned();
        if let Some(node) = cached {
            return Ok(node);
        }
        let Some(store) = &self.store else { return Err(PageError::Missing { id: *id }) };
        let bytes = store.read(id).map_err(|source| PageError::Store { id: *id, source: source.into() })?;
        let bytes = bytes.ok_or(PageError::Missing { id: *id })?;
        let node = Arc::new(page::decode(id, digest, &bytes)?);
        self.lock().put(digest, node.clone());
        Ok(node)
    }

    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, Cache> {
        // A panic elsewhere cannot leave the cache wrong, only less full.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
