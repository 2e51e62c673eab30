//! The embedded archive: one redb file with messages and index.
mod check;
mod error;
mod index;
mod open;
mod rows;
mod schema;
mod store;
mod tables;
mod version;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard},
};

use bytes::Bytes;
use hearken_tree::{GroupId, Id, Key, KeyRange};
use redb::{ReadOnlyTable, StorageBackend};

pub use self::{
    check::{CheckReport, GroupReport},
    error::OpenError,
};
use self::{
    error::{storage, unreadable},
    index::GroupTrees,
    open::Opened,
    rows::Rows,
    schema::{IDS, MESSAGES, MessageRow, id_key, part},
    store::{Opener, Store, catch},
    tables::{WriteTables, write_totals},
    version::{Context, Version},
};
use crate::{
    Admission, AdmitError, Archive, ArchiveOptions, Candidate, Filter, PageLimit, Query, QueryPage, ReadError,
    StoredMessage, View,
    archive::Page,
    ledger::{Changes, Ledger, Totals},
    predicate::Predicate,
    query::{Filling, Looked},
};

/// Where an [`Embedded`] archive lies and how much memory it may take.
#[derive(Clone)]
pub struct EmbeddedOptions {
    /// The file; made if it is not there, in a folder that is.
    pub path: PathBuf,
    /// Decoded pages of the index kept in memory, in bytes.
    pub cache_size: usize,
    /// Pages of the file kept in memory by the database, in bytes.
    pub database_cache_size: usize,
    /// Checks every page of the database on opening, which reads the whole file: finds damage that a plain open trusts not to be
    /// there, and that would come up later, as an error of the read that meets it.
    pub verify: bool,
    /// How many messages one transaction of [`Archive::retain`], or of filling a new group, handles at most: bounds its memory, and
    /// how long others wait.
    pub at_once: usize,
    /// What every archive has to be told.
    pub archive: ArchiveOptions,
}

impl EmbeddedOptions {
    /// 64 MiB for decoded pages, 64 MiB for the database.
    pub fn new(path: impl Into<PathBuf>, archive: ArchiveOptions) -> EmbeddedOptions {
        EmbeddedOptions {
            path: path.into(),
            cache_size: 64 << 20,
            database_cache_size: 64 << 20,
            verify: false,
            at_once: 50_000,
            archive,
        }
    }
}

/// A durable archive in one file, without a server.
///
/// One writer at a time; readers read a consistent state and never wait for a commit. Messages and index are committed together:
/// after a kill or a power cut at any instant, both are as of the last commit that was acknowledged, or of one more.
pub struct Embedded {
    store: Store,
    context: Arc<Context>,
    cache_size: usize,
    at_once: usize,
    max_bytes: Option<u64>,
    max_refused: u64,
    writer: Mutex<Writer>,
    published: RwLock<Published>,
}

/// What only the writer sees.
struct Writer {
    totals: Totals,
    indexes: Vec<GroupTrees>,
    /// The last commit.
    version: Arc<Version>,
    /// The database failed and could not be opened again yet.
    failed: bool,
}

/// What readers see: the state after the last commit.
struct Published {
    views: Vec<View>,
    stats: ArchiveStats,
    floor: u64,
}

/// How much an archive stores, as of its last commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArchiveStats {
    /// Messages.
    pub messages: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// The last admission sequence given.
    pub sequence: u64,
}

impl Embedded {
    /// Opens the archive, or makes an empty one. It is ready on return: groups that are new are filled from the stored messages,
    /// groups that are gone are dropped (their messages stay until retention takes them). Reads the top of the index only.
    pub fn open(options: EmbeddedOptions) -> Result<Embedded, OpenError> {
        open::find_or_create(&options.path)?;
        let path = options.path.clone();
        Embedded::over(Box::new(move |builder| builder.create(&path)), options)
    }

    /// The same over another place than a file, which `options.path` only names. `backend` is called again whenever the database has
    /// to be opened again after a failure.
    pub fn open_with_backend<B: StorageBackend>(
        backend: impl Fn() -> std::io::Result<B> + Send + Sync + 'static,
        options: EmbeddedOptions,
    ) -> Result<Embedded, OpenError> {
        Embedded::over(Box::new(move |builder| builder.create_with_backend(backend()?)), options)
    }

