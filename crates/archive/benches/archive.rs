//! What admitting costs: `cargo bench -p hearken-archive --bench archive [-- MESSAGES]`, one table.
//!
//! Messages of about 130 bytes, in the order of their timestamps and at random times, in durable batches of 10,000 and one by one.
//! The environment variable `ONLY` picks the rows that begin with it; `large` loads
//! any number of messages and shows the memory it takes.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, missing_docs)]
#[path = "../tests/common/mod.rs"]
mod common;

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use common::{NOW, SECOND, TOPIC, body, filter, live};
use hearken_archive::{Archive, ArchiveOptions, Embedded, EmbeddedOptions, Memory, PageLimit};
use hearken_tree::KeyRange;
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use redb::{StorageBackend, backends::FileBackend};

/// Bytes written and syncs.
#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    syncs: AtomicU64,
}

/// A file that counts.
#[derive(Debug)]
struct Counting {
    file: FileBackend,
    counts: Arc<Counts>,
}

impl StorageBackend for Counting {
    fn len(&self) -> std::io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.counts.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        self.file.write(offset, data)
    }
}

/// Loads messages that are made as they go, and says how much memory it takes.
fn large(count: usize) {
    let folder = tempfile::tempdir_in(".").unwrap();
    let path = folder.path().join("archive.redb");
    let options = EmbeddedOptions::new(&path, ArchiveOptions::new(vec![filter(&[])], Arc::new(common::TestFormat)));
    let archive = Embedded::open(options.clone()).unwrap();
    let (start, cpu_start) = (Instant::now(), cpu());
    let mut made = Duration::ZERO;
    for batch in 0..count / 10_000 {
        let making = cpu();
        let messages = messages(10_000, batch as u64 * 10_000);
        made += cpu() - making;
        load(&archive, &messages, 10_000);
        if (batch + 1) % (count / 100_000).max(1) == 0 {
            let cpu = (cpu() - cpu_start - made).as_secs_f64();
            let done = (batch + 1) * 10_000;
            println!(
                "large: {done} messages, {:.1} s, cpu {cpu:.1} s, {:.0} messages/s of cpu, file {} MB, {}",
                start.elapsed().as_secs_f64(),
                done as f64 / cpu,
                std::fs::metadata(&path).unwrap().len() / 1_000_000,
                peak_memory(),
            );
        }
    }
    drop(archive);
    let start = Instant::now();
    let archive = Embedded::open(options).unwrap();
    let root = archive.view(&filter(&[]).group()).unwrap().kept.root().unwrap();
    println!("large: opened {} messages in {:.1?}, {}", root.count, start.elapsed(), peak_memory());

    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let mut late = |most: usize, range: std::ops::Range<u64>| -> Vec<Bytes> {
        (0..most).map(|_| messages(1, rng.random_range(range.clone()) + (1 << 40)).remove(0)).collect()
    };
    let all = 0..count as u64;
    let hour = all.end / 2..all.end / 2 + 36_000;
    for (name, messages) in [("100 within an hour", late(100, hour)), ("10,000 anywhere", late(10_000, all))] {
        let (start, cpu_start) = (Instant::now(), cpu());
        load(&archive, &messages, messages.len());
        let root = archive.view(&filter(&[]).group()).unwrap().kept.root().unwrap();
        let took = cpu() - cpu_start;
        println!(
            "large: {name}: {:.1?} with a fresh root, cpu {took:.1?}, {} messages, {}",
            start.elapsed(),
            root.count,
            peak_memory()
        );
    }
}

/// The most memory the process ever took. Linux only.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    peak.split_whitespace().collect::<Vec<_>>().join(" ")
}

struct Run {
    name: &'static str,
    messages: usize,
    admit: Duration,
    cpu: Duration,
    counts: Arc<Counts>,
    payload: u64,
    file: u64,
    open: Duration,
}

