//! The embedded archive: one redb file with messages and index.
mod error;
mod open;
mod schema;
mod tables;

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard},
};

use hearken_tree::{GroupId, Id, Key, KeyRange};
use redb::{Builder, Database, ReadOnlyTable, ReadableDatabase, StorageBackend};

pub use self::error::OpenError;
use self::{
    error::{storage, unreadable},
    schema::{CorruptRow, IDS, MESSAGES, MessageRow, Topics, id_key, part},
    tables::{WriteTables, write_totals},
};
use crate::{
    Admission, AdmitError, Archive, ArchiveOptions, Candidate, Filter, PageLimit, ReadError, StoredMessage, View,
    archive::Page,
    index::GroupIndex,
    ledger::{Ledger, Totals},
    predicate::Predicate,
};

/// How many messages one transaction of [`Archive::retain`] drops at most: bounds its memory and how long others wait.
const DROP_AT_ONCE: usize = 50_000;
/// How many rows between two keys of a group a scan skips before it looks the next one up instead.
const SKIP: usize = 16;

/// Where an [`Embedded`] archive lies and how much memory it may take.
#[derive(Clone)]
pub struct EmbeddedOptions {
    /// The file; made if it is not there, in a folder that is.
    pub path: PathBuf,
    /// Decoded pages of the index kept in memory, in bytes.
    pub cache_size: usize,
    /// Pages of the file kept in memory by the database, in bytes.
    pub database_cache_size: usize,
    /// What every archive has to be told.
    pub archive: ArchiveOptions,
}

impl EmbeddedOptions {
    /// 64 MiB for decoded pages, 64 MiB for the database.
    pub fn new(path: impl Into<PathBuf>, archive: ArchiveOptions) -> EmbeddedOptions {
        EmbeddedOptions { path: path.into(), cache_size: 64 << 20, database_cache_size: 64 << 20, archive }
    }
}

/// A durable archive in one file, without a server.
///
/// One writer at a time; readers read a consistent state and never wait for a commit.
pub struct Embedded {
    db: Database,
    predicate: Predicate,
    max_bytes: Option<u64>,
    max_refused: u64,
    topics: Topics,
    writer: Mutex<Writer>,
    published: RwLock<Published>,
}

/// What only the writer sees.
struct Writer {
    totals: Totals,
    indexes: Vec<GroupIndex>,
}

/// What readers see: the state after the last commit.
struct Published {
    views: Vec<View>,
    sequence: u64,
    floor: u64,
}

impl Embedded {
    /// Opens the archive, or makes an empty one. It is ready on return: groups that are new are filled from the stored messages,
    /// groups that are gone are dropped (their messages stay until retention takes them).
    pub fn open(options: EmbeddedOptions) -> Result<Embedded, OpenError> {
        let db = open::database(&options.path, &builder(&options))?;
        Embedded::over(db, options)
    }

    /// The same over another place than a file, which `options.path` only names.
    pub fn open_with_backend(backend: impl StorageBackend, options: EmbeddedOptions) -> Result<Embedded, OpenError> {
        let db = builder(&options)
            .create_with_backend(backend)
            .map_err(|error| open::database_error(&options.path, error))?;
        Embedded::over(db, options)
    }

    fn over(db: Database, options: EmbeddedOptions) -> Result<Embedded, OpenError> {
        let ArchiveOptions { filters, format, validator, limits, max_bytes, max_refused } = options.archive;
        let predicate = Predicate::new(format, validator, limits, filters);
        let opened = open::prepare(&db, &options.path, &predicate, max_bytes)?;
        let writer = Writer { totals: opened.totals, indexes: opened.indexes };
        let published = RwLock::new(writer.publish());
        Ok(Embedded {
            db,
            predicate,
            max_bytes,
            max_refused,
            topics: opened.topics,
            writer: Mutex::new(writer),
            published,
        })
    }

    /// Runs one write transaction: tables and counters, one durable commit, then the index.
    fn write<R>(
        &self,
        work: impl FnOnce(&mut Ledger<'_, WriteTables<'_>>) -> Result<R, AdmitError>,
    ) -> Result<R, AdmitError> {
        let mut writer = self.writer();
        let mut totals = writer.totals.clone();
        let mut txn = self.db.begin_write().map_err(storage)?;
        // Two syncs instead of one, so that opening after a kill need not read the whole file.
        txn.set_quick_repair(true);
        let tables = WriteTables::open(&txn, &self.topics).map_err(storage)?;
        let mut ledger = Ledger::new(&self.predicate, tables, &mut totals, self.max_refused);
        let result = work(&mut ledger)?;
        let changes = ledger.finish()?;
        if totals == writer.totals && changes.iter().all(|changes| changes.is_empty()) {
            txn.abort().map_err(storage)?;
            return Ok(result);
        }
        write_totals(&txn, &self.predicate, &totals).map_err(storage)?;
        txn.commit().map_err(storage)?;
        writer.totals = totals;
        let Writer { totals, indexes } = &mut *writer;
        for ((index, changes), refused) in indexes.iter_mut().zip(&changes).zip(&totals.refused) {
            index.apply(changes, *refused)?;
        }
        *self.published.write().unwrap_or_else(PoisonError::into_inner) = writer.publish();
        Ok(result)
    }

