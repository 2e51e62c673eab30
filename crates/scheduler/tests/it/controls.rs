//! What an operator changes while the engine runs takes effect; what cannot change is refused with the reason.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, time::Duration};

use crate::net::{self, GROUP, Net, keys, test_config};
use hearken_scheduler::{Config, Engine, Event, InvalidChange, InvalidConfig, Limits, Now};
use hearken_tree::{Key, KeyRange, Tree};

fn now(net: &Net) -> Now {
    let elapsed = u64::try_from(net.now.as_nanos()).unwrap();
    Now { monotonic: net.now, unix: net::EPOCH + elapsed }
}

/// Two connected nodes; the second lacks every tenth message.
fn two(config: Config) -> Net {
    let all = keys(1, 1000, 60.0, 3500.0);
    let mut net = Net::new(config, 1);
    net.add(all.iter().copied());
    net.add(all.iter().enumerate().filter(|(at, _)| at % 10 != 0).map(|(_, key)| *key));
    net
}

/// Lets both engines act on what was changed from outside.
fn wake(net: &mut Net) {
    for node in 0..net.nodes.len() {
        net.event(node, Event::Wake);
    }
}

#[test]
fn a_shorter_interval_takes_effect_at_once() {
    let slow = Config { interval_max: Duration::from_secs(240), ..Config::default() };
    let mut net = two(slow.clone());
    net.connect(0, 1);
    net.run_for(Duration::from_secs(1000));
    let before = net.announced.len();
    net.run_for(Duration::from_secs(480));
    let slowly = net.announced.len() - before;
    let quick = Config { interval_min: Duration::from_secs(10), interval_max: Duration::from_secs(10), ..slow };
    for node in 0..2 {
        let now = now(&net);
        net.nodes[node].engine.reconfigure(quick.clone(), now).unwrap();
    }
    wake(&mut net);
    let before = net.announced.len();
    net.run_for(Duration::from_secs(480));
    let quickly = net.announced.len() - before;
    assert!(slowly <= 4 && quickly >= 40, "{slowly} before, {quickly} after");
}

#[test]
fn what_cannot_change_is_refused_and_changes_nothing() {
    let mut net = two(test_config());
    let now = now(&net);
    let engine = &mut net.nodes[0].engine;
    let mut other = |config: Config| engine.reconfigure(config, now);
    let window = Config { window: Duration::from_secs(7200), ..test_config() };
    assert_eq!(other(window), Err(InvalidChange::Fixed("window")));
    let longer = Config { interval_max: Duration::from_secs(600), ..test_config() };
    assert!(matches!(other(longer), Err(InvalidChange::Invalid(InvalidConfig::Retention { .. }))));
    let zero = Config { interval_min: Duration::ZERO, ..test_config() };
    assert_eq!(other(zero), Err(InvalidChange::Invalid(InvalidConfig::Zero("interval_min"))));
}

#[test]
fn a_paused_node_asks_nothing_and_serves_others() {
    let mut net = two(test_config());
    let now_ = now(&net);
    net.nodes[1].engine.pause(true, now_);
    net.connect(0, 1);
    net.run_for(Duration::from_secs(60));
    assert_eq!((net.nodes[1].traffic.wants, net.nodes[1].traffic.ihaves), (0, 0));
    assert!(net.nodes[0].traffic.wants > 0 && net.nodes[1].traffic.answers > 0);
    assert!(!net.equal());
    let now_ = now(&net);
    net.nodes[1].engine.pause(false, now_);
    wake(&mut net);
    net.run_for(Duration::from_secs(2));
    assert!(net.equal(), "it asks at once when it goes on");
}

#[test]
fn a_group_among_some_peers_is_closed_to_others() {
    let all = keys(2, 500, 60.0, 3500.0);
    let mut net = Net::new(test_config(), 2);
    net.add(all.iter().copied());
    net.add([]);
    net.add([]);
    for node in 0..2 {
        net.nodes[node].engine.allow(GROUP, Some(BTreeSet::from([1 - node])));
    }
    net.connect(0, 1);
    net.connect(0, 2);
    net.connect(1, 2);
    net.run_for(Duration::from_secs(120));
    let held = |node: usize| net.nodes[node].kept.snapshot().len();
    assert_eq!((held(0), held(1), held(2)), (500, 500, 0));
    assert!(net.nodes.iter().all(|node| node.offences.is_empty()));
}

#[test]
fn a_cap_on_what_is_served_and_asked_holds() {
    // 4,000 messages of 40 bytes come at one go, since they were asked for when nothing had come yet; then it has to wait.
    let all = keys(3, 8000, 60.0, 3500.0);
    for capped in [true, false] {
        let mut net = Net::new(test_config(), 3);
        let rate = if capped { 4000 } else { 0 };
        net.config.limits = Limits { download_rate: rate, ..Limits::default() };
        net.add(all.iter().copied());
        net.add(all.iter().enumerate().filter(|(at, _)| at % 2 == 0).map(|(_, key)| *key));
        net.config.limits = Limits::default();
        net.connect(0, 1);
        net.run_for(Duration::from_secs(5));
        let missing: Vec<Key> = keys(4, 2000, 60.0, 3500.0);
        for key in missing {
            net.nodes[0].kept.insert(key).unwrap();
            net.nodes[0].held.insert(key).unwrap();
        }
        net.event(1, Event::SyncNow(GROUP));
        let took = net.run_while(Duration::from_secs(300), |net| !net.equal());
        println!("capped {capped}: {took:?}");
        assert!(if capped { took > Duration::from_secs(20) } else { took < Duration::from_secs(2) }, "{took:?}");
    }
}