fn main() {
    let count: usize = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(198_449);
    let only = std::env::var("ONLY").ok();
    if only.as_deref() == Some("large") {
        return large(count);
    }
    let sorted = messages(count, 0);
    let mut shuffled = sorted.clone();
    shuffled.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(2));
    let few = sorted[..sorted.len().min(500)].to_vec();

    if only.is_none() {
        in_memory(&sorted);
    }
    println!(
        "{:<22} {:>9} {:>8} {:>7} {:>11} {:>9} {:>7} {:>6} {:>9} {:>8}",
        "embedded", "messages", "seconds", "cpu", "messages/s", "written", "x body", "syncs", "file", "open ms"
    );
    let cases: [(&str, &[Bytes], usize); 4] = [
        ("in order, by 10,000", &sorted, 10_000),
        ("anywhere, by 10,000", &shuffled, 10_000),
        ("in order, by 100", &sorted[..sorted.len().min(20_000)], 100),
        ("in order, one by one", &few, 1),
    ];
    for (name, messages, batch) in
        cases.into_iter().filter(|(name, ..)| only.as_ref().is_none_or(|only| name.starts_with(only)))
    {
        let run = embedded(name, messages, batch);
        let written = run.counts.bytes.load(Ordering::Relaxed);
        println!(
            "{:<22} {:>9} {:>8.2} {:>7.2} {:>11.0} {:>8.1}M {:>7.2} {:>6} {:>8.1}M {:>8.1}",
            run.name,
            run.messages,
            run.admit.as_secs_f64(),
            run.cpu.as_secs_f64(),
            run.messages as f64 / run.admit.as_secs_f64(),
            written as f64 / 1e6,
            written as f64 / run.payload as f64,
            run.counts.syncs.load(Ordering::Relaxed),
            run.file as f64 / 1e6,
            run.open.as_secs_f64() * 1e3,
        );
    }
}

/// Processor time of this thread, which does all the work; says more than the clock on a busy machine. Linux only.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(stat.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or_default())
}

fn in_memory(messages: &[Bytes]) {
    let (start, cpu_start) = (Instant::now(), cpu());
    let memory = Memory::new(ArchiveOptions::new(vec![filter(&[])], Arc::new(common::TestFormat)));
    load(&memory, messages, 10_000);
    println!("memory, in order: {:.2?}, cpu {:.2?}", start.elapsed(), cpu() - cpu_start);
    drop(memory);
}

/// Bodies of 80 to 180 bytes, 100 ms apart.
fn messages(count: usize, first: u64) -> Vec<Bytes> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(first);
    (first..first + count as u64)
        .map(|n| {
            let mut payload = vec![0; rng.random_range(40..140)];
            rng.fill(payload.as_mut_slice());
            // Bit 40 makes other messages of the same time.
            body(NOW - 10_000_000 * SECOND + (n & ((1 << 40) - 1)) * SECOND / 10, "/toy-chat/2/huilong/proto", &payload)
        })
        .collect()
}

fn load(archive: &dyn Archive, messages: &[Bytes], batch: usize) {
    for chunk in messages.chunks(batch) {
        let candidates: Vec<_> = chunk.iter().map(live).collect();
        archive.admit(&candidates, NOW).unwrap();
    }
}

fn embedded(name: &'static str, messages: &[Bytes], batch: usize) -> Run {
    let folder = tempfile::tempdir_in(".").unwrap();
    let path = folder.path().join("archive.redb");
    let counts = Arc::new(Counts::default());
    let options = EmbeddedOptions::new(&path, ArchiveOptions::new(vec![filter(&[])], Arc::new(common::TestFormat)));
    let counting = {
        let (path, counts) = (path.clone(), counts.clone());
        move || {
            let file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
            let file = FileBackend::new(file).map_err(std::io::Error::other)?;
            Ok(Counting { file, counts: counts.clone() })
        }
    };
    let archive = Embedded::open_with_backend(counting, options.clone()).unwrap();
    counts.bytes.store(0, Ordering::Relaxed);
    counts.syncs.store(0, Ordering::Relaxed);
    let (start, cpu_start) = (Instant::now(), cpu());
    load(&archive, messages, batch);
    let (admit, cpu) = (start.elapsed(), cpu() - cpu_start);
    drop(archive);
    let file = std::fs::metadata(&path).unwrap().len();

    let start = Instant::now();
    let archive = Embedded::open(options).unwrap();
    let open = start.elapsed();
    let group = filter(&[]).group();
    assert_eq!(archive.view(&group).unwrap().kept.len(), messages.len() as u64);
    let page = PageLimit { messages: 10, bytes: usize::MAX };
    assert_eq!(archive.scan(&group, &KeyRange::ALL, page).unwrap()[0].pubsub_topic, TOPIC);
    let payload = messages.iter().map(|body| body.len() as u64).sum();
    Run { name, messages: messages.len(), admit, cpu, counts, payload, file, open }
}
