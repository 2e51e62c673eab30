//! Grouped commits.
#![allow(clippy::unwrap_used)]
mod common;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use common::*;
use hearken_archive::{
    Admission, AdmitError, Archive, Candidate, Committed, Committer, CommitterOptions, Filter, Memory, PageLimit,
    Query, QueryPage, ReadError, RejectedReason, StoredMessage, View,
};
use hearken_tree::{GroupId, Id, Key, KeyRange};

/// An archive whose commits wait until they are let go, one by one.
struct Gated {
    inner: Memory,
    gate: Mutex<mpsc::Receiver<()>>,
    entered: mpsc::SyncSender<usize>,
    commits: AtomicUsize,
}

impl Archive for Gated {
    fn groups(&self) -> Vec<Filter> {
        self.inner.groups()
    }
    fn admit(&self, batch: &[Candidate], now: u64) -> Result<Vec<Admission>, AdmitError> {
        self.commits.fetch_add(1, Ordering::Relaxed);
        let _ = self.entered.send(batch.len());
        // Once the test has dropped the sender, the gate stands open.
        let _ = self.gate.lock().unwrap().recv();
        self.inner.admit(batch, now)
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

struct Rig {
    archive: Arc<Gated>,
    gate: Option<mpsc::SyncSender<()>>,
    entered: mpsc::Receiver<usize>,
    committer: Committer,
    answers: mpsc::Receiver<Committed>,
    answer: mpsc::SyncSender<Committed>,
}

impl Rig {
    fn new(options: CommitterOptions) -> Rig {
        let (gate, receiver) = mpsc::sync_channel(100);
        let (sender, entered) = mpsc::sync_channel(100);
        let archive = Arc::new(Gated {
            inner: Memory::new(common::options(vec![filter(&[])])),
            gate: Mutex::new(receiver),
            entered: sender,
            commits: AtomicUsize::new(0),
        });
        let committer = Committer::spawn(archive.clone(), || NOW, options).unwrap();
        let (answer, answers) = mpsc::sync_channel(100);
        Rig { archive, gate: Some(gate), entered, committer, answers, answer }
    }

    /// Submits messages `from..to`; the reason if it was rejected.
    fn submit(&self, from: u64, to: u64) -> Result<(), RejectedReason> {
        let answer = self.answer.clone();
        let batch = (from..to).map(|n| live(&nth(n))).collect();
        let done = Box::new(move |committed| answer.send(committed).unwrap());
        self.committer.try_submit(batch, done).map_err(|rejected| rejected.reason)
    }
}

#[test]
fn what_waits_is_committed_together() {
    let mut rig = Rig::new(CommitterOptions { commit_messages: 25, ..CommitterOptions::default() });
    rig.submit(0, 10).unwrap();
    assert_eq!(rig.entered.recv().unwrap(), 10, "the first does not wait for others");
    for n in 1..5 {
        rig.submit(10 * n, 10 * n + 10).unwrap();
    }
    rig.gate = None;
    let sizes: Vec<usize> = rig.entered.iter().take(2).collect();
    assert_eq!(sizes, [20, 20], "as many whole batches as fit");
    for n in 0..5 {
        let expected: Vec<_> = (10 * n..10 * n + 10).map(|n| Admission::Stored(key(&nth(n)))).collect();
        assert_eq!(rig.answers.recv().unwrap().unwrap(), expected);
    }
}

/// It would wait for an hour for a commit to be full.
#[test]
fn who_is_in_a_hurry_waits_for_no_more() {
    let archive: Arc<dyn Archive> = Arc::new(Memory::new(options(vec![filter(&[])])));
    let hour = Duration::from_secs(3600);
    let patient = CommitterOptions { linger: hour, linger_at_most: hour, ..CommitterOptions::default() };
    let committer = Committer::spawn(archive, || NOW, patient).unwrap();
    for n in 0..3 {
        let (done, stored) = mpsc::sync_channel(1);
        // Nothing waits: nothing is hurried.
        committer.hurry();
        let submitted = committer.submit(vec![live(&nth(n))], Box::new(move |result| done.send(result).unwrap()));
        assert!(submitted.is_ok());
        committer.hurry();
        assert_eq!(stored.recv().unwrap().unwrap(), [Admission::Stored(key(&nth(n)))]);
    }
}

#[test]
fn a_full_queue_gives_back() {
    let mut rig = Rig::new(CommitterOptions { queue_messages: 20, ..CommitterOptions::default() });
    rig.submit(0, 1000).unwrap();
    rig.entered.recv().unwrap();
    rig.submit(1000, 2000).expect("an empty queue takes any batch");
    assert_eq!(rig.submit(2000, 2001), Err(RejectedReason::Full));
    rig.gate = None;
    rig.answers.recv().unwrap().unwrap();
    rig.answers.recv().unwrap().unwrap();
    rig.submit(2000, 2001).unwrap();
    rig.answers.recv().unwrap().unwrap();
}

#[test]
fn bytes_are_bounded_too() {
    let size = nth(10).len();
    let mut rig = Rig::new(CommitterOptions { queue_bytes: 2 * size, ..CommitterOptions::default() });
    rig.submit(10, 11).unwrap();
    rig.entered.recv().unwrap();
    rig.submit(11, 12).unwrap();
    rig.submit(12, 13).unwrap();
    assert_eq!(rig.submit(13, 14), Err(RejectedReason::Full));
    rig.gate = None;
}

#[test]
fn stopping_drains() {
    let mut rig = Rig::new(CommitterOptions::default());
    for n in 0..50 {
        rig.submit(n, n + 1).unwrap();
    }
    rig.gate = None;
    rig.committer.stop();
    drop(rig.answer);
    assert_eq!(rig.answers.iter().filter(Result::is_ok).count(), 50);
    assert_eq!(kept(&*rig.archive, &filter(&[])).len(), 50);
    assert!(rig.archive.commits.load(Ordering::Relaxed) <= 50);
}

#[test]
fn those_who_wait_for_room_get_it() {
    let options = CommitterOptions { queue_messages: 4, commit_messages: 3, ..CommitterOptions::default() };
    let archive = Arc::new(Memory::new(common::options(vec![filter(&[])])));
    let committer = Committer::spawn(archive.clone(), || NOW, options).unwrap();
    thread::scope(|scope| {
        for caller in 0..4 {
            let committer = &committer;
            scope.spawn(move || {
                for n in 0..50 {
                    let batch = vec![live(&nth(caller * 100 + n)), live(&nth(caller * 100 + n + 1))];
                    assert!(committer.submit(batch, Box::new(|committed| assert!(committed.is_ok()))).is_ok());
                }
            });
        }
    });
    committer.stop();
    assert_eq!(kept(&*archive, &filter(&[])).len(), 4 * 51);
}

#[test]
fn one_callers_mistake_costs_only_him() {
    let mut rig = Rig::new(CommitterOptions::default());
    rig.submit(0, 1).unwrap();
    rig.entered.recv().unwrap();
    let (answer, mistaken) = mpsc::sync_channel(100);
    let done = Box::new(move |committed| answer.send(committed).unwrap());
    assert!(rig.committer.try_submit(vec![synced(&filter(&["unknown"]), &nth(1))], done).is_ok());
    rig.submit(2, 3).unwrap();
    rig.gate = None;
    assert!(matches!(*mistaken.recv().unwrap().unwrap_err(), AdmitError::UnknownGroup(_)));
    assert!(rig.answers.recv().unwrap().is_ok());
    assert!(rig.answers.recv().unwrap().is_ok());
}

#[test]
fn a_panicking_callback_stops_nobody() {
    let archive = Arc::new(Memory::new(common::options(vec![filter(&[])])));
    let committer = Committer::spawn(archive.clone(), || NOW, CommitterOptions::default()).unwrap();
    assert!(committer.submit(vec![live(&nth(0))], Box::new(|_| panic!("expected by the test"))).is_ok());
    assert!(committer.submit(vec![live(&nth(1))], Box::new(|_| ())).is_ok());
    committer.stop();
    assert_eq!(kept(&*archive, &filter(&[])).len(), 2);
}
