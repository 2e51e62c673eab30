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

/// Bytes by kind and messages repaired agree within `bytes`, times to completeness within `times`.
fn agree((model, real): &(Outcome, Outcome), bytes: f64, times: f64) {
    assert!(real.passed && real.mode == "real", "{}", real.summary());
    assert!(model.passed && model.mode == "virtual", "{}", model.summary());
    assert_eq!(model.messages, real.messages);
    let count = |outcome: &Outcome| f64::from(u32::try_from(outcome.repaired).unwrap());
    let mut figures = vec![("repaired", count(model), count(real), bytes)];
    for (kind, model) in &model.bytes_per_node.by_kind {
        figures.push((kind, *model, real.bytes_per_node.by_kind[kind], bytes));
    }
    let (one, other) = (model.completeness_s, real.completeness_s);
    for (name, model, real) in [("p50", one.p50, other.p50), ("p99", one.p99, other.p99), ("max", one.max, other.max)] {
        figures.push((name, model, real, times));
    }
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

/// Few messages, so that chance weighs more than in the large form.
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
    agree(&both(&settings), 0.5, 1.0);
}

#[test]
#[ignore = "long: takes the 100 seconds that it is about"]
fn thirty_real_nodes_do_what_thirty_virtual_ones_do() {
    agree(&both(&[]), 0.25, 0.5);
}

#[test]
fn what_real_nodes_cannot_do_is_refused() {
    for (setting, key) in [
        ("network.nodes=100", "network.nodes"),
        ("network.upload=1 MB", "network.upload"),
        ("network.loss=0.1", "network.loss"),
        ("protocol=nwaku", "protocol"),
    ] {
        let scenario = Scenario::load("thirty", &[setting.to_owned()]).unwrap();
        let error = real::run(&scenario, false).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains("--real"), "{error}");
    }
}