#[test]
fn a_cap_on_what_is_served_to_all_holds() {
    // One node has everything. Until it has served ten seconds' worth of 4,000 bytes it serves at once; then it refuses as busy,
    // until the debt is paid, and all get theirs in the end.
    let all = keys(3, 6000, 60.0, 3500.0);
    let mut took = Vec::new();
    for rate in [4000, 0] {
        let mut net = Net::new(test_config(), 3);
        net.config.limits = Limits { upload_rate: rate, ..Limits::default() };
        net.add(all.iter().copied());
        net.config.limits = Limits::default();
        net.add(all.iter().enumerate().filter(|(at, _)| at % 2 == 0).map(|(_, key)| *key));
        net.add(all.iter().enumerate().filter(|(at, _)| at % 3 == 0).map(|(_, key)| *key));
        net.connect(0, 1);
        net.run_for(Duration::from_secs(5));
        net.connect(0, 2);
        took.push(net.run_while(Duration::from_secs(600), |net| !net.equal()));
        assert!(net.nodes.iter().all(|node| node.offences.is_empty()));
    }
    println!("capped: {:?}, not: {:?}", took[0], took[1]);
    // Node 1 took 120,000 bytes at once, 80,000 more than were there: 20 s go by before node 2 gets any.
    assert!(took[0] > Duration::from_secs(12) && took[1] < Duration::from_secs(12), "{took:?}");
}

/// A node that holds `some` of what its neighbour does is killed in the middle of its repair again and again, and remembers
/// nothing, while the neighbour does. How long its repair takes in the end, and how many requests.
fn repair_after_many_kills(count: usize, limits: Limits, some: impl Fn(usize) -> bool) -> (Duration, u64) {
    let all = keys(5, count, 60.0, 3500.0);
    let mut net = Net::new(test_config(), 5);
    net.config.limits = limits;
    net.add(all.iter().copied());
    net.config.limits = Limits::default();
    let some: Vec<Key> = (0..).zip(&all).filter(|(at, _)| some(*at)).map(|(_, key)| *key).collect();
    net.add(some.iter().copied());
    for life in 0..=12 {
        let (at, tree) = (now(&net), Tree::from_sorted(some.iter().copied()).unwrap());
        let node = &mut net.nodes[1];
        (node.kept, node.held) = (tree.clone(), tree);
        node.engine = Engine::new(test_config(), [test_config().group(GROUP)], life, at).unwrap();
        net.connect(0, 1);
        if life < 12 {
            net.run_for(Duration::from_millis(450));
            net.disconnect(0, 1);
        }
    }
    let before = net.nodes[1].traffic.wants;
    let took = net.run_while(Duration::from_secs(120), |net| !net.equal());
    assert!(net.nodes.iter().all(|node| node.offences.is_empty()));
    (took, net.nodes[1].traffic.wants - before)
}

#[test]
fn who_has_used_up_its_budget_waits_for_it_and_is_repaired() {
    let limits = Limits { cost_rate: 1_000_000, ..Limits::default() };
    let (took, wants) = repair_after_many_kills(8000, limits, |at| at % 12 < 7);
    println!("{took:?}, {wants} requests");
    assert!(took > Duration::from_secs(3), "its budget was not used up: {took:?}");
    assert!(wants < 16, "{wants} requests");
}

#[test]
fn who_has_used_up_its_spans_is_repaired() {
    let (took, wants) = repair_after_many_kills(150_000, Limits::default(), |at| at % 1900 < 1200 || at % 10 == 0);
    println!("{took:?}, {wants} requests");
    assert!(took > Duration::from_secs(3), "its spans were not used up: {took:?}");
    assert!(took < Duration::from_secs(45) && wants < 100, "{took:?}, {wants} requests");
}

#[test]
fn what_an_archive_has_dropped_for_its_size_is_not_asked_for_again() {
    let mut net = two(test_config());
    net.connect(0, 1);
    net.run_while(Duration::from_secs(60), |net| !net.equal());
    // Node 1 drops the older half.
    let floor = net::EPOCH - 1800 * net::SECOND;
    let old = KeyRange::between(0, floor);
    let dropped: Vec<Key> = net.nodes[1].kept.snapshot().keys(&old).map(Result::unwrap).collect();
    for key in &dropped {
        net.nodes[1].kept.remove(key).unwrap();
        net.nodes[1].held.remove(key).unwrap();
    }
    net.event(1, Event::KeptFrom(floor));
    let before = net.total(|t| t.stored);
    net.run_for(Duration::from_secs(300));
    assert!(!dropped.is_empty());
    assert_eq!(net.total(|t| t.stored), before, "it asked for what it had dropped");
    assert!(net.nodes.iter().all(|node| node.offences.is_empty()));
}
