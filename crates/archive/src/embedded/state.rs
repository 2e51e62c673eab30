//! The archive as of its last commit, and how the next one follows it.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hearken_tree::{Key, KeyRange};
use redb::WriteTransaction;

use super::{
    error::storage,
    index::{self, GroupTrees},
    recent::Recent,
    schema::{GROUPS, META, meta},
    store::Store,
    tables,
    version::{Context, Version},
};
use crate::{
    AdmitError,
    ledger::{Changes, Totals},
};

/// The trees of all groups, with what was not written yet. Locked by themselves, so that readers do not wait for a commit; whoever
/// locks the writer as well does so before.
pub(super) type Trees = Vec<GroupTrees>;

pub(super) fn lock(trees: &Mutex<Trees>) -> MutexGuard<'_, Trees> {
    trees.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is known of the last commit, but for the trees.
///
/// Messages are appended, and durable with that. Keys, ids and the trees' pages lie scattered, so they are written for many
/// commits at a time; what is not written yet is in memory, and read off the messages again on opening.
pub(super) struct State {
    pub(super) totals: Totals,
    /// The last sequence that the index follows.
    pub(super) indexed: u64,
    /// What the tables of keys and ids lack.
    pub(super) recent: Recent,
    /// The last sequence that the index of content topics follows.
    pub(super) content: u64,
    pub(super) version: Arc<Version>,
    pub(super) context: Arc<Context>,
}

/// How much may wait to be written into the index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backlog {
    /// Messages.
    pub(super) messages: usize,
    /// Bytes of their bodies, which opening has to read.
    pub(super) bytes: u64,
}

impl State {
    /// Whether the index has to be written.
    pub(super) fn is_behind(&self, backlog: &Backlog) -> bool {
        self.context.is_healing() || self.recent.len() > backlog.messages || self.recent.bytes() > backlog.bytes
    }

    /// Whether there is a message before `bound`.
    pub(super) fn has_before(&self, bound: &Key) -> Result<bool, redb::Error> {
        let entered =
            self.version.keys(&KeyRange::ALL)?.next().transpose()?.map(|(key, _)| Key::from_bytes(*key.value()));
        Ok(entered.into_iter().chain(self.recent.first()).any(|first| first < *bound))
    }

    /// Makes the trees follow what a transaction did but store messages.
    pub(super) fn follow(
        &self,
        txn: &WriteTransaction,
        trees: &mut Trees,
        totals: &Totals,
        changes: &[Changes],
    ) -> Result<(), AdmitError> {
        for ((index, changes), refused) in trees.iter_mut().zip(changes).zip(&totals.refused) {
            index.apply(changes, *refused, &self.version)?;
        }
        self.write_trees(txn, trees, totals, self.indexed)
    }

    /// Writes the changed pages of all trees, which follow all messages up to the sequence `applied`.
    fn write_trees(
        &self,
        txn: &WriteTransaction,
        trees: &mut Trees,
        totals: &Totals,
        applied: u64,
    ) -> Result<(), AdmitError> {
        for (index, refused) in trees.iter_mut().zip(&totals.refused) {
            index.flush(txn)?;
            index.write_row(txn, applied, *refused).map_err(storage)?;
        }
        Ok(())
    }

    /// A transaction was committed: from now on all is read as of then.
    pub(super) fn committed(&mut self, trees: &mut Trees, store: &Store) -> Result<(), redb::Error> {
        self.version = Arc::new(Version::new(&store.read()?, self.context.clone())?);
        // All of them: a tree that still read from the version before would keep its pages from being used again.
        trees.iter_mut().for_each(|index| index.committed(&self.version));
        Ok(())
    }

    /// Writes what waits into the index: the trees first, then ids and keys. That goes in as many transactions as it takes for none to
    /// change more than the database keeps in memory, since what it does not it writes twice. After each, `shown` is called: readers
    /// find what is entered in the tables, and the rest in [`Recent`]. Until the last one, opening reads all of it off the messages
    /// again; what is entered already changes nothing then.
    pub(super) fn write_backlog(
        &mut self,
        trees: &Mutex<Trees>,
        store: &Store,
        shown: &dyn Fn(&State),
    ) -> Result<(), AdmitError> {
        self.write_healed(trees, store, shown)?;
        if self.recent.is_empty() {
            return Ok(());
        }
        let groups = lock(trees).len();
        (0..groups).try_for_each(|place| self.settle(trees, place, store, shown))?;
        let places = self.recent.sorted();
        let mut rest = places.as_slice();
        while !rest.is_empty() {
            let txn = store.write().map_err(storage)?;
            if rest.len() == places.len() {
                tables::enter_ids(&txn, &places).map_err(storage)?;
            }
            let entered = tables::enter_keys(&txn, rest, store.room()).map_err(storage)?;
            rest = rest.get(entered..).unwrap_or_default();
            if rest.is_empty() {
                self.finish_backlog(txn, trees, store, shown)?;
            } else {
                txn.commit().map_err(storage)?;
                self.recent = Recent::default().with(rest.to_vec(), self.recent.bytes());
                self.committed(&mut lock(trees), store).map_err(storage)?;
                shown(self);
            }
        }
        Ok(())
    }

