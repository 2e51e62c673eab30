//! A page store in memory, of which a test can take versions, and which it can damage.
use std::{
    collections::BTreeMap,
    error::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use hearken_tree::{PageId, PageStore, PageWrite, Root, Tree};

/// One version of the pages.
#[derive(Default)]
pub struct Pages {
    pub pages: Mutex<BTreeMap<PageId, Vec<u8>>>,
    /// What damaged pages are made anew from.
    pub spare: Mutex<BTreeMap<PageId, Vec<u8>>>,
    /// How many pages were read.
    pub reads: AtomicU64,
    /// From which read on reading fails; 0 for never.
    pub fail_from: AtomicU64,
}

impl PageStore for Pages {
    fn read(&self, id: &PageId) -> Result<Option<Vec<u8>>, Box<dyn Error + Send + Sync>> {
        let reads = self.reads.fetch_add(1, Ordering::Relaxed) + 1;
        let fail_from = self.fail_from.load(Ordering::Relaxed);
        if fail_from > 0 && reads >= fail_from {
            return Err("the disk is on fire".into());
        }
        Ok(self.pages.lock().unwrap().get(id).cloned())
    }

    fn restore(&self, id: &PageId) -> Result<Option<Vec<u8>>, Box<dyn Error + Send + Sync>> {
        Ok(self.spare.lock().unwrap().get(id).cloned())
    }
}

impl Pages {
    pub fn with(pages: BTreeMap<PageId, Vec<u8>>) -> Arc<Pages> {
        Arc::new(Pages { pages: Mutex::new(pages), ..Pages::default() })
    }

    /// Lets this many more reads succeed.
    pub fn fail_after(&self, reads: u64) {
        self.fail_from.store(self.reads.load(Ordering::Relaxed) + reads + 1, Ordering::Relaxed);
    }
}

/// Flushes the tree on top of `pages`, which must stay a true image of the tree's pages.
pub fn flush(tree: &mut Tree, pages: &mut BTreeMap<PageId, Vec<u8>>) -> Root {
    let mut last = None;
    tree.flush(&mut |write| {
        let id = match write {
            PageWrite::Put(id, bytes) => {
                pages.insert(id, bytes);
                id
            }
            PageWrite::Delete(id) => {
                assert!(pages.remove(&id).is_some(), "{id:?} is deleted but was not there");
                id
            }
        };
        assert!(last < Some(id), "in order, each page once");
        last = Some(id);
    })
    .unwrap()
}
