//! Writing: one transaction at a time, and what becomes of the writer when one fails.
use std::sync::{Arc, MutexGuard, PoisonError};

use super::{
    Embedded, View,
    error::{self, storage},
    open,
    state::{State, Trees},
    store::{Store, catch},
    tables::{WriteTables, write_totals},
    version::Context,
};
use crate::{
    AdmitError,
    ledger::{Changes, Ledger},
};

/// What only the writer sees.
pub(super) struct Writer {
    pub(super) state: State,
    /// The database failed and could not be opened again yet.
    pub(super) failed: bool,
}

/// Reads the file.
type Load = fn(&Store, &Arc<Context>, usize, usize) -> Result<(State, Trees), AdmitError>;

impl Embedded {
    /// Runs one write transaction, one durable commit. Nothing of it is seen before, and nothing stays of it if it fails. `entered`: whether
    /// it looks at, or changes, what may still wait to be entered in the index.
    pub(super) fn write<R>(
        &self,
        entered: impl FnOnce(&State) -> Result<bool, redb::Error>,
        work: impl FnOnce(&mut Ledger<'_, WriteTables<'_>>) -> Result<R, AdmitError>,
    ) -> Result<R, AdmitError> {
        let mut writer = self.writer();
        if writer.failed {
            self.recover(&mut writer).map_err(|error| error::located(error, self.store.path()))?;
        }
        let state = &mut writer.state;
        let transact = || {
            // Before, so that a failure means that nothing of this was stored.
            if state.is_behind(&self.backlog) || entered(state).map_err(storage)? {
                self.write_backlog(state)?;
            }
            self.transact(state, work)
        };
        let result = catch(transact).unwrap_or_else(|found| Err(storage(redb::Error::Corrupted(found))));
        result.map_err(|error| {
            self.after_failure(&mut writer, &error);
            error::located(error, self.store.path())
        })
    }

    /// Makes the writer sound again. If that fails too, the next one to write tries again; readers keep what they have.
    pub(super) fn after_failure(&self, writer: &mut Writer, error: &AdmitError) {
        match error {
            AdmitError::Storage(_) => drop(self.recover(writer)),
            AdmitError::Index(damage) => {
                tracing::error!(%damage, "the index is damaged beyond single pages: rebuilding it from the messages");
                if self.reload(writer).is_ok() {
                    drop(self.check_locked(writer, false));
                }
            }
            // The database is sound, and nothing was changed in memory.
            _ => {}
        }
    }

    /// The transaction itself.
    fn transact<R>(
        &self,
        state: &mut State,
        work: impl FnOnce(&mut Ledger<'_, WriteTables<'_>>) -> Result<R, AdmitError>,
    ) -> Result<R, AdmitError> {
        let mut totals = state.totals.clone();
        let txn = self.store.write().map_err(storage)?;
        let tables = WriteTables::open(&txn, state).map_err(storage)?;
        let mut ledger = Ledger::new(&self.context.predicate, tables, &mut totals, self.max_refused);
        let result = work(&mut ledger)?;
        let (mut changes, stored) = ledger.finish()?;
        if totals == state.totals && changes.iter().all(Changes::is_empty) {
            txn.abort().map_err(storage)?;
            return Ok(result);
        }
        write_totals(&txn, &totals).map_err(storage)?;
        // What is stored waits.
        let keys: Vec<_> = changes.iter_mut().map(|changes| std::mem::take(&mut changes.stored)).collect();
        let mut trees: Option<MutexGuard<'_, Trees>> = None;
        if !changes.iter().all(Changes::is_empty) {
            state.follow(&txn, trees.insert(self.trees()), &totals, &changes)?;
        }
        txn.commit().map_err(storage)?;
        let mut trees = trees.unwrap_or_else(|| self.trees());
        trees.iter_mut().zip(&keys).for_each(|(index, keys)| index.store(keys));
        (state.totals, state.recent) = (totals, state.recent.with(stored.places, stored.bytes));
        state.committed(&mut trees, &self.store).map_err(storage)?;
        self.publish(state);
        Ok(result)
    }

    /// Writes what waits into the index.
    pub(super) fn write_backlog(&self, state: &mut State) -> Result<(), AdmitError> {
        state.write_backlog(&self.trees, &self.store, &|state| self.publish(state))
    }

    /// Takes up what was committed last, from the file: a failed commit may have come through all the same.
    pub(super) fn recover(&self, writer: &mut Writer) -> Result<(), AdmitError> {
        writer.failed = true;
        // Until they are read anew: they may have changes that are not durable.
        self.trees().clear();
        self.store.reopen().map_err(storage)?;
        self.reload(writer)
    }

    /// Reads the file anew.
    pub(super) fn reload(&self, writer: &mut Writer) -> Result<(), AdmitError> {
        self.load(writer, open::load)
    }

    /// Reads the file anew and writes the index, which is filled anew where it cannot follow.
    pub(super) fn reload_written(&self, writer: &mut Writer) -> Result<(), AdmitError> {
        self.load(writer, open::load_written)
    }

    fn load(&self, writer: &mut Writer, load: Load) -> Result<(), AdmitError> {
        writer.failed = true;
        let (state, loaded) = catch(|| load(&self.store, &self.context, self.cache_size, self.at_once))
            .unwrap_or_else(|found| Err(storage(redb::Error::Corrupted(found))))?;
        let mut trees = self.trees();
        *trees = loaded;
        *writer = Writer { state, failed: false };
        self.publish(&writer.state);
        Ok(())
    }

    /// The trees of the group at `place`, with all that is stored.
    pub(super) fn settled(&self, place: usize) -> Result<View, AdmitError> {
        let failed = match self.settled_in_memory(place) {
            Ok(Some(view)) => return Ok(view),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        // The index has to be written, or mended. Nobody stores anything meanwhile.
        let mut writer = self.writer();
        let written = match failed {
            Some(error) => Err(error),
            None if writer.failed => self.recover(&mut writer),
            None => catch(|| self.write_backlog(&mut writer.state))
                .unwrap_or_else(|found| Err(storage(redb::Error::Corrupted(found)))),
        };
        if let Err(error) = &written {
            self.after_failure(&mut writer, error);
        }
        match self.settled_in_memory(place)? {
            Some(view) => Ok(view),
            None => Err(written.err().unwrap_or_else(|| storage(redb::Error::DatabaseClosed))),
        }
    }

    /// The same; `None` if that takes too much memory, or there are no trees after a failure.
    fn settled_in_memory(&self, place: usize) -> Result<Option<View>, AdmitError> {
        let mut trees = self.trees();
        let Some(index) = trees.get_mut(place) else { return Ok(None) };
        let entered = catch(|| index.enter()).unwrap_or_else(|found| Err(storage(redb::Error::Corrupted(found))));
        Ok(entered?.then(|| index.view()))
    }

    /// Shows readers what was committed.
    pub(super) fn publish(&self, state: &State) {
        *self.published.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state.publish());
    }
}
