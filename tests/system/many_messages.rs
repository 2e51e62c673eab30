//! Ten million messages held: how long a node takes to start, with how much memory it runs, and how long it takes to find and fetch a
//! hundred that it lacks: of the last hour, as it is by default, and of all five days, with a window that holds them all.
//!
//! ```text
//! cargo build --release --bin hearken
//! HEARKEN_PROGRAM=target/release/hearken cargo test -p hearken-tests --test system many_messages -- --ignored --nocapture
//! ```
//!
//! Takes 8 GB of disk for a while; `HEARKEN_MESSAGES` says another number of messages. Where `HEARKEN_PROGRAM` does not name the program,
//! it is not optimised: then there are a million messages, and times are not held against the bounds.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tempfile::TempDir;

use crate::harness::{Node, PATIENCE, command, turn};

/// From the start of the program until it serves.
const START: Duration = Duration::from_secs(10);
const MEMORY: u64 = 500 << 20;
/// From when the node that lacks them serves until all are stored.
const REPAIR: Duration = Duration::from_secs(1);
const MISSING: u64 = 100;
/// All messages lie in the last five days.
const DAYS: u64 = 5;
const RARE: &str = "/hearken/1/rare/proto";

#[test]
#[ignore = "long: two archives of a million messages, or ten"]
fn ten_million_are_served_soon_and_repaired_at_once() {
    let _turn = turn();
    // Where nothing is measured, a tenth shows as well that it works.
    let usual = if std::env::var_os("HEARKEN_PROGRAM").is_some() { 10_000_000 } else { 1_000_000 };
    let count: u64 = std::env::var("HEARKEN_MESSAGES").map_or(usual, |count| count.parse().unwrap());
    let (full, holes) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // The last hour but for what has not settled when the nodes start.
    let (hour, recent) = (count / (DAYS * 24), count - count / (DAYS * 24) / 2);
    let is_recent = |number: u64| number >= recent && (number - recent).is_multiple_of(hour / 2 / MISSING);
    let is_missing = |number: u64| is_recent(number) || (number < recent - hour && number % (count / MISSING) == 7);
    let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - Duration::from_secs(DAYS * 24 * 3600 + 60);
    let start = u64::try_from(start.as_nanos()).unwrap();
    let filling = Instant::now();
    fill(holes.path(), start, count, |number| !is_missing(number));
    println!("imported in {:.0} s", filling.elapsed().as_secs_f64());
    let archive = "archive.hearken";
    let bytes = std::fs::copy(holes.path().join(archive), full.path().join(archive)).unwrap();
    println!("the archive has {} bytes, {} a message", bytes, bytes / count);
    fill(full.path(), start, count, is_missing);

    let of = |wanted: &dyn Fn(u64) -> bool| (0..count).filter(|number| wanted(*number)).count() as u64;
    let recent = of(&is_recent);
    let scattered = of(&is_missing) - recent;
    for node in <[Node; 2]>::from(repair(&full, &holes, "1h", recent)) {
        node.stop().success();
    }
    let (source, node) = repair(&full, &holes, &format!("{}days", DAYS + 1), scattered);
    let http = node.http();
    let query = format!("/store/v3/messages?pageSize=100&contentTopics={}", RARE.replace('/', "%2F"));
    let asked = Instant::now();
    let found = http.json(&query);
    println!("a content topic of 1 in 100,000: {:.1?}", asked.elapsed());
    let expected = usize::try_from(count / 100_000).unwrap().min(100);
    assert_eq!(found["messages"].as_array().map(Vec::len), Some(expected), "{found}");
    for node in [node, source] {
        node.stop().success();
    }
}

/// Starts both nodes, and waits until the one that lacks so many messages has them.
fn repair(full: &TempDir, holes: &TempDir, window: &str, missing: u64) -> (Node, Node) {
    let window_flag = format!("--sync-window={window}");
    let (source, first) = serving(full.path(), &[], &window_flag);
    let (node, second) = serving(holes.path(), &[source.address()], &window_flag);
    let (serves, http) = (Instant::now(), node.http());
    while http.json("/sync/v1")["sync"]["repaired"].as_u64() < Some(missing) {
        assert!(serves.elapsed() < PATIENCE * 5, "{}", http.json("/sync/v1"));
        std::thread::sleep(Duration::from_millis(10));
    }
    let took = serves.elapsed();
    println!(
        "window {window}: serving after {first:.2?} and {second:.2?}; {missing} missing repaired {took:.2?} later"
    );
    for (name, node) in [("the one that lacked them", &node), ("its neighbour", &source)] {
        let peak = node.peak_memory();
        println!("  {name}: at most {} MiB", peak >> 20);
        assert!(peak < MEMORY, "{} MiB where {} are allowed", peak >> 20, MEMORY >> 20);
    }
    if std::env::var_os("HEARKEN_PROGRAM").is_some() {
        assert!(first < START && second < START, "{first:?} and {second:?} where {START:?} is allowed");
        assert!(took < REPAIR, "{took:?} where {REPAIR:?} is allowed");
    }
    (source, node)
}

/// Starts a node; how long it takes until it serves.
fn serving(data: &Path, peers: &[&str], window: &str) -> (Node, Duration) {
    let started = Instant::now();
    let node = Node::start_with(data, peers, &[window]);
    node.http().get("/health").expect(200);
    (node, started.elapsed())
}

/// Imports messages that are made as they are written.
fn fill(data: &Path, start: u64, count: u64, keep: impl Fn(u64) -> bool) {
    let mut child = command()
        .args(["import", "--data-dir"])
        .arg(data)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = BufWriter::with_capacity(1 << 20, child.stdin.take().unwrap());
    let step = DAYS * 24 * 3600 * 1_000_000_000 / count;
    for number in (0..count).filter(|number| keep(*number)) {
        let payload = BASE64_STANDARD.encode(number.to_be_bytes().repeat(3));
        let topic = if number % 100_000 == 77 { RARE } else { "/hearken/1/many/proto" };
        let timestamp = start + step * number;
        // Ten million of them: written by hand, it takes a third of the time.
        writeln!(
            input,
            r#"{{"pubsubTopic":"/waku/2/rs/66/0","contentTopic":"{topic}","payload":"{payload}","timestamp":{timestamp}}}"#
        )
        .unwrap();
    }
    drop(input);
    assert!(child.wait().unwrap().success(), "the import failed");
}