    fn over(opener: Opener, options: EmbeddedOptions) -> Result<Embedded, OpenError> {
        let EmbeddedOptions { path, cache_size, database_cache_size, verify, at_once, archive } = options;
        let ArchiveOptions { filters, format, validator, limits, max_bytes, max_refused } = archive;
        let predicate = Predicate::new(format, validator, limits, filters);
        let store = Store::open(&path, database_cache_size, verify, opener)
            .map_err(|error| open::database_error(&path, error))?;
        let opened = catch(|| {
            open::check_version(&store)?;
            open::settle(&store, predicate, max_bytes, cache_size, at_once.max(1))
        })
        .unwrap_or_else(|found| Err(OpenError::Corrupt { path: path.clone(), found }))?;
        let context = opened.context.clone();
        let writer = Writer::new(opened);
        let published = RwLock::new(writer.publish());
        let writer = Mutex::new(writer);
        Ok(Embedded { store, context, cache_size, at_once: at_once.max(1), max_bytes, max_refused, writer, published })
    }

    /// How much is stored.
    pub fn stats(&self) -> ArchiveStats {
        self.published().stats
    }

    /// Runs one write transaction: tables, counters and index pages, one durable commit. Nothing of it is seen before, and nothing
    /// stays of it if it fails.
    fn write<R>(
        &self,
        work: impl FnOnce(&mut Ledger<'_, WriteTables<'_>>) -> Result<R, AdmitError>,
    ) -> Result<R, AdmitError> {
        let mut writer = self.writer();
        if writer.failed {
            self.recover(&mut writer).map_err(|error| error::located(error, self.store.path()))?;
        }
        let mut totals = writer.totals.clone();
        let result = catch(|| self.transact(&mut writer, &mut totals, work))
            .unwrap_or_else(|found| Err(storage(redb::Error::Corrupted(found))));
        match result {
            Ok((result, Some(version))) => {
                writer.committed(totals, version);
                self.publish(&writer);
                Ok(result)
            }
            Ok((result, None)) => Ok(result),
            Err(error) => {
                self.after_failure(&mut writer, &error);
                Err(error::located(error, self.store.path()))
            }
        }
    }

    /// Makes the writer sound again. If that fails too, the next one to write tries again; readers keep what they have.
    fn after_failure(&self, writer: &mut Writer, error: &AdmitError) {
        match error {
            AdmitError::Storage(_) => drop(self.recover(writer)),
            AdmitError::Index(damage) => {
                tracing::error!(%damage, "the index is damaged beyond single pages: rebuilding it from the messages");
                writer.discard();
                drop(self.check_locked(writer, false));
            }
            // The database is sound: only what was changed in memory has to go.
            _ => writer.discard(),
        }
    }

    /// The transaction itself; the version it made, if it changed anything.
    fn transact<R>(
        &self,
        writer: &mut Writer,
        totals: &mut Totals,
        work: impl FnOnce(&mut Ledger<'_, WriteTables<'_>>) -> Result<R, AdmitError>,
    ) -> Result<(R, Option<Arc<Version>>), AdmitError> {
        let txn = self.store.write().map_err(storage)?;
        let tables = WriteTables::open(&txn, &self.context.topics).map_err(storage)?;
        let mut ledger = Ledger::new(&self.context.predicate, tables, totals, self.max_refused);
        let result = work(&mut ledger)?;
        let changes = ledger.finish()?;
        let healed = self.context.take_healed();
        if *totals == writer.totals && healed.is_empty() && changes.iter().all(Changes::is_empty) {
            txn.abort().map_err(storage)?;
            return Ok((result, None));
        }
        index::write_healed(&txn, &writer.version, &healed)?;
        let applied = totals.sequence;
        for ((index, changes), refused) in writer.indexes.iter_mut().zip(&changes).zip(&totals.refused) {
            if !changes.is_empty() {
                index.apply(changes, *refused, &writer.version)?;
                index.flush(&txn)?;
            }
            index.write_row(&txn, applied, *refused).map_err(storage)?;
        }
        write_totals(&txn, totals).map_err(storage)?;
        txn.commit().map_err(storage)?;
        let read = self.store.read().map_err(storage)?;
        let version = Version::new(&read, self.context.clone()).map_err(storage)?;
        Ok((result, Some(Arc::new(version))))
    }

