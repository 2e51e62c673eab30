//! What admitting costs: `cargo bench -p hearken-archive --bench archive [-- MESSAGES]`, one table.
//!
//! Messages of about 130 bytes, in the order of their timestamps and at random times, in durable batches of 10,000 and one by one.
//! The environment variable `ONLY` picks the rows that begin with it. `large` is a benchmark of its own.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, missing_docs)]
#[path = "../tests/common/mod.rs"]
mod common;
mod counting;
mod cpu;

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use common::{NOW, SECOND, TOPIC, body, filter, live};
use counting::{Counting, Counts};
use cpu::cpu;
use hearken_archive::{Archive, ArchiveOptions, Embedded, EmbeddedOptions, Memory, PageLimit};
use hearken_tree::KeyRange;
use rand::{RngExt, SeedableRng, seq::SliceRandom};

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
        move || Counting::open(&path, &counts)
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
    assert_eq!(archive.scan(&group, &KeyRange::ALL, page).unwrap()[0].pubsub_topic, TOPIC.into());
    let payload = messages.iter().map(|body| body.len() as u64).sum();
    Run { name, messages: messages.len(), admit, cpu, counts, payload, file, open }
}
