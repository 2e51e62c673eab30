//! What the engine costs in large networks, under the virtual clock. Long: run with
//! `cargo test -p hearken-scheduler --release --test it figures:: -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

use std::{collections::BTreeSet, time::Duration};

use crate::net::{self, GROUP, Net, keys, test_config};
use hearken_tree::{Id, Key, KeyRange, Tree};
use rand::RngExt;

const INTERVAL: Duration = Duration::from_secs(30);

/// Announcements in each interval from `start` on.
fn per_interval(net: &Net, start: Duration) -> Vec<usize> {
    let intervals = ((net.now - start).as_secs_f64() / INTERVAL.as_secs_f64()) as usize;
    let mut counts = vec![0; intervals];
    for (at, _) in net.announced.iter().filter(|(at, _)| *at >= start) {
        let interval = ((*at - start).as_secs_f64() / INTERVAL.as_secs_f64()) as usize;
        if let Some(count) = counts.get_mut(interval) {
            *count += 1;
        }
    }
    counts
}

/// Bytes sent by all nodes so far: announcements with their forwarding, probes, requests, answers.
fn background(net: &Net) -> u64 {
    net.total(|t| t.forwarded_bytes + t.want_bytes + t.answer_bytes + t.control_bytes)
}

fn equal_network(count: usize) -> Net {
    let tree = Tree::from_sorted(keys(1, 1000, 60.0, 3500.0)).unwrap();
    let mut net = Net::new(test_config(), 1);
    let group = net.config.group(GROUP);
    for _ in 0..count {
        net.add_tree(tree.clone(), group.clone());
        // Not all start at once.
        net.run_for(Duration::from_secs_f64(30.0 / count as f64));
    }
    net.connect_randomly(8);
    net
}

fn equal(count: usize, intervals: u32) -> f64 {
    let mut net = equal_network(count);
    net.run_for(3 * INTERVAL);
    let (start, before) = (net.now, background(&net));
    net.run_for(intervals * INTERVAL);
    let counts = per_interval(&net, start);
    let rate = (background(&net) - before) as f64 / (net.now - start).as_secs_f64() / count as f64;
    let mean = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
    println!(
        "{count} equal nodes: IHAVEs per interval min {}, max {}, mean {mean:.2}; {rate:.0} B/s sent per node\n  {counts:?}",
        counts.iter().min().unwrap(),
        counts.iter().max().unwrap(),
    );
    mean
}

#[test]
#[ignore = "long"]
fn equal_1000() {
    equal(1000, 100);
}

#[test]
#[ignore = "long"]
fn equal_10000() {
    equal(10_000, 40);
}

/// Messages flow at `rate` a second; each node misses `lost` of them.
fn flow(net: &mut Net, from: Duration, until: Duration, rate: f64, lost: f64) {
    let mut at = from;
    while at < until {
        at += Duration::from_secs_f64(1.0 / rate);
        let id = Id(net.rng.random());
        let key = Key::new(net::EPOCH + at.as_nanos() as u64, id);
        let author = net.rng.random_range(0..net.nodes.len());
        for node in 0..net.nodes.len() {
            let travels = Duration::from_millis(if node == author { 0 } else { net.rng.random_range(100..600) });
            if node == author || !net.rng.random_bool(lost) {
                net.live(node, key, at + travels);
            }
        }
    }
}

/// How long after it was sent each message was everywhere.
struct Spread {
    missing: Vec<(Key, usize)>,
    took: Vec<f64>,
}

impl Spread {
    /// Runs until `end`, looking every second which messages of `keys` are everywhere by now.
    fn watch(net: &mut Net, end: Duration, keys: impl Fn(&Net) -> Vec<Key>) -> Spread {
        let mut spread = Spread { missing: Vec::new(), took: Vec::new() };
        let mut seen = BTreeSet::new();
        while net.now < end {
            net.run_for(Duration::from_secs(1));
            for key in keys(net) {
                if seen.insert(key) {
                    spread.missing.push((key, 0));
                }
            }
            let now = net::EPOCH + net.now.as_nanos() as u64;
            let nodes = &net.nodes;
            let took = &mut spread.took;
            spread.missing.retain_mut(|(key, holders)| {
                // Nodes in order: whoever has it keeps it.
                while nodes.get(*holders).is_some_and(|node| node.kept.snapshot().contains(key).unwrap()) {
                    *holders += 1;
                }
                if *holders < nodes.len() {
                    return true;
                }
                took.push((now - key.timestamp()) as f64 / 1e9);
                false
            });
        }
        spread.took.sort_by(f64::total_cmp);
        spread
    }

