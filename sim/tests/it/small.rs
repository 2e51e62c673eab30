//! Every scenario that ships, in a small form: what it expects comes true, and what it costs has not grown.
//!
//! `tests/pins.toml` keeps the costs. Where one grows by more than a tenth, this fails; if that is meant, write them anew:
//!
//! ```sh
//! HEARKEN_PINS=write cargo test -p hearken-sim --test it small::
//! ```
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf, sync::Mutex, thread};

use hearken_sim::{
    run::{Outcome, simulate},
    scenario::Scenario,
};
use serde::{Deserialize, Serialize};

/// Each with what makes it small.
const SMALL: &[(&str, &[&str])] = &[
    ("default", &["network.nodes=20", "event.0.parts=[\"0..10\"]", "event.2.messages=100", "expect.repaired_min=50"]),
    ("chain", &["duration=5m"]),
    ("chain-8", &["duration=6m", "traffic.until=3m", "expect.repaired_min=20"]),
    (
        "partition",
        &[
            "network.nodes=30",
            "event.0.parts=[\"0..15\"]",
            "event.0.at=1m",
            "event.0.for=2m",
            "traffic.until=4m",
            "duration=6m",
        ],
    ),
    ("burst", &["network.nodes=15", "event.0.messages=400", "expect.repaired_min=100", "duration=5m"]),
    ("late-start", &["network.nodes=31", "event.0.nodes=30", "traffic.size=500"]),
    ("hour-offline", &["network.nodes=12", "traffic.rate=0.5"]),
    (
        "relay-loss",
        &["network.nodes=20", "traffic.rate=5", "traffic.until=2m", "duration=4m", "expect.repaired_min=1000"],
    ),
    (
        "loss-1",
        &[
            "network.nodes=30",
            "traffic.rate=5",
            "traffic.until=4m",
            "duration=6m",
            "expect.repaired_min=200",
            "expect.bytes_per_repair=150",
            "expect.ihaves_per_interval=[0, 8]",
            "expect.completeness_max=3m",
        ],
    ),
    (
        "loss-1000",
        &[
            "network.nodes=100",
            "traffic.rate=2",
            "traffic.until=3m",
            "duration=6m",
            "expect.repaired_min=200",
            "expect.completeness_max=3m",
        ],
    ),
    ("windows", &["duration=4m", "traffic.rate=1"]),
    ("skew", &["network.nodes=24", "duration=8m"]),
    ("refusals", &["network.nodes=20", "duration=6m", "node.0.nodes=0..4", "node.0.refuses=0.2"]),
    ("mixed", &[]),
    ("operations", &["network.nodes=30", "traffic.rate=2", "expect.repaired_min=200"]),
    ("churn", &["network.nodes=130", "traffic.publishers=100..130", "traffic.rate=1", "expect.repaired_min=1000"]),
    (
        "hostile-fifth",
        &["network.nodes=40", "node.0.nodes=0..8", "traffic.publishers=8..40", "expect.repaired_min=200"],
    ),
    (
        "hostile-200",
        &["network.nodes=40", "node.1.nodes=0..8", "duration=7m", "traffic.until=5m", "expect.repaired_min=2000"],
    ),
    ("replayed", &["network.nodes=15", "expect.repaired_min=100"]),
    ("rare-news", &["network.nodes=100", "node.0.nodes=1..100"]),
    ("thousand-gap", &["network.nodes=100", "node.0.nodes=10..100", "duration=3m", "expect.busiest_share=0.1"]),
    ("thirty", &["network.nodes=15", "duration=60s", "traffic.until=40s", "expect.repaired_min=50"]),
    ("waku-target", &["traffic.stored=5400", "traffic.rate=1"]),
    ("equal-1000", &["network.nodes=300", "duration=3m"]),
    ("equal-10000", &["network.nodes=400", "duration=3m"]),
    ("live-10000", &["network.nodes=150", "duration=6m", "traffic.until=4m", "expect.repaired_min=200"]),
];

/// What must not grow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pin {
    /// Background bytes that a node sends in the whole run, on average.
    background: f64,
    /// Bytes of requests and answers for each repaired message.
    bytes_per_repair: f64,
    /// Round trips of 99 % of the repairs.
    round_trips_p99: f64,
    /// IHAVEs an interval, on average.
    ihaves: f64,
}

