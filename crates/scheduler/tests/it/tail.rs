//! The tail of a repair: what the neighbour that was asked lacked as well is looked for elsewhere at once.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use crate::net::{Net, keys};
use hearken_scheduler::Config;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Nodes on one machine, with short times.
fn quick(nodes: u32) -> Config {
    Config {
        interval_min: Duration::from_secs(1),
        interval_max: Duration::from_secs(5),
        settle_delay: Duration::from_secs(2),
        horizon_grid: Duration::from_secs(1),
        network_size: nodes,
        ..Config::default()
    }
}

/// Five nodes, each of which lacks 5 % at random; one also the newest 30 %, one everything.
fn holes(seed: u64) -> Net {
    let all = keys(seed, 20_000, 60.0, 3500.0);
    let mut net = Net::new(quick(5), seed);
    net.latency = Duration::from_millis(1);
    for node in 0..5 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed * 10 + node);
        let held = all.iter().enumerate().filter(|(at, _)| {
            let lost = rng.random_bool(0.05);
            !lost && node != 4 && (node != 3 || *at < 14_000)
        });
        net.add(held.map(|(_, key)| *key));
    }
    for a in 0..5 {
        for b in a + 1..5 {
            net.connect(a, b);
        }
    }
    net
}

/// Runs until all are equal; how long it took.
fn repair(net: &mut Net) -> Duration {
    net.run_while(Duration::from_secs(5), |net| !net.equal())
}

#[test]
fn what_the_asked_neighbour_lacked_too_is_found_at_once() {
    for seed in 0..20 {
        let mut net = holes(seed);
        let took = repair(&mut net);
        let (requests, stored) = (net.total(|t| t.wants), net.total(|t| t.stored));
        println!("seed {seed}: {took:?}, {requests} requests, {stored} stored");
        assert!(took <= Duration::from_millis(400), "seed {seed}: {took:?}");
        assert!(requests < 120, "seed {seed}: {requests} requests");
        assert_eq!(net.total(|t| t.duplicates), 0);
        assert!(net.nodes.iter().all(|node| node.offences.is_empty()));
    }
}

/// A gap that was filled is followed up by a few probes, and then there is silence until the next interval.
#[test]
fn following_up_ends() {
    let all = keys(3, 2000, 60.0, 3500.0);
    let mut net = Net::new(Config::default(), 3);
    for node in 0..200 {
        net.add(
            all.iter().enumerate().filter(|(at, _)| node % 20 == 0 || *at < 500 || *at >= 900).map(|(_, key)| *key),
        );
    }
    net.connect_randomly(8);
    net.run_while(Duration::from_secs(300), |net| !net.equal());
    let unicast = net.total(|t| t.want_bytes + t.answer_bytes) / 190;
    println!("{:?}; {unicast} B of requests and answers for each node that lacked 400 messages", net.now);
    assert!(unicast < 1500, "{unicast} B");
}

/// A node is repaired by the one neighbour that it has. What that lacked as well is asked of the next as soon as it comes, though neither
/// greets the other: both have been greeted lately.
#[test]
fn a_repair_is_followed_up_when_neighbours_come() {
    let all = keys(4, 2000, 60.0, 3500.0);
    let mut net = Net::new(Config::default(), 4);
    for node in 0..4 {
        net.add(all.iter().enumerate().filter(|(at, _)| node != 0 && at % 10 != node % 2).map(|(_, key)| *key));
    }
    // 1 lacks a tenth, 2 and 3 another; 0 has nothing.
    net.connect(0, 1);
    net.connect(2, 3);
    net.run_for(Duration::from_secs(5));
    assert_eq!(net.nodes[0].traffic.stored, 1800);
    net.connect(0, 2);
    let took = net.run_while(Duration::from_secs(60), |net| net.nodes[0].traffic.stored < 2000);
    assert!(took <= Duration::from_secs(1), "{took:?}");
}
