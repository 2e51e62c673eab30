//! Whether the node can do its work: an archive that is watched, and what was found wrong with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hearken::{Stage, Work};
use hearken_archive::{
    Admission, AdmitError, Archive, ArchiveStats, Candidate, Embedded, Filter, PageLimit, Query, QueryPage, ReadError,
    StoredMessage, View,
};
use hearken_tree::{GroupId, Id, Key, KeyRange};
use metrics::{counter, gauge, histogram};

/// Messages of a batch that could not be stored, kept to be tried again: enough to find out whether it works now.
const KEPT_MESSAGES: usize = 16;

/// What keeps the archive from being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What the archive says.
    pub reason: String,
    /// How long it has been so.
    pub lasts: Duration,
    /// Writes that failed meanwhile.
    pub failures: u64,
}

/// An archive that remembers whether its last write succeeded, and that counts.
///
/// Everything a node stores goes through it, so that its health is what really happened and not what a check would guess.
pub(crate) struct Watched {
    inner: Arc<Embedded>,
    work: Arc<Work>,
    state: Mutex<Option<Failing>>,
}

struct Failing {
    reason: String,
    since: Instant,
    failures: u64,
    /// Some of what could not be stored.
    kept: Vec<Candidate>,
}

impl Watched {
    pub(crate) fn new(inner: Arc<Embedded>, work: Arc<Work>) -> Watched {
        gauge!("hearken_archive_writable").set(1.0);
        let watched = Watched { inner, work, state: Mutex::new(None) };
        watched.measure();
        watched
    }

    /// What is wrong, while something is.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.state().as_ref().map(|failing| Trouble {
            reason: failing.reason.clone(),
            lasts: failing.since.elapsed(),
            failures: failing.failures,
        })
    }

    /// What verifying and storing took.
    pub(crate) fn work(&self) -> &Work {
        &self.work
    }

    /// How much is stored.
    pub(crate) fn stats(&self) -> ArchiveStats {
        self.inner.stats()
    }

    /// Tries again what failed last, if something did. Blocks.
    pub(crate) fn recheck(&self, now: u64) {
        let Some(kept) = self.state().as_ref().map(|failing| failing.kept.clone()) else { return };
        // With nothing kept, what failed was no admission: dropping what is too old writes as well.
        let _ = if kept.is_empty() { self.retain(now).map(drop) } else { self.admit(&kept, now).map(drop) };
    }

    /// Gauges of what is stored.
    fn measure(&self) {
        #[expect(clippy::cast_precision_loss, reason = "gauges need no precision")]
        fn set(name: &'static str, value: u64) {
            gauge!(name).set(value as f64);
        }
        let stats = self.inner.stats();
        set("hearken_archive_messages", stats.messages);
        set("hearken_archive_bytes", stats.bytes);
    }

    /// Takes note of how a write ended.
    fn note<T>(&self, started: Instant, batch: &[Candidate], result: Result<T, AdmitError>) -> Result<T, AdmitError> {
        histogram!("hearken_archive_commit_seconds").record(started.elapsed());
        match &result {
            Ok(_) => self.succeeded(),
            // The caller's mistake, not the archive's.
            Err(AdmitError::UnknownGroup(_)) => {}
            Err(error) => self.failed(error, batch),
        }
        self.measure();
        result
    }

    fn succeeded(&self) {
        if let Some(failing) = self.state().take() {
            gauge!("hearken_archive_writable").set(1.0);
            let after = humantime::format_duration(Duration::from_secs(failing.since.elapsed().as_secs()));
            tracing::info!("the archive can be written again after {after} and {} failures", failing.failures);
        }
    }

    fn failed(&self, error: &AdmitError, batch: &[Candidate]) {
        counter!("hearken_archive_write_failures_total").increment(1);
        gauge!("hearken_archive_writable").set(0.0);
        let mut state = self.state();
        let failing = state.get_or_insert_with(|| {
            tracing::error!(%error, "the archive cannot be written: the node relays, but stores nothing");
            Failing { reason: String::new(), since: Instant::now(), failures: 0, kept: Vec::new() }
        });
        failing.reason = error.to_string();
        failing.failures += 1;
        if failing.kept.is_empty() {
            failing.kept = batch.iter().take(KEPT_MESSAGES).cloned().collect();
        }
    }

    /// A poisoned lock means that a thread panicked between two plain assignments: what is there is still good.
    fn state(&self) -> MutexGuard<'_, Option<Failing>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Archive for Watched {
    fn groups(&self) -> Vec<Filter> {
        self.inner.groups()
    }

    fn admit(&self, batch: &[Candidate], now: u64) -> Result<Vec<Admission>, AdmitError> {
        let (started, verified) = (Instant::now(), self.work.spent(Stage::Verify));
        let admitted = self.inner.admit(batch, now);
        let verifying = self.work.spent(Stage::Verify).saturating_sub(verified);
        self.work.add(Stage::ArchiveWrite, started.elapsed().saturating_sub(verifying));
        let result = self.note(started, batch, admitted);
        let stored = result.iter().flatten().filter(|admission| matches!(admission, Admission::Stored(_))).count();
        counter!("hearken_archive_stored_total").increment(stored as u64);
        result
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

    fn get_by_id(&self, ids: &[Id]) -> Result<Vec<Option<StoredMessage>>, ReadError> {
        self.inner.get_by_id(ids)
    }

    fn delete(&self, keys: &[Key]) -> Result<u64, AdmitError> {
        let started = Instant::now();
        let deleted = self.note(started, &[], self.inner.delete(keys))?;
        counter!("hearken_archive_deleted_total").increment(deleted);
        Ok(deleted)
    }

    fn retain(&self, now: u64) -> Result<u64, AdmitError> {
        let started = Instant::now();
        let dropped = self.note(started, &[], self.inner.retain(now))?;
        counter!("hearken_archive_dropped_total").increment(dropped);
        Ok(dropped)
    }

    fn kept_from(&self, now: u64) -> u64 {
        self.inner.kept_from(now)
    }
}
