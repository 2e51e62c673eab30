//! Several nodes: they become equal whatever the network does.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::{collections::BTreeSet, time::Duration};

use crate::net::{self, Net, key, keys, test_config};
use hearken_tree::Key;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const INTERVAL: Duration = Duration::from_secs(30);

fn sparse(all: &[Key], lost: f64, seed: u64) -> Vec<Key> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    all.iter().copied().filter(|_| !rng.random_bool(lost)).collect()
}

/// `count` nodes of which each lacks its own part of 2,000 messages.
fn lossy_network(count: usize, lost: f64, seed: u64) -> Net {
    let all = keys(seed, 2000, 60.0, 3500.0);
    let mut net = Net::new(test_config(), seed);
    for node in 0..count {
        net.add(sparse(&all, lost, seed * 1000 + node as u64));
    }
    net
}

fn no_blame(net: &Net) {
    for (at, node) in net.nodes.iter().enumerate() {
        assert!(node.offences.is_empty(), "node {at} blames {:?}", node.offences);
    }
}

#[test]
fn five_nodes_that_each_lack_something() {
    let mut net = lossy_network(5, 0.05, 1);
    net.connect_randomly(4);
    let took = net.run_while(4 * INTERVAL, |net| !net.equal());
    no_blame(&net);
    assert!(took <= 2 * INTERVAL, "took {took:?}");
    assert!(net.total(|t| t.duplicates) * 20 <= net.total(|t| t.stored), "{:?}", net.total(|t| t.duplicates));
}

#[test]
fn news_at_one_end_of_a_chain_of_ten() {
    let all = keys(2, 500, 60.0, 3500.0);
    let mut net = Net::new(test_config(), 2);
    for node in 0..10 {
        net.add(all.iter().copied().chain((node == 0).then(|| key(100.0, 77))));
    }
    for node in 1..10 {
        net.connect(node - 1, node);
    }
    let took = net.run_while(12 * INTERVAL, |net| !net.equal());
    no_blame(&net);
    println!("chain: {took:?}");
}

/// Nobody has announced what only a node holds that was cut off: its neighbours tell those that were equal to them.
#[test]
fn what_a_node_brings_back_goes_from_neighbour_to_neighbour() {
    for seed in 0..5 {
        let all = keys(seed, 500, 60.0, 3500.0);
        let mut net = Net::new(test_config(), seed);
        for node in 0..50 {
            let old = (0..15u8).map(|at| key(100.0 + f64::from(at), 77 + u64::from(at)));
            net.add(all.iter().copied().chain(old.filter(|_| node == 0)));
        }
        // All others have just found each other equal when it comes back.
        for node in 1..50 {
            for after in [1, 7] {
                net.connect(node, (node - 1 + after) % 49 + 1);
            }
        }
        net.run_for(Duration::from_secs(2));
        net.connect(0, 1);
        let took = net.run_while(6 * INTERVAL, |net| !net.equal());
        no_blame(&net);
        println!("seed {seed}: {took:?}, {} requests", net.total(|t| t.wants));
        assert!(took <= INTERVAL / 2, "seed {seed}: {took:?}");
    }
}

/// One message that one node has is everywhere within two intervals: the first until it is announced, and then it goes from neighbour to
/// neighbour, since who asked in vain is told.
#[test]
fn rare_news_goes_from_neighbour_to_neighbour() {
    for seed in 0..5 {
        let all = keys(seed, 500, 60.0, 3500.0);
        let mut net = Net::new(test_config(), seed);
        for node in 0..200 {
            net.add(all.iter().copied().chain((node == 0).then(|| key(100.0, 77))));
        }
        net.connect_randomly(8);
        let took = net.run_while(6 * INTERVAL, |net| !net.equal());
        no_blame(&net);
        println!("seed {seed}: {took:?}, {} requests", net.total(|t| t.wants));
        assert!(took <= 2 * INTERVAL, "seed {seed}: {took:?}");
    }
}

#[test]
fn an_empty_node_among_full_ones_asks_several() {
    let all = keys(3, 20_000, 60.0, 3500.0);
    let mut net = Net::new(test_config(), 3);
    for _ in 0..9 {
        net.add(all.iter().copied());
    }
    for node in 1..8 {
        net.connect(node, node + 1);
    }
    net.run_for(Duration::from_secs(1));
    for node in 1..9 {
        net.nodes[0].kept = hearken_tree::Tree::new();
        net.nodes[0].held = hearken_tree::Tree::new();
        net.connect(0, node);
    }
    let took = net.run_while(INTERVAL, |net| !net.equal());
    let served: Vec<u64> = net.nodes.iter().skip(1).map(|node| node.traffic.served).collect();
    println!("empty: {took:?}, served {served:?}");
    assert!(took <= Duration::from_secs(5));
    assert_eq!(net.total(|t| t.duplicates), 0);
    no_blame(&net);
}

