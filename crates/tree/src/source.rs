//! Where chunks come from when they are not in memory: the store, through a cache of decoded pages.
use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
};

use lru::LruCache;

use crate::{
    Digest, Key, PageError, PageId, PageStore,
    cuts::Cuts,
    node::{Body, Child, Entry, Inner, Node},
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

    /// Lets go of a page, if it is kept.
    fn take(&mut self, level: u8, digest: Digest) -> Option<Arc<Node>> {
        let node = self.pages.pop(&(level, digest))?;
        self.bytes = self.bytes.saturating_sub(node.heap_bytes());
        Some(node)
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

    /// Goes down from the root: `step` says of each chunk which entry to go on with, or what was looked for. `None` if that led to
    /// a single key. Chunks in memory are looked at where they are: sharing them would write to each.
    pub(crate) fn descend<R>(
        &self,
        root: &Entry,
        mut step: impl FnMut(&Node) -> ControlFlow<R, usize>,
    ) -> Result<Option<R>, PageError> {
        self.node(root)?.map_or(Ok(None), |node| self.descend_in(&node, &mut step))
    }

    fn descend_in<R>(
        &self,
        node: &Node,
        step: &mut impl FnMut(&Node) -> ControlFlow<R, usize>,
    ) -> Result<Option<R>, PageError> {
        match (step(node), &node.body) {
            (ControlFlow::Break(found), _) => Ok(Some(found)),
            (ControlFlow::Continue(index), Body::Inner(inner)) => {
                self.with_child(inner, index, |child| child.map_or(Ok(None), |child| self.descend_in(child, step)))
            }
            (ControlFlow::Continue(_), Body::Leaf(_)) => Ok(None),
        }
    }

    /// The chunk stored at `id`, checked against the digest that its parent holds.
    pub(crate) fn load(&self, id: &PageId, digest: Digest) -> Result<Arc<Node>, PageError> {
        let cached = self.lock().pages.get(&(id.level, digest)).cloned();
        if let Some(node) = cached {
            return Ok(node);
        }
        let node = self.read(id, digest)?;
        self.lock().put(digest, node.clone());
        Ok(node)
    }

    /// The same, to be changed: what is stored there is of no use after that, so it neither stays in the cache nor has to be copied.
    pub(crate) fn take(&self, id: &PageId, digest: Digest) -> Result<Arc<Node>, PageError> {
        let cached = self.lock().take(id.level, digest);
        cached.map_or_else(|| self.read(id, digest), Ok)
    }

    fn read(&self, id: &PageId, digest: Digest) -> Result<Arc<Node>, PageError> {
        let Some(store) = &self.store else { return Err(PageError::Missing { id: *id }) };
        let failed =
            |source: Box<dyn std::error::Error + Send + Sync>| PageError::Store { id: *id, source: source.into() };
        let bytes = store.read(id).map_err(failed)?.ok_or(PageError::Missing { id: *id })?;
        let node = page::decode(id, digest, &bytes).or_else(|corrupt| {
            let restored = store.restore(id).map_err(failed)?;
            restored.map_or(Err(corrupt), |bytes| page::decode(id, digest, &bytes))
        });
        Ok(Arc::new(node?))
    }

    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, Cache> {
        // A panic elsewhere cannot leave the cache wrong, only less full.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
