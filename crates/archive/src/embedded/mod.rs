//! The embedded archive: one redb file with messages and index.
mod check;
mod content;
mod error;
mod index;
mod open;
mod recent;
mod rows;
mod schema;
mod state;
mod store;
mod tables;
mod version;
mod writing;

use std::{
    borrow::Cow,
    cell::RefCell,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, atomic::Ordering},
};

use bytes::BytesMut;
use hearken_tree::{GroupId, Id, Key, KeyRange};
use redb::StorageBackend;

pub use self::{
    check::{CheckReport, GroupReport},
    error::OpenError,
};
use self::{
    content::{Fresh, Slice, TopicPlaces},
    error::{storage, unreadable},
    recent::{Finder, Place, Recent},
    rows::{AllPlaces, Rows},
    schema::MessageRow,
    state::{Backlog, State, Trees},
    store::{Opener, Store, catch},
    version::{Context, Version},
    writing::Writer,
};
use crate::{
    Admission, AdmitError, Archive, ArchiveOptions, Candidate, Filter, PageLimit, Query, QueryPage, ReadError,
    StoredMessage, View,
    archive::Page,
    ledger::Totals,
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
    /// How many messages may be stored before they are entered into the index on disk, all at once: meanwhile their places are in
    /// memory (48 bytes each, and 40 for each group), and opening after a kill has to read them. Bounded by their bytes as well, see
    /// [`Embedded`]. The more there are, the fewer bytes are written for each: a page is written once for all of them.
    pub backlog: usize,
    /// What every archive has to be told.
    pub archive: ArchiveOptions,
}

impl EmbeddedOptions {
    /// 64 MiB for decoded pages, 64 MiB for the database, a backlog of 262,144.
    pub fn new(path: impl Into<PathBuf>, archive: ArchiveOptions) -> EmbeddedOptions {
        EmbeddedOptions {
            path: path.into(),
            cache_size: 64 << 20,
            database_cache_size: 64 << 20,
            verify: false,
            at_once: 50_000,
            backlog: 1 << 18,
            archive,
        }
    }
}

/// Bodies that are read share blocks of memory of so many bytes: about a hundred small ones take one allocation.
const BODIES: usize = 16 << 10;

/// How many bytes of bodies opening has to read at most to catch up.
const BACKLOG_BYTES: u64 = 64 << 20;

/// A durable archive in one file, without a server.
///
/// One writer at a time; readers read a consistent state and do not wait for a commit that only appends messages. That is all that
/// has to be durable: keys, ids and pages of the index lie scattered, so they are written for many commits at once (when there are
/// `backlog` messages or 64 MiB of bodies, when something is deleted, and on closing). The trees follow when somebody looks at them:
/// keys that came meanwhile are entered in their order, each page once, in memory, and where that would take more than a quarter of
/// the cache, the index is written. Opening reads the messages behind the index. After a kill or a power cut at any instant, messages
/// and index are as of the last commit that was acknowledged, or of one more.
pub struct Embedded {
    store: Store,
    context: Arc<Context>,
    cache_size: usize,
    at_once: usize,
    backlog: Backlog,
    max_bytes: Option<u64>,
    max_refused: u64,
    writer: Mutex<Writer>,
    trees: Mutex<Trees>,
    published: RwLock<Arc<Published>>,
    /// What the index of content topics lacks.
    fresh: Mutex<Fresh>,
}

