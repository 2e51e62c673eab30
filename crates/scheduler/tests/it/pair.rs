//! Two nodes: what it takes to make them equal.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, fmt::Write, time::Duration};

use crate::net::{Net, keys, test_config};
use hearken_tree::Key;
use rand::{SeedableRng, seq::IteratorRandom};
use rand_chacha::ChaCha8Rng;

const COUNT: usize = 10_000;

/// Time from the first announcement or probe until equal, and what travelled.
fn repair(ours: &[Key], theirs: &[Key]) -> (Net, String) {
    let mut net = Net::new(test_config(), 1);
    let (a, b) = (net.add(ours.iter().copied()), net.add(theirs.iter().copied()));
    net.connect(a, b);
    let took = net.run_while(Duration::from_secs(120), |net| !net.equal());
    // Let everything under way end before counting.
    net.run_for(Duration::from_millis(500));
    let line = format!(
        "{:>5.1} s, wants {:>2} ({:>6} B), answers {:>2} ({:>6} B), stored {:>5}, duplicates {}",
        took.as_secs_f64(),
        net.total(|t| t.wants),
        net.total(|t| t.want_bytes),
        net.total(|t| t.answers),
        net.total(|t| t.answer_bytes),
        net.total(|t| t.stored),
        net.total(|t| t.duplicates)
    );
    assert_eq!(net.total(|t| t.unasked), 0);
    assert!(net.nodes.iter().all(|node| node.offences.is_empty()));
    (net, line)
}

fn without(all: &[Key], missing: &[Key]) -> Vec<Key> {
    let missing: BTreeSet<Key> = missing.iter().copied().collect();
    all.iter().copied().filter(|key| !missing.contains(key)).collect()
}

fn some(all: &[Key], count: usize, seed: u64) -> Vec<Key> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    all.iter().copied().sample(&mut rng, count)
}

/// What each shape of difference costs between two nodes that connect. A change here is a change of cost.
#[test]
fn costs() {
    let all = keys(1, COUNT, 60.0, 3500.0);
    let mut table = String::new();
    let mut case = |name: &str, ours: &[Key], theirs: &[Key]| {
        let (_, line) = repair(ours, theirs);
        writeln!(table, "{name:<16} {line}").unwrap();
    };
    case("equal", &all, &all);
    case("one", &without(&all, &some(&all, 1, 1)), &all);
    case("scatter 10", &without(&all, &some(&all, 10, 1)), &all);
    case("scatter 100", &without(&all, &some(&all, 100, 1)), &all);
    case("scatter 1000", &without(&all, &some(&all, 1000, 1)), &all);
    case("gap newest", &all[..COUNT - 1000], &all);
    case("gap oldest", &all[1000..], &all);
    case("gap middle", &without(&all, &all[4000..5000]), &all);
    case("two-way 100", &without(&all, &some(&all, 50, 1)), &without(&all, &some(&all, 50, 2)));
    case("two-way 1000", &without(&all, &some(&all, 500, 1)), &without(&all, &some(&all, 500, 2)));
    case("20 % lost", &without(&all, &some(&all, 2000, 1)), &all);
    case("80 % lost", &some(&all, 2000, 1), &all);
    case("empty", &[], &all);
    insta::assert_snapshot!(table);
}

/// Of millions of messages few are missing: finer spans show where, all of them are compared before anything is sketched, and one more
/// round trip brings what is missing. Each of these goes in parts, since so many keys take a while to be sketched.
#[test]
fn few_of_millions_are_narrowed_down_first() {
    let all = keys(1, 2_400_000, 60.0, 3500.0);
    let (net, line) = repair(&without(&all, &some(&all, 150, 1)), &all);
    insta::assert_snapshot!(line, @"  0.6 s, wants 15 (  4222 B), answers 14 ( 10642 B), stored   150, duplicates 0");
    assert!(net.equal());
}

/// Every tenth message of many is there: thousands of gaps, of which those at the bounds of spans are each one range.
#[test]
fn thousands_of_gaps_go_in_several_requests() {
    let all = keys(4, 60_000, 60.0, 3500.0);
    let ours: Vec<Key> = all.iter().copied().step_by(10).collect();
    let (net, _) = repair(&ours, &all);
    assert!(net.equal());
}

#[test]
fn no_duplicates_and_one_time_each() {
    let all = keys(2, 3000, 60.0, 3500.0);
    let (net, _) = repair(&without(&all, &some(&all, 150, 3)), &without(&all, &some(&all, 150, 7)));
    assert!(net.delivered.values().all(|times| *times == 1));
}

/// The one that holds more probes; the other learns from it that it lacks something, and asks.
#[test]
fn being_probed_is_enough() {
    let all = keys(1, COUNT, 60.0, 3500.0);
    let mut config = test_config();
    (config.sync_on_boot, config.probe) = (false, false);
    let mut net = Net::new(config, 1);
    let a = net.add(without(&all, &some(&all, 1000, 1)));
    net.config.sync_on_boot = true;
    let b = net.add(all);
    net.connect(a, b);
    let took = net.run_while(Duration::from_secs(120), |net| !net.equal());
    assert!(took < Duration::from_secs(4), "took {took:?}");
}
