//! Everything at once, at random: loss, churn, partition, skew, refusals, crashes with restart. All end equal, nothing is lost.
//! A failing seed prints itself; `SEED=n cargo test -p hearken-scheduler --test it mixed::` replays it, `SEEDS=n` tries more.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::cast_possible_truncation)]

use std::time::Duration;

use crate::net::{self, GROUP, Net, keys, test_config};
use hearken_scheduler::{Engine, Event, Now};
use hearken_tree::{Id, Key, Tree};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const INTERVAL: Duration = Duration::from_secs(30);

fn refused(key: &Key) -> bool {
    key.id().0[0] < 13
}

/// A node stops and starts again with what it had stored.
fn restart(net: &mut Net, node: usize) {
    let peers: Vec<usize> = net.nodes[node].peers.iter().copied().collect();
    for peer in &peers {
        net.disconnect(node, *peer);
    }
    let now = Now { monotonic: net.now, unix: net::EPOCH + net.now.as_nanos() as u64 };
    let group = net.config.group(GROUP);
    net.nodes[node].engine = Engine::new(net.config.clone(), [group], net.rng.random(), now).unwrap();
    net.event(node, Event::Wake);
    for peer in peers {
        net.connect(node, peer);
    }
}

fn run(seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let count = rng.random_range(3..14usize);
    let all = keys(seed, rng.random_range(0..1500), 60.0, 1800.0);
    let mut net = Net::new(test_config(), seed);
    net.loss = if rng.random_bool(0.5) { 0.03 } else { 0.0 };
    net.latency = Duration::from_millis(rng.random_range(5..500));
    for node in 0..count {
        let lost = [0.0, 0.01, 0.2, 1.0][rng.random_range(0..4)];
        net.add(all.iter().copied().filter(|_| !rng.random_bool(lost)));
        net.nodes[node].skew = if rng.random_bool(0.2) { rng.random_range(-30..=30) } else { 0 };
    }
    // One at most, so that the others stay connected without it: who refuses a message does not pass it on.
    if rng.random_bool(0.5) {
        net.nodes[rng.random_range(0..count)].refuses = refused;
    }
    net.connect_randomly(rng.random_range(2..5).min(count - 1));
    let mut sent = Vec::new();
    for _ in 0..10 {
        // Live messages of which each node misses some; nobody but the author is sure to have them.
        for _ in 0..rng.random_range(0..40) {
            let at = net.now + Duration::from_millis(rng.random_range(0..30_000));
            let key = Key::new(net::EPOCH + at.as_nanos() as u64, Id(rng.random()));
            let author = rng.random_range(0..count);
            sent.push(key);
            for node in 0..count {
                if node == author || !((net.nodes[node].refuses)(&key) || rng.random_bool(0.1)) {
                    net.live(node, key, at);
                }
            }
        }
        match rng.random_range(0..4) {
            0 => restart(&mut net, rng.random_range(0..count)),
            1 => {
                let (a, b) = (rng.random_range(0..count), rng.random_range(0..count));
                if a != b && !net.nodes[a].peers.contains(&b) {
                    net.connect(a, b);
                }
            }
            2 => {
                let a = rng.random_range(0..count);
                if let Some(b) = net.nodes[a].peers.iter().next_back().copied()
                    && net.nodes[a].peers.len() > 2
                    && net.nodes[b].peers.len() > 2
                {
                    net.disconnect(a, b);
                    net.run_for(Duration::from_secs(rng.random_range(1..40)));
                    net.connect(a, b);
                }
            }
            _ => {}
        }
        net.run_for(Duration::from_secs(rng.random_range(5..60)));
    }
    net.loss = 0.0;
    net.run_for(4 * INTERVAL);
    let mut intervals = 0;
    while !net.equal() {
        net.run_for(INTERVAL);
        intervals += 1;
        assert!(intervals < 16, "seed {seed}: {count} nodes are not equal");
    }
    for node in &net.nodes {
        let kept = node.kept.snapshot();
        for key in sent.iter().filter(|key| !(node.refuses)(key)) {
            assert!(kept.contains(key).unwrap(), "seed {seed}: a message was lost");
        }
        assert!(node.offences.is_empty(), "seed {seed}: an honest node is blamed: {:?}", node.offences);
    }
    for ((node, key), times) in &net.delivered {
        let refuses = net.nodes[*node].refuses;
        assert!(!refuses(key) || *times == 1, "seed {seed}: a refused message was sent {times} times");
    }
}

#[test]
fn mixed_seeds_end_equal() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("SEED") {
        return run(seed);
    }
    (0..number("SEEDS").unwrap_or(50)).for_each(told);
}

/// Runs a seed; if it fails, says how to see that again.
fn told(seed: u64) {
    if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
        eprintln!("again: SEED={seed} cargo test -p hearken-scheduler --test it mixed_seeds_end_equal");
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn nothing_to_compare() {
    let mut net = Net::new(test_config(), 1);
    net.add([]);
    net.add([]);
    net.connect(0, 1);
    net.run_for(10 * INTERVAL);
    assert!(net.nodes.iter().all(|node| node.offences.is_empty()));
    assert_eq!(net.nodes[0].kept.snapshot().root().unwrap(), Tree::new().snapshot().root().unwrap());
}