    fn percentile(&self, p: f64) -> f64 {
        let at = (self.took.len() as f64 * p) as usize;
        self.took.get(at.min(self.took.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    }
}

#[test]
#[ignore = "long"]
fn steady_loss() {
    let count = 200;
    let mut net = equal_network(count);
    net.run_for(2 * INTERVAL);
    let end = net.now + 22 * INTERVAL;
    let start = net.now;
    flow(&mut net, start, end - 4 * INTERVAL, 20.0, 0.01);
    // Let it settle before measuring.
    let warm = net.now + 4 * INTERVAL;
    net.run_until(warm);
    let before = (background(&net), net.total(|t| t.want_bytes + t.answer_bytes), net.total(|t| t.stored));
    let live = KeyRange::between(net::EPOCH + start.as_nanos() as u64, u64::MAX);
    let spread = Spread::watch(&mut net, end - 4 * INTERVAL, |net| {
        let younger = KeyRange::between(
            (net::EPOCH + net.now.as_nanos() as u64 - 2 * net::SECOND).max(live.start().timestamp()),
            u64::MAX,
        );
        net.nodes[0].kept.snapshot().keys(&younger).map(|key| key.unwrap()).collect()
    });
    let seconds = (net.now - warm).as_secs_f64();
    let stored = net.total(|t| t.stored) - before.2;
    println!(
        "steady loss, {count} nodes: everywhere p50 {:.0} s, p99 {:.0} s, max {:.0} s, {} not yet (oldest {:.0} s); {} repaired, {:.0} B unicast each; \
         {:.0} B/s per node; IHAVEs {:?}; duplicates {}",
        spread.percentile(0.5),
        spread.percentile(0.99),
        spread.percentile(1.0),
        spread.missing.len(),
        spread
            .missing
            .iter()
            .map(|(key, _)| (net::EPOCH + net.now.as_nanos() as u64 - key.timestamp()) / 1_000_000_000)
            .max()
            .unwrap_or(0) as f64,
        stored,
        (net.total(|t| t.want_bytes + t.answer_bytes) - before.1) as f64 / stored as f64,
        (background(&net) - before.0) as f64 / seconds / count as f64,
        per_interval(&net, warm),
        net.total(|t| t.duplicates),
    );
}

#[test]
#[ignore = "long"]
fn rare_news() {
    let mut net = equal_network(1000);
    net.run_for(2 * INTERVAL);
    let rare = net::key(100.0, 77);
    let start = net.now;
    net.live(500, rare, start);
    net.run_for(Duration::from_millis(10));
    let missing = |net: &Net| net.nodes.iter().filter(|node| !node.kept.snapshot().contains(&rare).unwrap()).count();
    while missing(&net) > 0 && net.now < start + 20 * INTERVAL {
        net.run_for(Duration::from_secs(5));
        println!("{:>4} s: {} lack it", (net.now - start).as_secs(), missing(&net));
    }
}

/// What each node served, the most and the median of those that served anything.
fn served(net: &Net) -> (u64, u64, u64) {
    let mut served: Vec<u64> = net.nodes.iter().map(|node| node.traffic.served).filter(|count| *count > 0).collect();
    served.sort_unstable();
    let total = served.iter().sum();
    (served.last().copied().unwrap_or(0), served.get(served.len() / 2).copied().unwrap_or(0), total)
}

#[test]
#[ignore = "long"]
fn returning() {
    let tree = Tree::from_sorted(keys(1, 72_000, 31.0, 3600.0)).unwrap();
    let mut net = Net::new(test_config(), 1);
    let group = net.config.group(GROUP);
    for node in 0..200 {
        net.add_tree(if node == 0 { Tree::new() } else { tree.clone() }, group.clone());
    }
    net.connect_randomly(8);
    let took = net.run_while(4 * INTERVAL, |net| net.nodes[0].kept.snapshot().len() < 71_900);
    let (most, median, total) = served(&net);
    println!(
        "a node that returns after an hour of 20 msg/s: whole after {took:?} (links without limit); served most {most}, median {median}, {total} in all; \
         duplicates {}; unicast {} B",
        net.total(|t| t.duplicates),
        net.total(|t| t.want_bytes + t.answer_bytes)
    );
}

#[test]
#[ignore = "long"]
fn the_same_gap() {
    let full = Tree::from_sorted(keys(1, 2000, 60.0, 3500.0)).unwrap();
    let mut gap = full.clone();
    let missing: Vec<Key> = full
        .snapshot()
        .keys(&KeyRange::between(net::EPOCH - 1500 * net::SECOND, net::EPOCH - 1000 * net::SECOND))
        .map(Result::unwrap)
        .collect();
    for key in &missing {
        gap.remove(key).unwrap();
    }
    let mut net = Net::new(test_config(), 1);
    let group = net.config.group(GROUP);
    for node in 0..1040 {
        net.add_tree(if node % 26 == 0 { full.clone() } else { gap.clone() }, group.clone());
    }
    net.connect_randomly(8);
    let took = net.run_while(20 * INTERVAL, |net| !net.equal());
    let (most, median, total) = served(&net);
    println!(
        "1000 nodes that lack the same {} messages, 40 that have them: equal after {took:?}; served most {most} ({:.1} %), median {median}, {total} in all; \
         duplicates {}",
        missing.len(),
        100.0 * most as f64 / total as f64,
        net.total(|t| t.duplicates),
    );
}

#[test]
#[ignore = "long"]
fn partition() {
    let mut net = equal_network(200);
    net.run_for(2 * INTERVAL);
    // Ten minutes at 2 messages a second, each in one half only.
    for second in 0..1200u64 {
        let at = net.now + Duration::from_millis(500 * second);
        let key = Key::new(net::EPOCH + at.as_nanos() as u64, Id(net.rng.random()));
        for node in 0..100 {
            net.live(node + 100 * usize::from(second % 2 == 0), key, at);
        }
    }
    let cut: Vec<(usize, usize)> = (0..100)
        .flat_map(|a| net.nodes[a].peers.iter().filter(|b| **b >= 100).map(move |b| (a, *b)).collect::<Vec<_>>())
        .collect();
    for (a, b) in &cut {
        net.disconnect(*a, *b);
    }
    net.run_for(Duration::from_secs(700));
    let (before, stored) = (net.total(|t| t.want_bytes + t.answer_bytes), net.total(|t| t.stored));
    for (a, b) in &cut {
        net.connect(*a, *b);
    }
    let took = net.run_while(10 * INTERVAL, |net| !net.equal());
    println!(
        "200 nodes, halves apart for 10 minutes: equal {took:?} after healing; {:.1} B unicast per message; duplicates {}",
        (net.total(|t| t.want_bytes + t.answer_bytes) - before) as f64 / (net.total(|t| t.stored) - stored) as f64,
        net.total(|t| t.duplicates),
    );
}
