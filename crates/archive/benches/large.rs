//! An archive of any size: `cargo bench -p hearken-archive --bench large [-- MESSAGES]` (10,000,000 if not told otherwise).
//!
//! Small messages, 100 ms apart, are made as they go and loaded in order; then: opening, what batches cost that fall into the newest
//! hour or anywhere, late messages with a fresh root, and how many pages of the index it takes to find 100 messages that a
//! neighbour lacks. Half of the cache of 64 MiB is for decoded pages, half for the database.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, missing_docs)]
#[path = "../tests/common/mod.rs"]
mod common;
mod counting;
mod cpu;

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use common::{NOW, SECOND, body, filter, live};
use counting::{Counting, Counts};
use cpu::cpu;
use hearken_archive::{Archive, ArchiveOptions, Embedded, EmbeddedOptions};
use hearken_tree::{Key, KeyRange, Snapshot, Tree};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableDefinition};

const CACHE: usize = 64 << 20;
const BATCH: usize = 10_000;
/// How many batches at random times: more than wait to be indexed at once.
const BATCHES: usize = 40;
/// Messages of an hour.
const HOUR: u64 = 36_000;
const START: u64 = NOW - 20_000_000 * SECOND;

struct Bench {
    path: PathBuf,
    counts: Arc<Counts>,
    /// `None` while it is closed.
    archive: Option<Embedded>,
    /// Makes other messages at times at which there are some.
    made: u64,
    rng: ChaCha8Rng,
}

fn main() {
    let count: u64 = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(10_000_000);
    let folder = tempfile::tempdir_in(".").unwrap();
    let path = folder.path().join("archive.redb");
    let counts = Arc::new(Counts::default());
    let archive = Some(open(&path, &counts));
    let mut bench = Bench { path, counts, archive, made: 0, rng: ChaCha8Rng::seed_from_u64(7) };
    bench.fill(count);
    bench.close();
    bench.reopen();
    bench.batches("newest hour", count - HOUR..count);
    bench.batches("anywhere", 0..count);
    bench.late(count / 2..count / 2 + HOUR);
    bench.late(count / 3..count / 3 + HOUR);
    println!("memory so far: {}", peak_memory());
    if count <= 20_000_000 {
        bench.find(count);
    }
}

fn options(path: &Path) -> EmbeddedOptions {
    let mut options = EmbeddedOptions::new(path, ArchiveOptions::new(vec![filter(&[])], Arc::new(common::TestFormat)));
    (options.cache_size, options.database_cache_size) = (CACHE / 2, CACHE / 2);
    options
}

fn open(path: &Path, counts: &Arc<Counts>) -> Embedded {
    let (path, counts, options) = (path.to_owned(), counts.clone(), options(path));
    Embedded::open_with_backend(move || Counting::open(&path, &counts), options).unwrap()
}

/// The message at the `n`th time; several with different `salt`.
fn message(n: u64, salt: u64) -> Bytes {
    body(START + n * SECOND / 10, "/t", &salt.to_be_bytes())
}

impl Bench {
    fn fill(&mut self, count: u64) {
        let (mut took, mut shown) = (Duration::ZERO, 0);
        self.counts.take();
        for first in (0..count).step_by(BATCH) {
            let batch: Vec<_> = (first..(first + BATCH as u64).min(count)).map(|n| message(n, 0)).collect();
            took += self.load(&batch);
            if (first + BATCH as u64) * 10 / count > shown {
                shown += 1;
                let done = first + batch.len() as u64;
                println!("{done} in order: {:.0} messages/s, {}", done as f64 / took.as_secs_f64(), peak_memory());
            }
        }
        self.written("in order", count);
    }

    fn load(&self, batch: &[Bytes]) -> Duration {
        let candidates: Vec<_> = batch.iter().map(live).collect();
        let start = Instant::now();
        self.archive().admit(&candidates, NOW).unwrap();
        start.elapsed()
    }

    /// New messages at random times.
    fn new_messages(&mut self, count: usize, times: &Range<u64>) -> Vec<Bytes> {
        self.made += 1;
        (0..count).map(|_| message(self.rng.random_range(times.clone()), self.made)).collect()
    }

    fn written(&self, name: &str, messages: u64) {
        let (bytes, syncs) = self.counts.take();
        let size = message(0, 0).len() as u64;
        println!(
            "{name}: {:.0} bytes written a message of {size} bytes and a key of 40: {:.1} times, {syncs} syncs; file {} MB",
            bytes as f64 / messages as f64,
            bytes as f64 / (messages * (size + 40)) as f64,
            std::fs::metadata(&self.path).unwrap().len() / 1_000_000
        );
    }

    fn archive(&self) -> &Embedded {
        self.archive.as_ref().unwrap()
    }

    fn close(&mut self) -> Duration {
        let start = Instant::now();
        self.archive = None;
        start.elapsed()
    }

    fn reopen(&mut self) {
        let start = Instant::now();
        self.archive = Some(open(&self.path, &self.counts));
        let opened = start.elapsed();
        let count = self.archive().view(&filter(&[]).group()).unwrap().kept.root().unwrap().count;
        println!("opened in {opened:.1?}, {count} messages, {}", peak_memory());
        self.counts.take();
    }