/// Who is done first is not asked for all of the rest while the others are at their first part.
#[test]
fn who_is_quick_leaves_the_others_their_share() {
    let all = keys(3, 20_000, 60.0, 3500.0);
    let mut net = Net::new(test_config(), 3);
    net.add([]);
    for node in 1..5 {
        net.add(all.iter().copied());
        net.nodes[node].lag = Duration::from_millis(100) * u32::try_from(node).unwrap();
        net.connect(0, node);
    }
    net.run_while(INTERVAL, |net| !net.equal());
    let served: Vec<u64> = net.nodes.iter().skip(1).map(|node| node.traffic.served).collect();
    assert!(net.equal() && served.iter().all(|served| *served < 8_000), "{served:?}");
    assert!(served[0] > served[3], "a quick one gets more: {served:?}");
    no_blame(&net);
}

#[test]
fn refused_messages_are_fetched_once() {
    let mut net = lossy_network(6, 0.1, 4);
    net.nodes[0].refuses = |key| key.id().0[0] < 26;
    net.connect_randomly(3);
    net.run_for(6 * INTERVAL);
    assert!(net.equal());
    assert!(net.nodes[0].traffic.refused > 0);
    assert!(net.delivered.iter().filter(|((node, _), _)| *node == 0).all(|(_, times)| *times == 1));
    let before = net.total(|t| t.want_bytes + t.answer_bytes);
    net.run_for(4 * INTERVAL);
    let each = (net.total(|t| t.want_bytes + t.answer_bytes) - before) / 4 / 6;
    println!("{each} bytes per node and interval after that");
    assert!(each < 1500, "{each} bytes per node and interval");
}

#[test]
fn windows_of_different_length() {
    let all = keys(5, 2000, 60.0, 7000.0);
    let mut net = Net::new(test_config(), 5);
    for (node, window) in [3600, 7200, 1800, 7200].into_iter().enumerate() {
        net.config.window = Duration::from_secs(window);
        let own: Vec<Key> = sparse(&all, 0.1, node as u64);
        let oldest = key(window as f64, 0).timestamp();
        net.add(own.into_iter().filter(|key| key.timestamp() >= oldest));
    }
    net.connect_randomly(3);
    net.run_for(4 * INTERVAL);
    let now = net::EPOCH + 120 * net::SECOND;
    for (window, nodes) in [(1800, vec![0, 1, 2, 3]), (3600, vec![0, 1, 3]), (7200, vec![1, 3])] {
        let range = hearken_tree::KeyRange::between(now - window * net::SECOND, now - 60 * net::SECOND);
        let counts: BTreeSet<u64> =
            nodes.iter().map(|node| net.nodes[*node].kept.snapshot().count(&range).unwrap()).collect();
        assert_eq!(counts.len(), 1, "window {window}: {counts:?}");
    }
    for (node, window) in [(0usize, 3600u64), (2, 1800)] {
        let oldest = key((window + 60) as f64, 0).timestamp();
        let old = net.nodes[node].kept.snapshot().keys(&hearken_tree::KeyRange::between(0, oldest)).count();
        assert_eq!(old, 0, "node {node} fetched what is older than its window");
    }
    no_blame(&net);
    let before = net.total(|t| t.want_bytes + t.answer_bytes);
    net.run_for(4 * INTERVAL);
    let each = (net.total(|t| t.want_bytes + t.answer_bytes) - before) / 4 / 4;
    println!("{each} bytes per node and interval after that");
    assert!(each < 1500, "{each} bytes per node and interval");
}

#[test]
fn clocks_that_differ() {
    let mut net = lossy_network(10, 0.05, 6);
    (net.nodes[0].skew, net.nodes[1].skew) = (30, -30);
    net.connect_randomly(4);
    net.run_while(6 * INTERVAL, |net| !net.equal());
    no_blame(&net);
    let before = net.total(|t| t.want_bytes + t.answer_bytes);
    net.run_for(4 * INTERVAL);
    let each = (net.total(|t| t.want_bytes + t.answer_bytes) - before) / 4 / 10;
    println!("{each} bytes per node and interval after that");
    assert!(each < 500, "{each} bytes per node and interval");
}

#[test]
fn links_that_break_in_mid_transfer() {
    let mut net = lossy_network(8, 0.3, 7);
    net.loss = 0.1;
    net.connect_randomly(4);
    let took = net.run_while(20 * INTERVAL, |net| !net.equal());
    println!("lossy: {took:?}");
    no_blame(&net);
}

fn traced(seed: u64) -> u64 {
    let mut net = lossy_network(8, 0.1, seed);
    (net.loss, net.tracing) = (0.02, true);
    net.connect_randomly(4);
    net.run_for(4 * INTERVAL);
    net.trace()
}

/// Run in another process by [`the_same_seed_gives_the_same_trace`].
#[test]
fn print_a_trace() {
    println!("trace {}", traced(8));
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let here = traced(8);
    assert_ne!(here, traced(9));
    for threads in [1, 4] {
        let running: Vec<_> = (0..threads).map(|_| std::thread::spawn(|| traced(8))).collect();
        running.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), here));
    }
    let other = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "network::print_a_trace", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8(other.stdout).unwrap();
    assert!(said.contains(&format!("trace {here}")), "another process made another trace: {said}");
}
