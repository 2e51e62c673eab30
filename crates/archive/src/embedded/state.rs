//! The archive as of its last commit, and how the next one follows it.
use std::sync::Arc;

use hearken_tree::PageError;
use redb::WriteTransaction;

use super::{
    error::storage,
    index::{self, GroupTrees},
    recent::Recent,
    schema::{GROUPS, META, meta},
    store::Store,
    tables::{self, Stored},
    version::{Context, Version},
};
use crate::{
    AdmitError,
    ledger::{Changes, Totals},
};

/// The trees of all groups, with what was not written yet. Locked by themselves, so that readers do not wait for a commit; whoever
/// locks the writer as well does so before.
pub(super) type Trees = Vec<GroupTrees>;

/// What is known of the last commit, but for the trees.
///
/// Messages are appended, and durable with that. Keys, ids and the trees' pages lie scattered, so they are written for many
/// commits at a time; what is not written yet is in memory, and read off the messages again on opening.
pub(super) struct State {
    pub(super) totals: Totals,
    /// What the tables of keys and ids lack.
    pub(super) recent: Recent,
    /// The last sequence that the index of content topics follows.
    pub(super) content: u64,
    pub(super) version: Arc<Version>,
    pub(super) context: Arc<Context>,
}

/// The trees at this place cannot be read.
pub(super) struct CannotFollow {
    pub(super) place: usize,
    pub(super) damage: PageError,
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
    /// What waits to be written into the index once these messages are stored, if that is how they may be left; `None` if the
    /// index has to be written with them.
    pub(super) fn waiting(
        &self,
        trees: &Trees,
        changes: &[Changes],
        stored: &Stored,
        backlog: &Backlog,
    ) -> Option<Recent> {
        let waits = !stored.entered
            && !self.context.is_healing()
            && changes.iter().all(Changes::only_stores)
            && self.recent.len() + stored.places.len() <= backlog.messages
            && self.recent.bytes() + stored.bytes <= backlog.bytes
            && !trees.iter().any(GroupTrees::is_full);
        waits.then(|| self.recent.with(stored.places.clone(), stored.bytes))
    }

    /// Makes the trees follow what the transaction changed, and writes the index.
    pub(super) fn follow(
        &self,
        txn: &Arc<WriteTransaction>,
        trees: &mut Trees,
        totals: &Totals,
        changes: &[Changes],
        stored: &Stored,
    ) -> Result<(), AdmitError> {
        let healed = self.context.take_healed();
        index::write_healed(txn, &self.version, &healed)?;
        let places = if stored.entered { stored.places.clone() } else { self.recent.sorted(&stored.places) };
        tables::enter(txn, &places).map_err(storage)?;
        for ((index, changes), refused) in trees.iter_mut().zip(changes).zip(&totals.refused) {
            if changes.only_stores() {
                index.store(&changes.stored);
            } else {
                index.flush(txn, &self.version)?;
                index.apply(changes, *refused, txn, &self.version)?;
            }
        }
        self.write_index(txn, trees, totals)
    }

    /// Writes the pages of all trees, which follow all messages.
    fn write_index(&self, txn: &Arc<WriteTransaction>, trees: &mut Trees, totals: &Totals) -> Result<(), AdmitError> {
        for (index, refused) in trees.iter_mut().zip(&totals.refused) {
            index.flush(txn, &self.version)?;
            index.write_row(txn, totals.sequence, *refused).map_err(storage)?;
        }
        let mut table = txn.open_table(META).map_err(storage)?;
        table.insert(meta::INDEXED, totals.sequence).map_err(storage)?;
        Ok(())
    }

    /// Commits a transaction in which pages of trees were written.
    pub(super) fn commit(&self, txn: Arc<WriteTransaction>, trees: &mut Trees) -> Result<(), redb::Error> {
        trees.iter_mut().for_each(|index| index.read_from(&self.version));
        let txn = Arc::into_inner(txn).ok_or_else(|| redb::Error::Corrupted("a tree still reads what is committed".to_owned()))?;
        Ok(txn.commit()?)
    }

    /// Takes up what a transaction changed, now that it is committed.
    pub(super) fn committed(
        &mut self,
        trees: &mut Trees,
        totals: Totals,
        recent: Recent,
        store: &Store,
    ) -> Result<(), redb::Error> {
        self.version = Arc::new(Version::new(&store.read()?, self.context.clone())?);
        // All of them: a tree that still read from the version before would keep its pages from being used again.
        trees.iter_mut().for_each(|index| index.committed(&self.version));
        self.totals = totals;
        self.recent = recent;
        Ok(())
    }

    /// Writes what waits into the index.
    pub(super) fn write_backlog(&mut self, trees: &mut Trees, store: &Store) -> Result<(), AdmitError> {
        if self.recent.is_empty() {
            return Ok(());
        }
        let txn = Arc::new(store.write().map_err(storage)?);
        tables::enter(&txn, &self.recent.sorted(&[])).map_err(storage)?;
        let totals = self.totals.clone();
        self.write_index(&txn, trees, &totals)?;
        self.commit(txn, trees).map_err(storage)?;
        self.committed(trees, totals, Recent::default(), store).map_err(storage)
    }

    /// Writes what waits into the index, but for the trees that are not `sound`: those are made empty, to be filled anew. Where one turns
    /// out not to be sound, nothing is written, and the trees have to be opened again.
    pub(super) fn start_anew(
        &mut self,
        trees: &mut Trees,
        store: &Store,
        sound: &[bool],
    ) -> Result<Result<(), CannotFollow>, AdmitError> {
        let txn = Arc::new(store.write().map_err(storage)?);
        tables::enter(&txn, &self.recent.sorted(&[])).map_err(storage)?;
        for (place, index) in trees.iter_mut().enumerate() {
            if sound.get(place) == Some(&true) {
                match index.flush(&txn, &self.version) {
                    Err(AdmitError::Index(damage)) => return Ok(Err(CannotFollow { place, damage })),
                    flushed => flushed?,
                }
                let refused = self.totals.refused.get(place).copied().unwrap_or_default();
                index.write_row(&txn, self.totals.sequence, refused).map_err(storage)?;
            } else {
                // Without its row it counts as not filled, until it is.
                index::clear(&txn, &index.group()).map_err(storage)?;
                txn.open_table(GROUPS).map_err(storage)?.remove(&index.group().0).map_err(storage)?;
                index.empty(&self.version)?;
            }
        }
        let indexed = txn.open_table(META).map_err(storage)?.insert(meta::INDEXED, self.totals.sequence).map(drop);
        indexed.map_err(storage)?;
        self.commit(txn, trees).map_err(storage)?;
        self.committed(trees, self.totals.clone(), Recent::default(), store).map_err(storage)?;
        Ok(Ok(()))
    }

    /// Reads off the messages what the index that was written last, up to `indexed`, does not follow. The trees at the places that
    /// are not `sound` are left alone.
    pub(super) fn catch_up(&mut self, trees: &mut Trees, indexed: u64, sound: &[bool]) -> Result<(), AdmitError> {
        let mut stored = vec![Vec::new(); trees.len()];
        let (mut places, mut bytes) = (Vec::new(), 0);
        for row in self.version.rows_from(indexed.saturating_add(1)).map_err(storage)? {
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