/// What readers see beside the trees: the state after the last commit.
struct Published {
    stats: ArchiveStats,
    floor: u64,
    recent: Recent,
    /// The last sequence that the index of content topics follows.
    content: u64,
    version: Arc<Version>,
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
        let EmbeddedOptions { path, cache_size, database_cache_size, verify, at_once, backlog, archive } = options;
        let ArchiveOptions { filters, format, validator, limits, max_bytes, max_refused } = archive;
        let predicate = Predicate::new(format, validator, limits, filters);
        let store = Store::open(&path, database_cache_size, verify, opener)
            .map_err(|error| open::database_error(&path, error))?;
        let (state, trees) = catch(|| {
            open::check_version(&store)?;
            open::settle(&store, predicate, max_bytes, cache_size, at_once.max(1))
        })
        .unwrap_or_else(|found| Err(OpenError::Corrupt { path: path.clone(), found }))?;
        let context = state.context.clone();
        let published = RwLock::new(Arc::new(state.publish()));
        let writer = Mutex::new(Writer { state, failed: false });
        let trees = Mutex::new(trees);
        let backlog = Backlog { messages: backlog, bytes: BACKLOG_BYTES };
        let at_once = at_once.max(1);
        let fresh = Mutex::default();
        Ok(Embedded {
            store,
            context,
            cache_size,
            at_once,
            backlog,
            max_bytes,
            max_refused,
            writer,
            trees,
            published,
            fresh,
        })
    }

    /// How much is stored.
    pub fn stats(&self) -> ArchiveStats {
        self.published().stats
    }

    /// Makes the index of content topics, which follows late, follow the messages: some at a time, so that nobody waits long for the
    /// writer. [`Archive::retain`] does so, too; before, a query by content topic may look at more messages than it needs.
    ///
    /// # Errors
    /// What storing fails with. Messages are not touched.
    pub fn index_topics(&self) -> Result<(), AdmitError> {
        loop {
            let state = self.published();
            let slice = store::guarded(|| Slice::read(&state, self.backlog.messages)).map_err(storage);
            let Some(slice) = slice.map_err(|error| error::located(error, self.store.path()))? else { return Ok(()) };
            let mut writer = self.writer();
            // Somebody else may have done it meanwhile.
            if writer.failed || writer.state.content != state.content {
                return Ok(());
            }
            let written = store::guarded(|| self.enter_content(&mut writer.state, &slice)).map_err(storage);
            if let Err(error) = written {
                self.after_failure(&mut writer, &error);
                return Err(error::located(error, self.store.path()));
            }
        }
    }

    fn enter_content(&self, state: &mut State, slice: &Slice) -> Result<(), redb::Error> {
        let txn = self.store.write()?;
        let content = slice.write(&txn)?;
        txn.commit()?;
        state.content = content;
        state.committed(&mut self.trees(), &self.store)?;
        self.publish(state);
        Ok(())
    }

    /// How many pages of the index were read from the file so far: those that were not in memory.
    pub fn page_reads(&self) -> u64 {
        self.context.page_reads.load(Ordering::Relaxed)
    }

    /// Drops everything before `bound`, in as many transactions as it takes.
    fn drop_before(&self, bound: &Key) -> Result<u64, AdmitError> {
        let mut total = 0;
        loop {
            let dropped =
                self.write(|state| state.has_before(bound), |ledger| ledger.drop_before(bound, self.at_once))?;
            total += dropped;
            if dropped < self.at_once as u64 {
                return Ok(total);
            }
        }
    }

    /// Where the messages that a query looks at are found: by their content topics, if that is possible, or else by their keys.
    fn places(&self, query: &Query) -> Result<(Arc<Published>, QueryPlaces), ReadError> {
        // Taken while nobody else reads on: states must come in order.
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.published();
        let topics = TopicPlaces::new(&state, &mut fresh, query)?;
        drop(fresh);
        let places = match topics {
            Some(places) => QueryPlaces::Topics(places),
            None => {
                let all = AllPlaces::new(&state.version, &state.recent, &query.range, query.newest_first)?;
                QueryPlaces::All(Box::new(all))
            }
        };
        Ok((state, places))
    }

    fn trees(&self) -> MutexGuard<'_, Trees> {
        state::lock(&self.trees)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn published(&self) -> Arc<Published> {
        self.published.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads, and says of a failure where the file lies.
    fn reading<R>(&self, work: impl FnOnce() -> Result<R, ReadError>) -> Result<R, ReadError> {
        let found = catch(work).unwrap_or_else(|found| Err(unreadable(redb::Error::Corrupted(found))));
        found.map_err(|error| error::located_read(error, self.store.path()))
    }

    /// What is in a row, if it is the message that belongs at `key`: a damaged file must not give a wrong one.
    fn read_row<'a>(
        &'a self,
        key: &Key,
        row: &'a [u8],
    ) -> Result<(MessageRow<'a>, &'a Arc<str>, Cow<'a, str>), ReadError> {
        self.context.read_row(key, row).ok_or_else(|| {
            let found = format!("what is stored at {key:?} is not that message");
            unreadable(redb::Error::Corrupted(found))
        })
    }

    /// The message in a row; its body is copied to `bodies`.
    fn message(&self, key: &Key, sequence: u64, row: &[u8], bodies: &mut BytesMut) -> Result<StoredMessage, ReadError> {
        let (row, pubsub_topic, _) = self.read_row(key, row)?;
        bodies.extend_from_slice(row.body);
        let body = bodies.split().freeze();
        Ok(StoredMessage { key: *key, sequence, pubsub_topic: pubsub_topic.clone(), body })
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let Embedded { writer, trees, store, .. } = self;
        let writer = writer.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !writer.failed {
            // For a quick start next time. What could not be written now is read off the messages then.
            let written = catch(|| writer.state.write_backlog(trees, store, &|_| {}));
            if let Ok(Err(error)) = written {
                tracing::warn!(%error, "the index could not be written on closing: it will catch up on opening");
            }
        }
    }
}