    /// Opens a copy of the file as it is while the archive is open: as a kill would leave it. Not of a very large one.
    fn kill(&self) {
        let copy = self.path.with_file_name("killed.redb");
        if std::fs::metadata(&self.path).unwrap().len() < 1_000_000_000 {
            std::fs::copy(&self.path, &copy).unwrap();
            let start = Instant::now();
            let archive = Embedded::open(options(&copy)).unwrap();
            println!("opened after a kill in {:.1?}", start.elapsed());
            drop(archive);
            std::fs::remove_file(copy).unwrap();
        }
    }

    /// Durable batches at random times, and closing: what waits to be indexed is written then at the latest.
    fn batches(&mut self, name: &str, times: Range<u64>) {
        let (mut took, mut worked) = (Vec::new(), Duration::ZERO);
        for _ in 0..BATCHES {
            let batch = self.new_messages(BATCH, &times);
            let before = cpu();
            took.push(self.load(&batch));
            worked += cpu() - before;
        }
        self.kill();
        let (durable, before) = (took.iter().sum::<Duration>(), cpu());
        let closed = self.close();
        worked += cpu() - before;
        let rate = |time: Duration| (BATCHES * BATCH) as f64 / time.as_secs_f64();
        took.sort_unstable();
        println!(
            "{name}, {BATCHES} batches of {BATCH}: {:.0} messages/s, {:.0} with closing, {:.0} by processor time; median {:.1?}, \
             slowest {:.1?}, closed in {closed:.1?}, {}",
            rate(durable),
            rate(durable + closed),
            rate(worked),
            took[took.len() / 2],
            took[took.len() - 1],
            peak_memory()
        );
        self.written(name, (BATCHES * BATCH) as u64);
        self.reopen();
    }

    fn late(&mut self, times: Range<u64>) {
        let batch = self.new_messages(100, &times);
        let start = Instant::now();
        self.load(&batch);
        let durable = start.elapsed();
        self.archive().view(&filter(&[]).group()).unwrap().kept.root().unwrap();
        println!(
            "100 late ones within an hour: {durable:.1?} until durable, {:.1?} with a fresh root",
            start.elapsed()
        );
    }

    /// How many pages it takes to find what a neighbour lacks.
    fn find(self, count: u64) {
        let group = filter(&[]).group();
        let keys = self.archive().view(&group).unwrap().kept.keys(&KeyRange::ALL);
        let mut remote = Tree::from_sorted(keys.map(Result::unwrap)).unwrap();
        let Bench { path, counts, archive, .. } = self;
        drop(archive);
        let pages = {
            let table = TableDefinition::<&[u8; 58], &[u8]>::new("pages");
            Database::open(&path).unwrap().begin_read().unwrap().open_table(table).unwrap().len().unwrap()
        };
        let all = remote.snapshot();
        let at = |n: u64| all.key_from(&Key::at(START + n * SECOND / 10)).unwrap().unwrap();
        let gap: Vec<Key> = (count / 2..count / 2 + 100).map(at).collect();
        let minute: Vec<Key> = (0..100).map(|n| at(count / 3 + n * 6)).collect();
        let scattered: Vec<Key> = (0..100).map(|n| at(n * (count / 100) + count / 200)).collect();
        for (name, lacking) in [("gap", gap), ("minute", minute), ("scattered", scattered)] {
            lacking.iter().for_each(|key| assert!(remote.remove(key).unwrap()));
            let archive = open(&path, &counts);
            let local = archive.view(&group).unwrap().kept;
            let start = Instant::now();
            let (found, rounds) = find(&local, &remote.snapshot(), lacking.len());
            let (took, read) = (start.elapsed(), archive.page_reads());
            let mut expected = lacking.clone();
            expected.sort_unstable();
            assert_eq!(found, expected);
            println!(
                "100 that a neighbour lacks, {name}: found after {rounds} summaries in {took:.1?}, {read} of {pages} pages read: {:.2} %",
                read as f64 * 100.0 / pages as f64
            );
            remote.insert_all(lacking).unwrap();
        }
    }
}

/// What `local` has and `remote` lacks: compares summaries of 64 spans, finer and finer, until reading all keys of the spans that
/// differ is little.
fn find(local: &Snapshot, remote: &Snapshot, lacking: usize) -> (Vec<Key>, usize) {
    let summary = remote.summary(&KeyRange::ALL, 64).unwrap();
    let mut differing = local.differing(&summary).unwrap();
    let mut rounds = 1;
    let keys = |spans: &[hearken_tree::Span]| spans.iter().map(|span| span.fingerprint.count).sum::<u64>();
    // A further look costs less than the keys.
    while keys(&differing) > local.len() / 1000 && rounds < 3 {
        let mut finer = Vec::new();
        for span in &differing {
            finer.extend(remote.split(&span.range, 64).unwrap());
        }
        differing = local.differing(&finer).unwrap();
        rounds += 1;
    }
    let mut found = Vec::with_capacity(lacking);
    for span in &differing {
        let theirs: Vec<Key> = remote.keys(&span.range).map(Result::unwrap).collect();
        let mine = local.keys(&span.range).map(Result::unwrap);
        found.extend(mine.filter(|key| theirs.binary_search(key).is_err()));
    }
    (found, rounds)
}

/// The most memory the process ever took. Linux only.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    peak.split_whitespace().collect::<Vec<_>>().join(" ")
}