    /// Takes up what was committed last, from the file: a failed commit may have come through all the same.
    fn recover(&self, writer: &mut Writer) -> Result<(), AdmitError> {
        writer.failed = true;
        self.store.reopen().map_err(storage)?;
        let opened = catch(|| open::reload(&self.store, &self.context, self.cache_size))
            .unwrap_or_else(|found| Err(redb::Error::Corrupted(found)))
            .map_err(storage)?;
        *writer = Writer::new(opened);
        self.publish(writer);
        Ok(())
    }

    /// Shows readers what was committed.
    fn publish(&self, writer: &Writer) {
        *self.published.write().unwrap_or_else(PoisonError::into_inner) = writer.publish();
    }

    /// Drops everything before `bound`, in as many transactions as it takes.
    fn drop_before(&self, bound: &Key) -> Result<u64, AdmitError> {
        let mut total = 0;
        loop {
            let dropped = self.write(|ledger| ledger.drop_before(bound, self.at_once))?;
            total += dropped;
            if dropped < self.at_once as u64 {
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

    /// Reads, and says of a failure where the file lies.
    fn reading<R>(&self, work: impl FnOnce() -> Result<R, ReadError>) -> Result<R, ReadError> {
        let found = catch(work).unwrap_or_else(|found| Err(unreadable(redb::Error::Corrupted(found))));
        found.map_err(|error| error::located_read(error, self.store.path()))
    }

    fn messages(&self) -> Result<Messages, ReadError> {
        self.store.read().map_err(unreadable)?.open_table(MESSAGES).map_err(unreadable)
    }

    /// What is in a row, if it is the message that belongs at `key`: a damaged file must not give a wrong one.
    fn read_row<'a>(&'a self, key: &Key, row: &'a [u8]) -> Result<(MessageRow<'a>, &'a str, String), ReadError> {
        self.context.read_row(key, row).ok_or_else(|| {
            let found = format!("what is stored at {key:?} is not that message");
            unreadable(redb::Error::Corrupted(found))
        })
    }

    fn message(&self, key: &Key, row: &[u8]) -> Result<StoredMessage, ReadError> {
        let (row, pubsub_topic, _) = self.read_row(key, row)?;
        let (pubsub_topic, body) = (pubsub_topic.to_owned(), Bytes::copy_from_slice(row.body));
        Ok(StoredMessage { key: *key, sequence: row.sequence, pubsub_topic, body })
    }
}

/// The table of messages in a read transaction.
type Messages = ReadOnlyTable<&'static [u8; Key::LEN], &'static [u8]>;

impl Writer {
    fn new(opened: Opened) -> Writer {
        Writer { totals: opened.totals, indexes: opened.indexes, version: opened.version, failed: false }
    }

    fn committed(&mut self, totals: Totals, version: Arc<Version>) {
        self.totals = totals;
        // All of them: a tree that still read from the version before would keep its pages from being used again.
        self.indexes.iter_mut().for_each(|index| index.committed(&version));
        self.version = version;
    }

    /// Forgets what was not committed.
    fn discard(&mut self) {
        let Writer { indexes, version, .. } = self;
        indexes.iter_mut().for_each(|index| index.discard(version));
    }

    fn publish(&self) -> Published {
        let Totals { sequence, messages, bytes, floor, .. } = self.totals;
        let stats = ArchiveStats { messages, bytes, sequence };
        Published { views: self.indexes.iter().map(GroupTrees::view).collect(), stats, floor }
    }
}

/// A row, as a query looks at it.
struct LookedRow<'a> {
    archive: &'a Embedded,
    key: Key,
    row: &'a [u8],
}

impl Looked<ReadError> for LookedRow<'_> {
    fn pubsub_topic(&self) -> Result<&str, ReadError> {
        let row = MessageRow::read(self.row).map_err(unreadable)?;
        self.archive.context.topics.name(row.topic).map_err(unreadable)
    }

    fn content_topic(&self) -> Result<String, ReadError> {
        self.archive.read_row(&self.key, self.row).map(|(.., content_topic)| content_topic)
    }

    fn size(&self) -> usize {
        self.row.len().saturating_sub(MessageRow::HEAD)
    }

