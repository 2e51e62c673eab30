use std::sync::Arc;

use crate::{Digest, Key};

/// A page's place in its store: the level of its chunk and the chunk's first key.
///
/// A tree holds at most one page at a place. Ordered by level, then key, so that neighbours in time are neighbours on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId {
    /// Level of the chunk; 0 holds keys.
    pub level: u8,
    /// First key under the chunk.
    pub first: Key,
}

/// Where a tree's pages lie when they are not in memory: one consistent version of them.
///
/// A store over a database reads from one read transaction, so that a [`Snapshot`](crate::Snapshot) stays what it was.
pub trait PageStore: Send + Sync {
    /// The bytes of the page at `id`, as [`PageWrite::Put`] gave them; `None` where there is none.
    fn read(&self, id: &PageId) -> Result<Option<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>>;

    /// The bytes that belong at `id`, made anew where those that [`read`](PageStore::read) gave do not have the digest that they
    /// should have; `None` if they cannot be. The tree checks every page, so that a store need not.
    fn restore(&self, _id: &PageId) -> Result<Option<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(None)
    }
}

/// A change to the stored pages that a flush asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageWrite {
    /// Write, replacing what is there.
    Put(PageId, Vec<u8>),
    /// Remove; it is there.
    Delete(PageId),
}

/// What to keep of a flushed tree to open it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// Where the top page lies; `None` for the empty set.
    pub page: Option<PageId>,
    /// Its digest.
    pub digest: Digest,
    /// Number of keys.
    pub count: u64,
}

/// A page could not be read. The set is unchanged.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PageError {
    /// The store failed.
    #[error("reading index page {id:?} failed: {source}")]
    Store {
        /// Which page.
        id: PageId,
        /// Why.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The store has no such page.
    #[error("index page {id:?} is missing")]
    Missing {
        /// Which page.
        id: PageId,
    },
    /// The page's bytes are not what its parent says.
    #[error("index page {id:?} is corrupt: expected digest {expected}, found {found}")]
    Corrupt {
        /// Which page.
        id: PageId,
        /// The digest its parent holds.
        expected: Digest,
        /// The digest of what was read.
        found: Digest,
    },
}