    /// Commits the transaction with which the index follows all messages.
    fn finish_backlog(
        &mut self,
        txn: WriteTransaction,
        trees: &Mutex<Trees>,
        store: &Store,
        shown: &dyn Fn(&State),
    ) -> Result<(), AdmitError> {
        let (mut trees, sequence) = (lock(trees), self.totals.sequence);
        self.write_trees(&txn, &mut trees, &self.totals, sequence)?;
        txn.open_table(META).map_err(storage)?.insert(meta::INDEXED, sequence).map(drop).map_err(storage)?;
        txn.commit().map_err(storage)?;
        (self.indexed, self.recent) = (sequence, Recent::default());
        self.committed(&mut trees, store).map_err(storage)?;
        shown(self);
        Ok(())
    }

    /// Enters what waits into the trees at `place`, and writes pages whenever they take too much memory.
    pub(super) fn settle(
        &mut self,
        trees: &Mutex<Trees>,
        place: usize,
        store: &Store,
        shown: &dyn Fn(&State),
    ) -> Result<(), AdmitError> {
        loop {
            let mut trees = lock(trees);
            let Some(index) = trees.get_mut(place) else { return Ok(()) };
            if index.enter()? {
                return Ok(());
            }
            let txn = store.write().map_err(storage)?;
            self.write_trees(&txn, &mut trees, &self.totals, self.indexed)?;
            txn.commit().map_err(storage)?;
            self.committed(&mut trees, store).map_err(storage)?;
            shown(self);
        }
    }

    /// Writes pages that were rebuilt on reading.
    fn write_healed(&mut self, trees: &Mutex<Trees>, store: &Store, shown: &dyn Fn(&State)) -> Result<(), AdmitError> {
        if !self.context.is_healing() {
            return Ok(());
        }
        let txn = store.write().map_err(storage)?;
        index::write_healed(&txn, &self.version, &self.context.take_healed())?;
        txn.commit().map_err(storage)?;
        self.committed(&mut lock(trees), store).map_err(storage)?;
        shown(self);
        Ok(())
    }

    /// Makes the trees that are not `sound` empty, to be filled anew.
    pub(super) fn clear(&mut self, trees: &mut Trees, store: &Store, sound: &[bool]) -> Result<(), AdmitError> {
        let txn = store.write().map_err(storage)?;
        for (index, _) in trees.iter_mut().zip(sound).filter(|(_, sound)| !**sound) {
            index::clear(&txn, &index.group()).map_err(storage)?;
            txn.open_table(GROUPS).map_err(storage)?.remove(&index.group().0).map_err(storage)?;
            index.empty(&self.version)?;
        }
        txn.commit().map_err(storage)?;
        self.committed(trees, store).map_err(storage)
    }

    /// Reads off the messages what the index that was written last does not follow. The trees at the places that are not `sound` are
    /// left alone.
    pub(super) fn catch_up(&mut self, trees: &mut Trees, sound: &[bool]) -> Result<(), AdmitError> {
        let mut stored = vec![Vec::new(); trees.len()];
        let (mut places, mut bytes) = (Vec::new(), 0);
        for row in self.version.rows_from(self.indexed.saturating_add(1)).map_err(storage)? {
            let (sequence, row) = row.map_err(storage)?;
            let sequence = sequence.value();
            let Some((key, row, topic, content_topic)) = self.context.read_unkeyed(row.value()) else {
                tracing::error!(sequence, "a stored message is not what was stored: left out; check the archive");
                continue;
            };
            places.push((key, sequence));
            bytes += row.body.len() as u64;
            for place in self.context.predicate.admitting(topic, &content_topic) {
                if let Some(keys) = stored.get_mut(place) {
                    keys.push(key);
                }
            }
        }
        places.sort_unstable();
        self.recent = Recent::default().with(places, bytes);
        let sound = trees.iter_mut().zip(&stored).zip(sound).filter(|(_, sound)| **sound);
        sound.for_each(|((index, keys), _)| index.store(keys));
        Ok(())
    }
}