    fn message(&self) -> Result<StoredMessage, ReadError> {
        self.archive.message(&self.key, self.row)
    }
}

impl Archive for Embedded {
    fn groups(&self) -> Vec<Filter> {
        self.context.predicate.filters().iter().map(|(_, filter)| filter.clone()).collect()
    }

    fn admit(&self, batch: &[Candidate], now: u64) -> Result<Vec<Admission>, AdmitError> {
        let floor = self.published().floor;
        let batch = batch
            .iter()
            .map(|candidate| self.context.predicate.read(candidate, now, floor))
            .collect::<Result<Vec<_>, _>>()
            .map_err(AdmitError::UnknownGroup)?;
        self.write(|ledger| ledger.admit(batch))
    }

    fn view(&self, group: &GroupId) -> Result<View, ReadError> {
        let place = self.context.predicate.place(group).ok_or(ReadError::UnknownGroup(*group))?;
        self.published().views.get(place).cloned().ok_or(ReadError::UnknownGroup(*group))
    }

    fn get(&self, keys: &[Key]) -> Result<Vec<Option<StoredMessage>>, ReadError> {
        self.reading(|| {
            let messages = self.messages()?;
            keys.iter()
                .map(|key| {
                    let row = messages.get(key.as_bytes()).map_err(unreadable)?;
                    row.map(|row| self.message(key, row.value())).transpose()
                })
                .collect()
        })
    }

    fn find(&self, id: &Id) -> Result<Option<Key>, ReadError> {
        self.reading(|| {
            let txn = self.store.read().map_err(unreadable)?;
            let (ids, messages) =
                (txn.open_table(IDS).map_err(unreadable)?, txn.open_table(MESSAGES).map_err(unreadable)?);
            for part in (0..=part(self.stats().sequence)).rev() {
                if let Some(timestamp) = ids.get(&id_key(part, id)).map_err(unreadable)? {
                    let key = Key::new(timestamp.value(), *id);
                    return Ok(messages.get(key.as_bytes()).map_err(unreadable)?.map(|_| key));
                }
            }
            Ok(None)
        })
    }

    fn scan(&self, group: &GroupId, range: &KeyRange, limit: PageLimit) -> Result<Vec<StoredMessage>, ReadError> {
        let view = self.view(group)?;
        self.reading(|| {
            // Opened after the view: what the view has is there, or was dropped since.
            let mut rows = Rows::new(self.messages()?, range)?;
            let mut page = Page::new(limit);
            for key in view.kept.keys(range) {
                let key = key?;
                let Some(row) = rows.at(&key)? else { continue };
                let size = row.value().len().saturating_sub(MessageRow::HEAD);
                if !page.push(size, || self.message(&key, row.value()))? {
                    break;
                }
            }
            Ok(page.messages)
        })
    }

    fn query(&self, query: &Query) -> Result<QueryPage, ReadError> {
        self.reading(|| {
            let (start, end) = (query.range.start(), query.range.end());
            let range = self.messages()?.range::<&[u8; Key::LEN]>(start.as_bytes()..end.as_bytes());
            let range = range.map_err(unreadable)?;
            let rows: &mut dyn Iterator<Item = _> =
                if query.newest_first { &mut range.rev() } else { &mut range.into_iter() };
            let mut filling = Filling::new(query);
            for row in rows {
                let (key, row) = row.map_err(unreadable)?;
                let key = Key::from_bytes(*key.value());
                if !filling.look(&key, &LookedRow { archive: self, key, row: row.value() })? {
                    break;
                }
            }
            Ok(filling.finish())
        })
    }

    fn delete(&self, keys: &[Key]) -> Result<u64, AdmitError> {
        self.write(|ledger| ledger.delete(keys))
    }

    fn retain(&self, now: u64) -> Result<u64, AdmitError> {
        let aged = self.drop_before(&Key::at(self.context.predicate.kept_from(now)))?;
        let Some(max_bytes) = self.max_bytes else { return Ok(aged) };
        match self.write(|ledger| ledger.raise_floor(max_bytes))? {
            Some(floor) => Ok(aged + self.drop_before(&Key::at(floor))?),
            None => Ok(aged),
        }
    }

    fn kept_from(&self, now: u64) -> u64 {
        self.context.predicate.kept_from(now).max(self.published().floor)
    }
}