impl State {
    fn publish(&self) -> Published {
        let Totals { sequence, messages, bytes, floor, .. } = self.totals;
        let stats = ArchiveStats { messages, bytes, sequence };
        let (recent, version) = (self.recent.clone(), self.version.clone());
        Published { stats, floor, recent, content: self.content, version }
    }
}

/// The places of messages that a query looks at, in its order.
enum QueryPlaces {
    All(Box<AllPlaces>),
    Topics(TopicPlaces),
}

impl QueryPlaces {
    fn next(&mut self) -> Result<Option<Place>, ReadError> {
        match self {
            QueryPlaces::All(places) => places.next(),
            QueryPlaces::Topics(places) => places.next(),
        }
    }
}

/// A row, as a query looks at it.
struct LookedRow<'a> {
    archive: &'a Embedded,
    bodies: &'a RefCell<BytesMut>,
    key: Key,
    sequence: u64,
    row: &'a [u8],
}

impl Looked<ReadError> for LookedRow<'_> {
    fn pubsub_topic(&self) -> Result<&str, ReadError> {
        let row = MessageRow::read(self.row).map_err(unreadable)?;
        Ok(self.archive.context.topics.name(row.topic).map_err(unreadable)?)
    }

    fn content_topic(&self) -> Result<Cow<'_, str>, ReadError> {
        self.archive.read_row(&self.key, self.row).map(|(.., content_topic)| content_topic)
    }

    fn size(&self) -> usize {
        self.row.len().saturating_sub(MessageRow::HEAD)
    }

    fn message(&self) -> Result<StoredMessage, ReadError> {
        self.archive.message(&self.key, self.sequence, self.row, &mut self.bodies.borrow_mut())
    }
}

impl Archive for Embedded {
    fn groups(&self) -> Vec<Filter> {
        self.context.predicate.filters().iter().map(|(_, filter)| filter.clone()).collect()
    }

    fn admit(&self, batch: &[Candidate], now: u64) -> Result<Vec<Admission>, AdmitError> {
        let floor = self.published().floor;
        // Not collected: what may fail is, without knowing how many there are, and these are large.
        let mut judged = Vec::with_capacity(batch.len());
        for candidate in batch {
            judged.push(self.context.predicate.read(candidate, now, floor).map_err(AdmitError::UnknownGroup)?);
        }
        self.write(|_| Ok(false), |ledger| ledger.admit(judged))
    }

