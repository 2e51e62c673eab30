//! A real archive that tells what becomes of every message.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use hearken_archive::{
    Admission, AdmitError, Archive, ArchiveOptions, Candidate, Filter, FormatError, Header, Limits, Memory,
    MessageFormat, Origin, PageLimit, Query, QueryPage, ReadError, StoredMessage, Validator, View,
};
use hearken_tree::{GroupId, Id, Key, KeyRange};

use super::books::{Books, Came};
use crate::{net::NodeId, run::refuses, scenario::Scenario};

/// The pubsub topic of live messages: as long as Waku's are.
pub(super) const TOPIC: &str = "/waku/2/rs/66/0";
/// A timestamp and an id.
pub(super) const HEAD: u32 = 40;

/// The one group.
pub(super) fn filter() -> Filter {
    Filter { pubsub_topic: TOPIC.to_owned(), content_topics: Default::default() }
}

/// Messages say their key themselves: then a real message has the key of the virtual one.
struct Keyed;

impl MessageFormat for Keyed {
    fn header<'a>(&self, _: &str, body: &'a [u8]) -> Result<Header<'a>, FormatError> {
        let key = body.first_chunk::<{ Key::LEN }>().map(|key| Key::from_bytes(*key));
        let key = key.ok_or_else(|| FormatError { reason: format!("shorter than {HEAD} bytes") })?;
        Ok(Header { id: key.id(), timestamp: key.timestamp(), content_topic: "sim".into(), ephemeral: false })
    }
}

/// A message of this size.
pub(super) fn body(key: &Key, size: u32) -> Vec<u8> {
    let mut body = key.as_bytes().to_vec();
    body.resize(usize::try_from(size).unwrap_or(Key::LEN).max(Key::LEN), 0xa5);
    body
}

/// Refuses the same share as a virtual node does, and the same messages; none of its own.
struct Picky {
    books: Arc<Books>,
    own: Arc<Mutex<HashSet<Key>>>,
    node: NodeId,
    share: f64,
    scenario: Scenario,
}

impl Validator for Picky {
    fn validate(&self, _: &str, header: &Header<'_>, _: &[u8]) -> Result<(), String> {
        let key = header.key();
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner).contains(&key);
        let message = self.books.find(&key).filter(|_| !own);
        let refused = message.is_some_and(|message| refuses(&self.scenario, self.share, self.node, message));
        if refused { Err("refused by the scenario".to_owned()) } else { Ok(()) }
    }
}

/// A node's archive.
pub(super) struct Watched {
    inner: Memory,
    books: Arc<Books>,
    node: NodeId,
    /// What it held from the beginning, and what it has published.
    own: Arc<Mutex<HashSet<Key>>>,
    /// Nothing can be stored.
    pub(super) full: AtomicBool,
}

impl Watched {
    pub(super) fn new(books: Arc<Books>, node: NodeId, share: f64, scenario: &Scenario) -> Watched {
        let own = Arc::<Mutex<HashSet<Key>>>::default();
        let mut options = ArchiveOptions::new(vec![filter()], Arc::new(Keyed));
        // Clocks may be wrong here by as much as the scenario says.
        let max_future = std::time::Duration::from_secs(3_600);
        options.limits = Limits { max_size: 1 << 20, max_future, max_age: None };
        if share > 0.0 {
            let (books, own) = (books.clone(), own.clone());
            options.validator = Some(Arc::new(Picky { books, own, node, share, scenario: scenario.clone() }));
        }
        Watched { inner: Memory::new(options), books, node, own, full: AtomicBool::new(false) }
    }

    /// Takes what another archive of the node held, without what was lost.
    pub(super) fn take_over(&self, other: &Watched, lost: &[Key], now: u64) {
        *self.lock_own() = other.lock_own().clone();
        let all = PageLimit { messages: usize::MAX, bytes: usize::MAX };
        let held = other.inner.scan(&filter().group(), &KeyRange::ALL, all).unwrap_or_default();
        let left = held.into_iter().filter(|message| !lost.contains(&message.key));
        let origin = || Origin::Topic(TOPIC.to_owned());
        let left: Vec<_> = left.map(|message| Candidate { body: message.body, origin: origin() }).collect();
        // An archive in memory takes what one with the same limits held.
        let _ = self.inner.admit(&left, now);
    }

    fn lock_own(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores what a node holds from the beginning, or has published itself.
    pub(super) fn own(&self, key: Key, size: u32, now: u64) {
        if self.full.load(Ordering::Relaxed) {
            return;
        }
        self.lock_own().insert(key);
        let origin = Origin::Topic(TOPIC.to_owned());
        let stored = self.inner.admit(&[Candidate { body: body(&key, size).into(), origin }], now);
        for admission in stored.into_iter().flatten() {
            if let Admission::Stored(key) = admission {
                self.books.came(self.node, &key, Came::Own);
            }
        }
    }
}

impl Archive for Watched {
    fn groups(&self) -> Vec<Filter> {
        self.inner.groups()
    }

    fn admit(&self, batch: &[Candidate], now: u64) -> Result<Vec<Admission>, AdmitError> {
        if self.full.load(Ordering::Relaxed) {
            let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
            return Err(AdmitError::DiskFull { path: "memory".into(), source });
        }
        let admissions = self.inner.admit(batch, now)?;
        for (candidate, admission) in batch.iter().zip(&admissions) {
            let synced = matches!(candidate.origin, Origin::Synced { .. });
            match admission {
                Admission::Stored(key) if synced => self.books.came(self.node, key, Came::Repaired),
                Admission::Stored(key) => self.books.came(self.node, key, Came::Live),
                Admission::Refused(key, _) => self.books.came(self.node, key, Came::Refused),
                Admission::Held(_) if synced => {
                    self.books.pages().nodes[self.node as usize].counters.duplicates += 1;
                }
                _ => {}
            }
        }
        Ok(admissions)
    }

    fn view(&self, group: &GroupId) -> Result<View, ReadError> {
        self.inner.view(group)
    }

    fn get(&self, keys: &[Key]) -> Result<Vec<Option<StoredMessage>>, ReadError> {
        self.inner.get(keys)
    }

    fn find(&self, id: &Id) -> Result<Option<Key>, ReadError> {
        self.inner.find(id)
    }

    fn scan(&self, group: &GroupId, range: &KeyRange, limit: PageLimit) -> Result<Vec<StoredMessage>, ReadError> {
        self.inner.scan(group, range, limit)
    }

    fn query(&self, query: &Query) -> Result<QueryPage, ReadError> {
        self.inner.query(query)
    }

    fn delete(&self, keys: &[Key]) -> Result<u64, AdmitError> {
        self.inner.delete(keys)
    }

    fn retain(&self, now: u64) -> Result<u64, AdmitError> {
        self.inner.retain(now)
    }

    fn kept_from(&self, now: u64) -> u64 {
        self.inner.kept_from(now)
    }
}
