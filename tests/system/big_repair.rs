//! An hour of 15 messages a second, a tenth of which is missing: how long its repair takes over loopback, with how much memory, and
//! where the time goes.
//!
//! ```text
//! cargo build --release --bin hearken
//! HEARKEN_PROGRAM=target/release/hearken cargo test -p hearken-tests --test system big_repair -- --ignored --nocapture
//! ```
//!
//! Times are held against the bound only where `HEARKEN_PROGRAM` names the program: that of the tests is not optimised.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::harness::{Http, Node, PATIENCE, command, turn};

/// Seconds for a gigabyte of payload, and beside it.
const SECONDS_PER_GB: f64 = 6.0;
const SECONDS: f64 = 1.5;
const MEMORY: u64 = 300 << 20;

#[test]
#[ignore = "long: two archives of almost a gigabyte"]
fn fifteen_kilobytes() {
    repair(54_000, 15_000);
}

#[test]
#[ignore = "long: two archives of almost a gigabyte"]
fn a_hundred_and_fifty_kilobytes() {
    // With its envelope, such a message has almost the 150 KB that are allowed.
    repair(5_400, 149_800);
}

fn repair(count: u64, size: usize) {
    let _turn = turn();
    let (full, holes) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - Duration::from_secs(56 * 60);
    let start = u64::try_from(start.as_nanos()).unwrap();
    fill(full.path(), count, size, start, |_| true);
    fill(holes.path(), count, size, start, |number| number % 10 != 7);
    let missing = count / 10;

    let source = Node::start(full.path(), &[]);
    let node = Node::start(holes.path(), &[source.address()]);
    let (started, http) = (Instant::now(), node.http());
    while http.json("/sync/v1")["sync"]["repaired"].as_u64() < Some(missing) {
        assert!(started.elapsed() < PATIENCE * 3, "{}", http.json("/sync/v1"));
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = started.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss)]
    let gigabytes = (missing * size as u64) as f64 / 1e9;
    let bound = SECONDS_PER_GB * gigabytes + SECONDS;
    println!(
        "{missing} of {count} messages of {size} bytes, {gigabytes:.3} GB: repaired in {took:.2} s (bound {bound:.2} s)"
    );
    for (name, node, http) in [("the one that lacked them", &node, http), ("its neighbour", &source, source.http())] {
        let peak = node.peak_memory();
        println!("{name}: at most {} MiB, {}", peak >> 20, shares(&http));
        assert!(peak < MEMORY, "{} MiB where {} are allowed", peak >> 20, MEMORY >> 20);
    }
    if std::env::var_os("HEARKEN_PROGRAM").is_some() {
        assert!(took < bound, "{took:.2} s where {bound:.2} s are allowed");
    }
    node.stop().success();
    source.stop().success();
}

/// Imports messages that are made as they are written: all of them at once would not fit into memory.
fn fill(data: &Path, count: u64, size: usize, start: u64, keep: impl Fn(u64) -> bool) {
    let mut child = command()
        .args(["import", "--data-dir"])
        .arg(data)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = BufWriter::new(child.stdin.take().unwrap());
    let step = 54 * 60_000_000_000 / count;
    let mut payload = vec![0; size];
    for number in (0..count).filter(|number| keep(*number)) {
        ChaCha8Rng::seed_from_u64(number).fill_bytes(&mut payload);
        let message = json!({
            "pubsubTopic": "/waku/2/rs/66/0",
            "contentTopic": "/hearken/1/big/proto",
            "payload": BASE64_STANDARD.encode(&payload),
            "timestamp": start + step * number,
        });
        writeln!(input, "{message}").unwrap();
    }
    drop(input);
    assert!(child.wait().unwrap().success(), "the import failed");
}

fn shares(http: &Http) -> String {
    let work = http.json("/sync/v1")["work"].clone();
    let stage = |(name, spent): (&String, &Value)| {
        let [seconds, share] = ["seconds", "share"].map(|field| spent[field].as_f64().unwrap());
        format!("{name} {:.0} % ({seconds:.2} s)", share * 100.0)
    };
    work.as_object().unwrap().iter().map(stage).collect::<Vec<_>>().join(", ")
}
