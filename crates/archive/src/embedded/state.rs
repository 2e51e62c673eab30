//! The archive as of its last commit, and how the next one follows it.
use std::sync::Arc;

use redb::WriteTransaction;

use super::{
    content,
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

/// What is known of the last commit.
///
/// Messages are appended, and durable with that. Keys, ids and the trees' pages lie scattered, so they are written for many
/// commits at a time; what is not written yet is in memory, and read off the messages again on opening.
pub(super) struct State {
    pub(super) totals: Totals,
    /// By group; with what was not written yet.
    pub(super) indexes: Vec<GroupTrees>,
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
    /// Bytes of changed pages.
    pub(super) pages: usize,
}

/// What waits once the trees follow a transaction; by default nothing.
#[derive(Default)]
pub(super) struct Followed {
    recent: Recent,
}

impl State {
    /// Makes the trees follow what the transaction changed, and writes the index where it is time.
    pub(super) fn follow(
        &mut self,
        txn: &WriteTransaction,
        totals: &Totals,
        changes: &[Changes],
        stored: &Stored,
        backlog: &Backlog,
    ) -> Result<Followed, AdmitError> {
        let healed = self.context.take_healed();
        for ((index, changes), refused) in self.indexes.iter_mut().zip(changes).zip(&totals.refused) {
            index.apply(changes, *refused, &self.version)?;
        }
        let bytes = self.recent.bytes() + stored.bytes;
        let waits = !stored.entered
            && healed.is_empty()
            && changes.iter().all(Changes::only_stores)
            && self.recent.len() + stored.places.len() <= backlog.messages
            && bytes <= backlog.bytes
            && self.indexes.iter().map(GroupTrees::unflushed_bytes).sum::<usize>() <= backlog.pages;
        if waits {
            return Ok(Followed { recent: self.recent.with(stored.places.clone(), stored.bytes) });
        }
        index::write_healed(txn, &self.version, &healed)?;
        let places = if stored.entered { stored.places.clone() } else { self.recent.sorted(&stored.places) };
        tables::enter(txn, &places).map_err(storage)?;
        self.write_index(txn, totals)?;
        Ok(Followed::default())
    }

    /// Writes the pages of all trees, which follow all messages.
    fn write_index(&mut self, txn: &WriteTransaction, totals: &Totals) -> Result<(), AdmitError> {
        for (index, refused) in self.indexes.iter_mut().zip(&totals.refused) {
            index.flush(txn)?;
            index.write_row(txn, totals.sequence, *refused).map_err(storage)?;
        }
        let mut table = txn.open_table(META).map_err(storage)?;
        table.insert(meta::INDEXED, totals.sequence).map_err(storage)?;
        Ok(())
    }

    /// Takes up what the transaction changed, now that it is committed.
    pub(super) fn committed(&mut self, totals: Totals, followed: Followed, store: &Store) -> Result<(), redb::Error> {
        self.version = Arc::new(Version::new(&store.read()?, self.context.clone())?);
        // All of them: a tree that still read from the version before would keep its pages from being used again.
        self.indexes.iter_mut().for_each(|index| index.committed(&self.version));
        self.totals = totals;
        self.recent = followed.recent;
        Ok(())
    }

    /// Makes the index of content topics follow some more messages. Nothing else changes.
    pub(super) fn enter_content(&mut self, slice: &content::Slice, store: &Store) -> Result<(), redb::Error> {
        let txn = store.write()?;
        let content = slice.write(&txn)?;
        txn.commit()?;
        self.committed(self.totals.clone(), Followed { recent: self.recent.clone() }, store)?;
        self.content = content;
        Ok(())
    }

    /// Writes what waits into the index.
    pub(super) fn write_backlog(&mut self, store: &Store) -> Result<(), AdmitError> {
        if self.recent.is_empty() {
            return Ok(());
        }
        let txn = store.write().map_err(storage)?;
        tables::enter(&txn, &self.recent.sorted(&[])).map_err(storage)?;
        let totals = self.totals.clone();
        self.write_index(&txn, &totals)?;
        txn.commit().map_err(storage)?;
        self.committed(totals, Followed::default(), store).map_err(storage)
    }

    /// Writes what waits into the index, but for the trees that are not `sound`: those are made empty, to be filled anew.
    pub(super) fn start_anew(&mut self, store: &Store, sound: &[bool]) -> Result<(), AdmitError> {
        let txn = store.write().map_err(storage)?;
        tables::enter(&txn, &self.recent.sorted(&[])).map_err(storage)?;
        for ((index, refused), sound) in self.indexes.iter_mut().zip(&self.totals.refused).zip(sound) {
            if *sound {
                index.flush(&txn)?;
                index.write_row(&txn, self.totals.sequence, *refused).map_err(storage)?;
            } else {
                // Without its row it counts as not filled, until it is.
                index::clear(&txn, &index.group()).map_err(storage)?;
                txn.open_table(GROUPS).map_err(storage)?.remove(&index.group().0).map_err(storage)?;
                index.empty(&self.version)?;
            }
        }
        let indexed = txn.open_table(META).map_err(storage)?.insert(meta::INDEXED, self.totals.sequence).map(drop);
        indexed.map_err(storage)?;
        txn.commit().map_err(storage)?;
        self.committed(self.totals.clone(), Followed::default(), store).map_err(storage)
    }

    /// Reads off the messages what the index that was written last, up to `indexed`, does not follow. The trees at the places that
    /// are not `sound` are left alone; one that cannot follow is none any more.
    pub(super) fn catch_up(&mut self, indexed: u64, sound: &mut [bool]) -> Result<(), AdmitError> {
        let mut changes = vec![Changes::default(); self.indexes.len()];
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
                if let Some(changes) = changes.get_mut(place) {
                    changes.stored.push(key);
                }
            }
        }
        places.sort_unstable();
        self.recent = Recent::default().with(places, bytes);
        let trees = self.indexes.iter_mut().zip(sound).zip(&changes).zip(&self.totals.refused);
        for (((index, sound), changes), refused) in trees.filter(|(((_, sound), _), _)| **sound) {
            match index.apply(changes, *refused, &self.version) {
                Err(AdmitError::Index(damage)) => {
                    tracing::error!(%damage, "an index is damaged beyond single pages: rebuilding it from the messages");
                    *sound = false;
                }
                applied => applied?,
            }
        }
        Ok(())
    }
}
