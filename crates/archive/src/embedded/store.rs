//! The database behind an archive: opened again where it failed, and never panicking.
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use redb::{Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase, WriteTransaction};

/// Opens the database.
pub(super) type Opener = Box<dyn Fn(&Builder) -> Result<Database, DatabaseError> + Send + Sync>;

/// A database that can be opened again.
pub(super) struct Store {
    path: PathBuf,
    cache_size: usize,
    verify: bool,
    opener: Opener,
    /// `None` while it could not be opened again.
    db: RwLock<Option<Database>>,
}

impl Store {
    /// Opens it. `path` only names it; `verify`: read and check all of it.
    pub(super) fn open(path: &Path, cache_size: usize, verify: bool, opener: Opener) -> Result<Store, redb::Error> {
        let store = Store { path: path.to_owned(), cache_size, verify, opener, db: RwLock::new(None) };
        store.reopen()?;
        Ok(store)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes of pages one transaction had better change at most. The database keeps twice as many in memory until it is
    /// committed; what is more, it writes twice, and reads in between.
    pub(super) fn room(&self) -> usize {
        self.cache_size / 4
    }

    /// Closes the database, which fails everything after one failed write, and opens it again: what was committed is there.
    pub(super) fn reopen(&self) -> Result<(), redb::Error> {
        let mut builder = Builder::new();
        builder.set_cache_size(self.cache_size).set_check_integrity_on_open(self.verify);
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        guarded(|| {
            *db = None;
            *db = Some((self.opener)(&builder)?);
            Ok(())
        })
    }

    pub(super) fn read(&self) -> Result<ReadTransaction, redb::Error> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        Ok(db.as_ref().ok_or(redb::Error::DatabaseClosed)?.begin_read()?)
    }

    pub(super) fn write(&self) -> Result<WriteTransaction, redb::Error> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let mut txn = db.as_ref().ok_or(redb::Error::DatabaseClosed)?.begin_write()?;
        // Two syncs instead of one, so that opening after a kill need not read the whole file.
        txn.set_quick_repair(true);
        Ok(txn)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Closing writes. What it fails to write was not needed; a damaged file must not panic here.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            *self.db.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
        }));
    }
}

/// Makes an error of a panic: the database trusts a file that was closed cleanly, and panics over some that were damaged since.
pub(super) fn guarded<R>(work: impl FnOnce() -> Result<R, redb::Error>) -> Result<R, redb::Error> {
    catch(work).unwrap_or_else(|found| Err(redb::Error::Corrupted(found)))
}

/// What `work` panics with, as text.
pub(super) fn catch<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    // What the closure touches is either dropped or opened again from the file afterwards.
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "the database panicked".to_owned())
    })
}
