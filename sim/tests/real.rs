//! Real nodes do what the model says.
#![allow(clippy::unwrap_used)]

use hearken_sim::{
    real,
    run::{Outcome, simulate},
    scenario::Scenario,
};

fn both(settings: &[&str]) -> (Outcome, Outcome) {
    let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
    let scenario = Scenario::load("thirty", &settings).unwrap();
    (simulate(&scenario, None, false).unwrap(), real::run(&scenario, false).unwrap())
}

/// Both, and by how much the second lies above or below the first.
fn apart(model: f64, real: f64) -> f64 {
    if model == real { 0.0 } else { (real - model).abs() / model.max(1e-9) }
}

/// Bytes by kind and messages repaired agree within `bytes`, times to completeness within `times`, that of the last message within
/// `last`.
fn agree((model, real): &(Outcome, Outcome), bytes: f64, times: f64, last: f64) {
    assert!(real.passed && real.mode == "real", "{}", real.summary());
    assert!(model.passed && model.mode == "virtual", "{}", model.summary());
    assert_eq!(model.messages, real.messages);
    let count = |outcome: &Outcome| f64::from(u32::try_from(outcome.repaired).unwrap());
    let mut figures = vec![("repaired", count(model), count(real), bytes)];
    for (kind, model) in &model.bytes_per_node.by_kind {
        figures.push((kind, *model, real.bytes_per_node.by_kind[kind], bytes));
    }
    let (one, other) = (model.completeness_s, real.completeness_s);
    figures.push(("p50", one.p50, other.p50, times));
    figures.push(("p99", one.p99, other.p99, times));
    figures.push(("max", one.max, other.max, last));
    let table: String = figures
        .iter()
        .map(|(name, model, real, limit)| {
            format!(
                "{name:<14} {model:>12.2} {real:>12.2}  {:>5.0} % of {:.0} %\n",
                apart(*model, *real) * 100.0,
                limit * 100.0
            )
        })
        .collect();
    println!("figure                virtual         real\n{table}");
    let ok = figures.iter().all(|(_, model, real, limit)| apart(*model, *real) <= *limit);
    assert!(ok, "the model is off\n{table}");
}

/// Few messages, so that chance weighs more than in the large form: most where it is about one message, the last.
#[test]
fn ten_real_nodes_do_what_ten_virtual_ones_do() {
    // A small mesh, so that there are neighbours outside it, which gossip goes to.
    let settings = [
        "network.nodes=10",
        "gossipsub.mesh_n=4",
        "gossipsub.mesh_n_low=3",
        "gossipsub.mesh_n_high=5",
        "gossipsub.delivery_loss=0.1",
        "traffic.rate=20",
        "traffic.until=18s",
        "sync.interval_max=3s",
        "duration=35s",
        "event.0.at=8s",
        "event.0.for=5s",
        "expect.repaired_min=100",
    ];
    agree(&both(&settings), 0.5, 1.0, 2.0);
}

#[test]
#[ignore = "long: takes the 100 seconds that it is about"]
fn thirty_real_nodes_do_what_thirty_virtual_ones_do() {
    agree(&both(&[]), 0.25, 0.5, 0.5);
}

/// Everything that a scenario can hold, in little time. What it says of bytes and times is `thirty`'s; here all must end equal.
const EVERYTHING: &str = r#"
title = "Everything that can happen, to real nodes"
duration = "60s"

[network]
nodes = 12
degree = 6
latency_model = "uniform"
latency = "20ms"
latency_spread = "10ms"
jitter = "10ms"
upload = "1 MB"
download = "2 MB"
loss = 0.02
start_spread = "1s"
detect = "100ms"
redial = "500ms"

[gossipsub]
mesh_n = 4
mesh_n_low = 3
mesh_n_high = 5
delivery_loss = 0.05

[sync]
interval_min = "3s"
interval_max = "6s"
settle_delay = "3s"
horizon_grid = "1s"
window = "10m"
network_size = 12

[traffic]
rate = 10.0
size = "1 kB"
until = "25s"
publishers = "4..11"

[[node]]
nodes = "0..3"
hostile = ["silent", "empty", "garbage"]

[[node]]
nodes = 5
refuses = 0.1

[[event]]
at = "12s"
kind = "settings"
nodes = "4..12"
sync = { interval_max = "3s", redundancy_any = 6 }

[[event]]
at = "5s"
kind = "hostile"
nodes = 3
hostile = ["forger"]

[[event]]
at = "13s"
kind = "slow"
nodes = "6..8"
upload = "100 kB"
latency = "50ms"
for = "5s"

[[event]]
at = "14s"
kind = "loss"
loss = 0.2
delivery_loss = 0.3
for = "3s"

[[event]]
at = "15s"
kind = "disk_full"
nodes = 8
for = "3s"

[[event]]
at = "16s"
kind = "skew"
nodes = 9
by = "1s"
for = "5s"

[[event]]
at = "17s"
kind = "burst"
messages = 50

[[event]]
# Publishes nothing: what power failure takes from it is elsewhere.
at = "22s"
kind = "crash"
nodes = 11
undurable = "20s"
for = "2s"

[[event]]
at = "24s"
kind = "partition"
parts = ["0..6"]
for = "3s"

[expect]
converged = true
repaired_min = 50
muted = 0
"#;

#[test]
fn real_nodes_live_through_everything() {
    let scenario = Scenario::parse("everything", EVERYTHING, &[]).unwrap();
    let real = real::run(&scenario, false).unwrap();
    assert!(real.passed, "{}", real.summary());
    assert!(real.lost_in_crashes > 0 && real.refused > 0, "{}", real.summary());
    assert!(real.bytes_per_node.by_kind["probe"] > 0.0, "{}", real.summary());
    let model = simulate(&scenario, None, false).unwrap();
    assert!(model.passed, "{}", model.summary());
}

#[test]
fn what_real_nodes_cannot_do_is_refused() {
    for (setting, key) in [("network.nodes=100", "network.nodes"), ("protocol=nwaku", "protocol")] {
        let scenario = Scenario::load("thirty", &[setting.to_owned()]).unwrap();
        let error = real::run(&scenario, false).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains("--real"), "{error}");
    }
}
