//! One committed version of the file, as messages and index pages are read from it.
use std::{
    borrow::Cow,
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use hearken_tree::{GroupId, Id, Key, KeyRange, PageId, PageStore, PageWrite, Tree};
use redb::{AccessGuard, Range, ReadOnlyTable, ReadTransaction, ReadableTable};

use super::{
    schema::{
        CONTENT, CONTENT_KEY, CorruptRow, IDS, KEYS, MESSAGES, MessageRow, PAGE_KEY, PAGES, REFUSED, Topics, Which,
        content_key, content_part, id_key, open_page, page_in, page_key, part, refused_key, refused_message,
        topic_hash,
    },
    store::guarded,
};
use crate::predicate::Predicate;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The most entries of a chunk: 8Q (docs of hearken-tree).
const CHUNK: usize = 1024;

/// A row of the table of messages.
pub(super) type Row = AccessGuard<'static, &'static [u8]>;

/// The tables of one read transaction.
pub(super) struct Version {
    pages: ReadOnlyTable<&'static [u8; PAGE_KEY], &'static [u8]>,
    messages: ReadOnlyTable<u64, &'static [u8]>,
    keys: ReadOnlyTable<&'static [u8; Key::LEN], u64>,
    ids: ReadOnlyTable<&'static [u8; 20], u64>,
    content: ReadOnlyTable<&'static [u8; CONTENT_KEY], u64>,
    refused: ReadOnlyTable<&'static [u8; 56], &'static [u8]>,
    context: Arc<Context>,
}

/// What versions share.
pub(super) struct Context {
    pub(super) predicate: Predicate,
    pub(super) topics: Topics,
    /// Index pages that were read so far.
    pub(super) page_reads: AtomicU64,
    /// Pages that were rebuilt on reading and are still to be written.
    healed: Mutex<BTreeSet<(GroupId, Which, PageId)>>,
}

/// The pages of one tree in one version.
#[derive(Clone)]
pub(super) struct Pages {
    version: Arc<Version>,
    group: GroupId,
    which: Which,
}

impl Context {
    pub(super) fn new(predicate: Predicate, topics: Topics) -> Context {
        Context { predicate, topics, page_reads: AtomicU64::new(0), healed: Mutex::new(BTreeSet::new()) }
    }

    /// Takes the list of pages to be written anew.
    pub(super) fn take_healed(&self) -> BTreeSet<(GroupId, Which, PageId)> {
        std::mem::take(&mut *self.healed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether there are pages to be written anew.
    pub(super) fn is_healing(&self) -> bool {
        !self.healed.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// How many of a group's pages are to be written anew.
    pub(super) fn healed_in(&self, group: &GroupId) -> u64 {
        let healed = self.healed.lock().unwrap_or_else(PoisonError::into_inner);
        healed.iter().filter(|(of, ..)| of == group).count() as u64
    }

    /// The row of the message at `key` with its pubsub and content topic; `None` if it is not the one with that key.
    pub(super) fn read_row<'a>(
        &'a self,
        key: &Key,
        row: &'a [u8],
    ) -> Option<(MessageRow<'a>, &'a Arc<str>, Cow<'a, str>)> {
        let row = MessageRow::read(row).ok()?;
        let topic = self.topics.name(row.topic).ok()?;
        let content_topic = self.predicate.content_topic_of(key, topic, row.body)?;
        Some((row, topic, content_topic))
    }

    /// What is in a row of which only the sequence is known: key, pubsub topic, content topic; `None` if it is damaged.
    pub(super) fn read_unkeyed<'a>(&'a self, row: &'a [u8]) -> Option<(Key, MessageRow<'a>, &'a str, Cow<'a, str>)> {
        let row = MessageRow::read(row).ok()?;
        let topic = self.topics.name(row.topic).ok()?;
        let (key, content_topic) = self.predicate.read_stored(topic, row.body)?;
        row.is_of(&key.id()).then_some((key, row, topic, content_topic))
    }

    fn heal(&self, group: GroupId, which: Which, id: PageId) -> bool {
        self.healed.lock().unwrap_or_else(PoisonError::into_inner).insert((group, which, id))
    }
}

impl Version {
    pub(super) fn new(txn: &ReadTransaction, context: Arc<Context>) -> Result<Version, redb::Error> {
        Ok(Version {
            pages: txn.open_table(PAGES)?,
            messages: txn.open_table(MESSAGES)?,
            keys: txn.open_table(KEYS)?,
            ids: txn.open_table(IDS)?,
            content: txn.open_table(CONTENT)?,
            refused: txn.open_table(REFUSED)?,
            context,
        })
    }

    /// The pages of a tree.
    pub(super) fn pages(self: &Arc<Version>, group: GroupId, which: Which) -> Pages {
        Pages { version: self.clone(), group, which }
    }

    /// The sequence of the message at `key`, if it is entered.
    pub(super) fn sequence(&self, key: &Key) -> Result<Option<u64>, redb::Error> {
        Ok(self.keys.get(key.as_bytes())?.map(|sequence| sequence.value()))
    }

    /// The row of a message.
    pub(super) fn row(&self, sequence: u64) -> Result<Option<Row>, redb::Error> {
        Ok(self.messages.get(sequence)?)
    }

    /// The rows from `sequence` on.
    pub(super) fn rows_from(&self, sequence: u64) -> Result<Range<'static, u64, &'static [u8]>, redb::Error> {
        Ok(self.messages.range(sequence..)?)
    }

    /// Key and [hash](topic_hash) of the content topic of a message of which only the row is known; `None` if that is damaged.
    pub(super) fn read_unkeyed(&self, row: &[u8]) -> Option<(Key, u64)> {
        self.context.read_unkeyed(row).map(|(key, _, _, content_topic)| (key, topic_hash(&content_topic)))
    }

    /// The parts of the index of content topics in which there may be anything.
    pub(super) fn content_parts(&self) -> Result<std::ops::Range<u32>, redb::Error> {
        let [first, last] = [self.content.first()?, self.content.last()?];
        let part = |row: Option<(AccessGuard<'_, &'static [u8; CONTENT_KEY]>, _)>| {
            row.map(|(key, _)| content_part(key.value()))
        };
        Ok(part(first).zip(part(last)).map_or(0..0, |(first, last)| first..last.saturating_add(1)))
    }

    /// The entered keys of a content topic, and of those that share its hash, in a part and a range.
    pub(super) fn content(
        &self,
        part: u32,
        hash: u64,
        range: &KeyRange,
    ) -> Result<Range<'static, &'static [u8; CONTENT_KEY], u64>, redb::Error> {
        let [start, end] = [range.start(), range.end()].map(|key| content_key(part, hash, &key));
        Ok(self.content.range::<&[u8; CONTENT_KEY]>(&start..&end)?)
    }

    /// The entered keys in a range, with their sequences.
    pub(super) fn keys(&self, range: &KeyRange) -> Result<Range<'static, &'static [u8; Key::LEN], u64>, redb::Error> {
        let (start, end) = (range.start(), range.end());
        Ok(self.keys.range::<&[u8; Key::LEN]>(start.as_bytes()..end.as_bytes())?)
    }

    /// The key of the message with this id, if it is entered with a sequence up to `last`.
    pub(super) fn find(&self, id: &Id, last: u64) -> Result<Option<Key>, redb::Error> {
        for part in (0..=part(last)).rev() {
            if let Some(timestamp) = self.ids.get(&id_key(part, id))? {
                let key = Key::new(timestamp.value(), *id);
                return Ok(self.sequence(&key)?.map(|_| key));
            }
        }
        Ok(None)
    }

    /// Hands the group's entered keys from `first` on, or those before it, nearest first, to `keys`, until it has enough.
    fn stored(
        &self,
        group: &GroupId,
        first: &Key,
        forward: bool,
        keys: &mut Vec<Key>,
        enough: usize,
    ) -> Result<(), Failure> {
        let range = if forward {
            self.keys.range::<&[u8; Key::LEN]>(first.as_bytes()..)?
        } else {
            self.keys.range::<&[u8; Key::LEN]>(..first.as_bytes())?
        };
        let place = self.context.predicate.place(group);
        let mut rows: Box<dyn Iterator<Item = _>> = if forward { Box::new(range) } else { Box::new(range.rev()) };
        while keys.len() < enough {
            let Some(row) = rows.next() else { break };
            let (key, sequence) = row?;
            let Some(row) = self.row(sequence.value())? else { continue };
            let row = MessageRow::read(row.value())?;
            let topic = self.context.topics.name(row.topic)?;
            if place.is_some_and(|place| self.context.predicate.belongs(place, topic, row.body)) {
                keys.push(Key::from_bytes(*key.value()));
            }
        }
        Ok(())
    }

    /// The group's refused keys in `start..end`.
    fn refused(&self, group: &GroupId, start: &Key, end: &Key) -> Result<Vec<Key>, Failure> {
        let (start, end) = (refused_key(group, start), refused_key(group, end));
        let rows = self.refused.range::<&[u8; 56]>(&start..&end)?;
        rows.map(|row| Ok(refused_message(row?.0.value()))).collect()
    }
}

impl Pages {
    /// What is stored at `id`, opened so: for what is held, its own page or else that of what is kept, which is the same there.
    fn stored(&self, id: &PageId, open: fn(&[u8]) -> Option<&[u8]>) -> Result<Option<Vec<u8>>, Failure> {
        let places = match self.which {
            Which::Kept => &[Which::Kept][..],
            Which::Held => &[Which::Held, Which::Kept],
        };
        for which in places {
            if let Some(row) = self.version.pages.get(&page_key(&self.group, *which, id))? {
                return Ok(open(row.value()).map(<[u8]>::to_vec));
            }
        }
        Ok(None)
    }

    /// Rebuilds the page at `id` from the keys around it, alone.
    ///
    /// The chunk that starts at a key depends on its run alone, and on no more of that than lies within 8Q entries of its level to
    /// either side: what shares a prefix with it either is the chunk, or is too much for one. An entry of level l stands for at most
    /// (8Q)^l keys; twice as many are taken, so that the entries at the edge are whole.
    pub(super) fn rebuild(&self, id: &PageId) -> Result<Option<Vec<u8>>, Failure> {
        let around = CHUNK.saturating_pow(u32::from(id.level) + 1).saturating_mul(2);
        let (mut before, mut keys) = (Vec::new(), Vec::new());
        self.version.stored(&self.group, &id.first, false, &mut before, around)?;
        self.version.stored(&self.group, &id.first, true, &mut keys, around)?;
        if self.which == Which::Held {
            // As far as the stored keys reach; further where they end.
            let start = if before.len() < around { Key::MIN } else { before.last().copied().unwrap_or(Key::MIN) };
            let end = if keys.len() < around { Key::MAX } else { keys.last().copied().unwrap_or(Key::MAX) };
            keys.extend(self.version.refused(&self.group, &start, &end)?);
        }
        keys.append(&mut before);
        keys.sort_unstable();
        keys.dedup();
        let mut tree = Tree::from_sorted(keys)?;
        let mut found = None;
        tree.flush(&mut |write| match write {
            PageWrite::Put(place, bytes) if place == *id => found = Some(bytes),
            PageWrite::Put(..) | PageWrite::Delete(_) => {}
        })?;
        Ok(found)
    }
}

impl PageStore for Pages {
    fn read(&self, id: &PageId) -> Result<Option<Vec<u8>>, Failure> {
        self.version.context.page_reads.fetch_add(1, Ordering::Relaxed);
        let found = guarded(|| Ok(self.stored(id, page_in)))??;
        if found.is_some() { Ok(found) } else { self.restore(id) }
    }

    fn restore(&self, id: &PageId) -> Result<Option<Vec<u8>>, Failure> {
        // As it was written, but not the page that belongs there: more is wrong than a page.
        if guarded(|| Ok(self.stored(id, open_page)))??.is_some() {
            return Ok(None);
        }
        let rebuilt = guarded(|| Ok(self.rebuild(id)))??;
        if rebuilt.is_some() && self.version.context.heal(self.group, self.which, *id) {
            tracing::warn!(group = %self.group, level = id.level, first = ?id.first, "an index page is damaged: rebuilt from the messages");
        }
        Ok(rebuilt)
    }
}

impl From<CorruptRow> for redb::Error {
    fn from(row: CorruptRow) -> redb::Error {
        redb::Error::Corrupted(row.to_string())
    }
}