    /// Drops everything before `bound`, in as many transactions as it takes.
    fn drop_before(&self, bound: &Key) -> Result<u64, AdmitError> {
        let mut total = 0;
        loop {
            let dropped = self.write(|ledger| ledger.drop_before(bound, DROP_AT_ONCE))?;
            total += dropped;
            if dropped < DROP_AT_ONCE as u64 {
                return Ok(total);
            }
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn published(&self) -> RwLockReadGuard<'_, Published> {
        self.published.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn message(&self, key: &Key, row: &[u8]) -> Result<StoredMessage, ReadError> {
        MessageRow::read(row).and_then(|row| row.message(key, &self.topics)).map_err(corrupt)
    }

    fn messages(&self) -> Result<ReadOnlyTable<&'static [u8; Key::LEN], &'static [u8]>, ReadError> {
        self.db.begin_read().map_err(unreadable)?.open_table(MESSAGES).map_err(unreadable)
    }
}

impl Writer {
    fn publish(&self) -> Published {
        let Totals { sequence, floor, .. } = self.totals;
        Published { views: self.indexes.iter().map(GroupIndex::view).collect(), sequence, floor }
    }
}

fn builder(options: &EmbeddedOptions) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(options.database_cache_size);
    builder
}

impl Archive for Embedded {
    fn groups(&self) -> Vec<Filter> {
        self.predicate.filters().iter().map(|(_, filter)| filter.clone()).collect()
    }

    fn admit(&self, batch: &[Candidate], now: u64) -> Result<Vec<Admission>, AdmitError> {
        let floor = self.published().floor;
        let batch = batch
            .iter()
            .map(|candidate| self.predicate.read(candidate, now, floor))
            .collect::<Result<Vec<_>, _>>()
            .map_err(AdmitError::UnknownGroup)?;
        self.write(|ledger| ledger.admit(batch))
    }

    fn view(&self, group: &GroupId) -> Result<View, ReadError> {
        let place = self.predicate.place(group).ok_or(ReadError::UnknownGroup(*group))?;
        self.published().views.get(place).cloned().ok_or(ReadError::UnknownGroup(*group))
    }

    fn get(&self, keys: &[Key]) -> Result<Vec<Option<StoredMessage>>, ReadError> {
        let messages = self.messages()?;
        keys.iter()
            .map(|key| {
                let row = messages.get(key.as_bytes()).map_err(unreadable)?;
                row.map(|row| self.message(key, row.value())).transpose()
            })
            .collect()
    }

    fn find(&self, id: &Id) -> Result<Option<Key>, ReadError> {
        let txn = self.db.begin_read().map_err(unreadable)?;
        let (ids, messages) = (txn.open_table(IDS).map_err(unreadable)?, txn.open_table(MESSAGES).map_err(unreadable)?);
        let last = self.published().sequence;
        for part in (0..=part(last)).rev() {
            if let Some(timestamp) = ids.get(&id_key(part, id)).map_err(unreadable)? {
                let key = Key::new(timestamp.value(), *id);
                return Ok(messages.get(key.as_bytes()).map_err(unreadable)?.map(|_| key));
            }
        }
        Ok(None)
    }

    fn scan(&self, group: &GroupId, range: &KeyRange, limit: PageLimit) -> Result<Vec<StoredMessage>, ReadError> {
        let view = self.view(group)?;
        // Opened after the view: what the view has is there, or was dropped since.
        let messages = self.messages()?;
        let mut page = Page::new(limit);
        let mut rows =
            messages.range::<&[u8; Key::LEN]>(range.start().as_bytes()..range.end().as_bytes()).map_err(unreadable)?;
        for key in view.kept.keys(range) {
            let key = key?;
            // Neighbours in the group are mostly neighbours in the table.
            let mut found = None;
            for row in rows.by_ref().take(SKIP) {
                let (place, row) = row.map_err(unreadable)?;
                if *place.value() >= *key.as_bytes() {
                    found = Some((Key::from_bytes(*place.value()), row));
                    break;
                }
            }
            if !matches!(&found, Some((place, _)) if *place == key) {
                rows = messages.range::<&[u8; Key::LEN]>(key.as_bytes()..range.end().as_bytes()).map_err(unreadable)?;
                found = rows
                    .next()
                    .transpose()
                    .map_err(unreadable)?
                    .map(|(place, row)| (Key::from_bytes(*place.value()), row));
            }
            let Some((_, row)) = found.filter(|(place, _)| *place == key) else { continue };
            if !page
                .push(row.value().len() - MessageRow::HEAD.min(row.value().len()), || self.message(&key, row.value()))?
            {
                break;
            }
        }
        Ok(page.messages)
    }

    fn delete(&self, keys: &[Key]) -> Result<u64, AdmitError> {
        self.write(|ledger| ledger.delete(keys))
    }

    fn retain(&self, now: u64) -> Result<u64, AdmitError> {
        let aged = self.drop_before(&Key::at(self.predicate.kept_from(now)))?;
        let Some(max_bytes) = self.max_bytes else { return Ok(aged) };
        match self.write(|ledger| ledger.raise_floor(max_bytes))? {
            Some(floor) => Ok(aged + self.drop_before(&Key::at(floor))?),
            None => Ok(aged),
        }
    }

    fn kept_from(&self, now: u64) -> u64 {
        self.predicate.kept_from(now).max(self.published().floor)
    }
}

fn corrupt(row: CorruptRow) -> ReadError {
    ReadError::Storage(Box::new(row))
}
