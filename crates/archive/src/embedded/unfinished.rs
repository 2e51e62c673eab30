//! The pages of a tree inside a transaction that is not committed yet.
use std::sync::Arc;

use hearken_tree::{PageId, PageStore};
use redb::WriteTransaction;

use super::{schema::PAGES, store::guarded, version::Pages};

/// Pages as they stand in a write transaction: so that a tree need not keep in memory what a long one has changed.
pub(super) struct Unfinished {
    txn: Arc<WriteTransaction>,
    /// The same pages before it.
    before: Pages,
}

impl Unfinished {
    /// As they stand in `txn`, which cannot be committed before this is dropped.
    pub(super) fn pages(txn: &Arc<WriteTransaction>, before: Pages) -> Arc<dyn PageStore> {
        Arc::new(Unfinished { txn: txn.clone(), before })
    }
}

impl PageStore for Unfinished {
    fn read(&self, id: &PageId) -> Result<Option<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>> {
        let read = || self.before.read_in(&self.txn.open_table(PAGES)?, id);
        let found = guarded(|| Ok(read()))??;
        if found.is_some() { Ok(found) } else { self.restore(id) }
    }

    fn restore(&self, id: &PageId) -> Result<Option<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>> {
        // What is damaged was not written here.
        self.before.restore(id)
    }
}