    fn view(&self, group: &GroupId) -> Result<View, ReadError> {
        let place = self.context.predicate.place(group).ok_or(ReadError::UnknownGroup(*group))?;
        self.settled(place).map_err(|error| error::located_read(error::reading(error), self.store.path()))
    }

    fn get(&self, keys: &[Key]) -> Result<Vec<Option<StoredMessage>>, ReadError> {
        let state = self.published();
        let mut bodies = BytesMut::with_capacity(BODIES);
        let mut recent = Finder::new(&state.recent);
        let get = |key: &Key| {
            let sequence = match recent.sequence(key) {
                Some(sequence) => Some(sequence),
                None => state.version.sequence(key).map_err(unreadable)?,
            };
            let Some(sequence) = sequence else { return Ok(None) };
            let row = state.version.row(sequence).map_err(unreadable)?;
            row.map(|row| self.message(key, sequence, row.value(), &mut bodies)).transpose()
        };
        self.reading(|| keys.iter().map(get).collect())
    }

    fn find(&self, id: &Id) -> Result<Option<Key>, ReadError> {
        let state = self.published();
        match state.recent.find(id) {
            Some(key) => Ok(Some(key)),
            None => self.reading(|| state.version.find(id, state.stats.sequence).map_err(unreadable)),
        }
    }

    fn scan(&self, group: &GroupId, range: &KeyRange, limit: PageLimit) -> Result<Vec<StoredMessage>, ReadError> {
        let view = self.view(group)?;
        // Taken after: it has the places of all that the view holds.
        let state = self.published();
        self.reading(|| {
            let mut rows = Rows::new(state.version.clone(), &state.recent, range)?;
            let (mut page, mut bodies) = (Page::new(limit), BytesMut::with_capacity(BODIES));
            for key in view.kept.keys(range) {
                let key = key?;
                let Some((sequence, row)) = rows.at(&key)? else { continue };
                let size = row.value().len().saturating_sub(MessageRow::HEAD);
                if !page.push(size, || self.message(&key, sequence, row.value(), &mut bodies))? {
                    break;
                }
            }
            Ok(page.messages)
        })
    }

    fn query(&self, query: &Query) -> Result<QueryPage, ReadError> {
        self.reading(|| {
            let (state, mut places) = self.places(query)?;
            let (mut filling, bodies) = (Filling::new(query), RefCell::new(BytesMut::with_capacity(BODIES)));
            while let Some((key, sequence)) = places.next()? {
                let Some(row) = state.version.row(sequence).map_err(unreadable)? else { continue };
                let looked = LookedRow { archive: self, bodies: &bodies, key, sequence, row: row.value() };
                if !filling.look(&key, &looked)? {
                    break;
                }
            }
            Ok(filling.finish())
        })
    }

    fn delete(&self, keys: &[Key]) -> Result<u64, AdmitError> {
        self.write(|_| Ok(true), |ledger| ledger.delete(keys))
    }

    fn retain(&self, now: u64) -> Result<u64, AdmitError> {
        if let Err(error) = self.index_topics() {
            // Queries by content topic then look at more messages than they need.
            tracing::warn!(%error, "the index of content topics does not follow");
        }
        let aged = self.drop_before(&Key::at(self.context.predicate.kept_from(now)))?;
        let Some(max_bytes) = self.max_bytes else { return Ok(aged) };
        match self.write(|state| Ok(state.totals.bytes > max_bytes), |ledger| ledger.raise_floor(max_bytes))? {
            Some(floor) => Ok(aged + self.drop_before(&Key::at(floor))?),
            None => Ok(aged),
        }
    }

    fn kept_from(&self, now: u64) -> u64 {
        self.context.predicate.kept_from(now).max(self.published().floor)
    }
}