impl Pin {
    fn of(outcome: &Outcome) -> Pin {
        let by_kind = &outcome.bytes_per_node.by_kind;
        let background = ["ihave", "probe", "request", "answer", "framing"].iter().map(|kind| by_kind[kind]).sum();
        let rounded = |value: f64| (value * 100.0).round() / 100.0;
        Pin {
            background: rounded(background),
            bytes_per_repair: rounded(outcome.bytes_per_repair),
            round_trips_p99: outcome.round_trips.p99,
            ihaves: rounded(outcome.ihaves_per_interval.mean),
        }
    }

    /// What has grown by more than a tenth.
    fn grown(&self, pinned: &Pin) -> Vec<String> {
        let costs = [
            ("background bytes", self.background, pinned.background),
            ("bytes to find a message", self.bytes_per_repair, pinned.bytes_per_repair),
            ("round trips", self.round_trips_p99, pinned.round_trips_p99),
            ("IHAVEs an interval", self.ihaves, pinned.ihaves),
        ];
        let grown = costs.into_iter().filter(|(_, now, pinned)| *now > pinned * 1.1 + 1e-9);
        grown.map(|(what, now, pinned)| format!("{what} grew from {pinned} to {now}")).collect()
    }
}

fn pins_file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/pins.toml")
}

fn run_all() -> BTreeMap<&'static str, Outcome> {
    let (next, done) = (Mutex::new(SMALL.iter()), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some((name, settings)) = next.lock().unwrap().next() else { break };
                    let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
                    let scenario = Scenario::load(name, &settings).unwrap();
                    let outcome = simulate(&scenario, None, false).unwrap();
                    done.lock().unwrap().insert(*name, outcome);
                }
            });
        }
    });
    done.into_inner().unwrap()
}

#[test]
fn every_scenario_meets_its_expectations_at_no_more_than_it_used_to_cost() {
    let outcomes = run_all();
    let mut complaints = String::new();
    for (name, outcome) in outcomes.iter().filter(|(_, outcome)| !outcome.passed) {
        let _ = writeln!(complaints, "{name}\n{}", outcome.summary());
    }
    let found: BTreeMap<&str, Pin> = outcomes.iter().map(|(name, outcome)| (*name, Pin::of(outcome))).collect();
    if std::env::var("HEARKEN_PINS").is_ok_and(|value| value == "write") {
        let head = "# Costs of the small forms. HEARKEN_PINS=write cargo test -p hearken-sim --test it small::\n\n";
        std::fs::write(pins_file(), head.to_owned() + &toml::to_string(&found).unwrap()).unwrap();
    }
    let pinned: BTreeMap<String, Pin> = toml::from_str(&std::fs::read_to_string(pins_file()).unwrap()).unwrap();
    for (name, pin) in &found {
        match pinned.get(*name) {
            Some(pinned) => pin.grown(pinned).iter().for_each(|what| {
                let _ = writeln!(complaints, "{name}: {what}");
            }),
            None => {
                let _ = writeln!(complaints, "{name}: nothing is pinned");
            }
        }
    }
    let known = pinned.keys().filter(|name| !found.contains_key(name.as_str()));
    known.for_each(|name| {
        let _ = writeln!(complaints, "{name}: is pinned, and is no scenario");
    });
    assert!(
        complaints.is_empty(),
        "{complaints}\nif that is meant: HEARKEN_PINS=write cargo test -p hearken-sim --test it small::"
    );
}

#[test]
fn growth_by_more_than_a_tenth_is_seen() {
    let pin = Pin { background: 100.0, bytes_per_repair: 10.0, round_trips_p99: 2.0, ihaves: 3.0 };
    assert!(Pin { background: 109.0, ihaves: 1.0, ..pin }.grown(&pin).is_empty());
    let grown = Pin { bytes_per_repair: 11.2, round_trips_p99: 3.0, ..pin }.grown(&pin);
    assert!(grown.len() == 2 && grown[0].contains("from 10 to 11.2"), "{grown:?}");
}

/// The small forms are of all scenarios.
#[test]
fn none_is_left_out() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_hearken-sim")).arg("list").output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    let listed: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let small: Vec<&str> = SMALL.iter().map(|(name, _)| *name).collect();
    let missing: Vec<_> = listed.iter().filter(|name| !small.contains(name)).collect();
    assert!(missing.is_empty() && listed.len() == small.len(), "{missing:?}");
}
