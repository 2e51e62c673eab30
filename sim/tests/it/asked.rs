//! What is asked of the scheduler, at the size that is asked: each line is a scenario that ships, and what it expects.
//!
//! ```sh
//! cargo test --release -p hearken-sim --test it asked:: -- --ignored --nocapture
//! ```
//! One line alone is `hearken-sim run NAME --seed N`, whose exit code tells the same.
#![allow(clippy::unwrap_used)]

use std::{sync::Mutex, thread};

use hearken_sim::{
    run::{Outcome, simulate},
    scenario::Scenario,
};

/// A scenario, what is changed in it, and for how many seeds.
type Line = (&'static str, String, u64);

const HOSTILE: [&str; 8] =
    ["random_roots", "replayer", "false_spans", "withholder", "garbage_sketch", "flooder", "future", "grinder"];

fn lines() -> Vec<Line> {
    let shipped: [(&str, u64); 10] = [
        ("equal-10000", 3),
        ("equal-1000", 5),
        ("loss-1", 2),
        ("hour-offline", 3),
        ("thousand-gap", 3),
        ("rare-news", 3),
        ("partition", 3),
        ("chain", 3),
        ("refusals", 3),
        ("skew", 3),
    ];
    let mut lines: Vec<Line> = shipped.into_iter().map(|(name, seeds)| (name, String::new(), seeds)).collect();
    lines.push(("hostile-200", String::new(), 2));
    lines.extend(HOSTILE.map(|kind| ("hostile-200", format!("node.1.hostile=[\"{kind}\"]"), 1)));
    lines
}

fn figures(outcome: &Outcome) -> String {
    let (ihaves, complete) = (&outcome.ihaves_per_interval, outcome.completeness_s);
    let mut text = format!(
        "IHAVEs {} to {}, {:.1} B to find one, everywhere {:.1} s at most, whole {:.1} s, {:.0} B/s, busiest {:.1} % and {:.1} times the median",
        ihaves.min,
        ihaves.max,
        outcome.bytes_per_repair,
        complete.max,
        outcome.recovery_s.max,
        outcome.background_bytes_per_s.p99,
        outcome.providers.busiest_share * 100.0,
        outcome.providers.busiest_over_median,
    );
    if let Some(beside) = outcome.beside_honest {
        let lies = &outcome.lies;
        text += &format!(
            "; beside honest: time {:.2}, bytes {:.2}, late bytes {:.2}; {} lied to, {} did not mute, the others in {:.0} s at most",
            beside.recovery, beside.bytes, beside.late_bytes, lies.lied_to, lies.unmuted, lies.muted_after_s.max
        );
    }
    text
}

#[test]
#[ignore = "long"]
fn everything_that_is_asked_of_the_scheduler() {
    let runs: Vec<(Line, u64)> =
        lines().into_iter().flat_map(|line| (1..=line.2).map(move |seed| (line.clone(), seed))).collect();
    let (next, failed, ihaves) = (Mutex::new(runs.iter()), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(((name, setting, _), seed)) = next.lock().unwrap().next() else { break };
                    let settings: Vec<String> =
                        Some(setting).filter(|set| !set.is_empty()).cloned().into_iter().collect();
                    let mut scenario = Scenario::load(name, &settings).unwrap();
                    scenario.seed = *seed;
                    let outcome = simulate(&scenario, None, false).unwrap();
                    println!("{name} {setting} seed {seed}: {}", figures(&outcome));
                    for check in outcome.checks.iter().filter(|check| !check.ok) {
                        let what = format!("{name} {setting} seed {seed}: {} is {}", check.name, check.found);
                        failed.lock().unwrap().push(format!("{what}, not {}", check.expected));
                    }
                    ihaves.lock().unwrap().push((*name, outcome.ihaves_per_interval.mean));
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    let ihaves = ihaves.into_inner().unwrap();
    let mean = |name: &str| {
        let all: Vec<f64> = ihaves.iter().filter(|(of, _)| *of == name).map(|(_, mean)| *mean).collect();
        all.iter().sum::<f64>() / f64::from(u32::try_from(all.len()).unwrap())
    };
    let (small, large) = (mean("equal-1000"), mean("equal-10000"));
    println!("equal nodes: {small:.2} IHAVEs an interval with 1,000, {large:.2} with 10,000");
    assert!(small / large < 1.5 && large / small < 1.5, "{small} and {large}");
}
