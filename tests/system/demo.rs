//! `hearken demo`: what a stranger sees first.

use serde_json::Value;

use crate::harness::{hearken, turn};

#[test]
fn five_nodes_become_equal_and_the_report_says_how() {
    let _turn = turn();
    let report = demo(&["--messages", "3000", "--live", "100", "--rate", "100", "--seed", "7"]);
    assert_eq!(report["nodes"], 5);
}

#[test]
fn a_lossier_run_with_other_numbers_becomes_equal_too() {
    let _turn = turn();
    let report =
        demo(&["--nodes", "3", "--messages", "1000", "--live", "50", "--rate", "100", "--loss", "0.3", "--seed", "8"]);
    assert_eq!(report["nodes"], 3);
}

/// The real trace, where somebody has it: `HEARKEN_TRACE=chat.ndjson.zst tests/run --full`.
#[test]
#[ignore = "long: tests/run --full"]
fn five_nodes_become_equal_on_the_real_trace_or_a_large_one() {
    let _turn = turn();
    let trace = std::env::var("HEARKEN_TRACE").ok();
    let history = match &trace {
        Some(file) => ["--trace", file],
        None => ["--messages", "50000"],
    };
    println!("the demo's history: {}", history.join(" "));
    demo(&[&history[..], &["--live", "500", "--rate", "50", "--seed", "1"]].concat());
}

/// Messages flow and get lost for minutes, and all of them must arrive.
#[test]
#[ignore = "long: tests/run --full"]
fn a_soak_of_minutes_with_heavy_loss_ends_equal() {
    let _turn = turn();
    demo(&["--messages", "2000", "--live", "9000", "--rate", "50", "--loss", "0.2", "--seed", "9"]);
}

/// Runs the demo to its end and checks everything that holds of any run.
#[track_caller]
fn demo(arguments: &[&str]) -> Value {
    let finished = hearken(["demo", "--json"].iter().chain(arguments)).success();
    let report: Value = serde_json::from_str(finished.stdout.trim()).expect("--json prints one object");
    println!("{report}");
    assert_eq!(report["converged"], true);
    for (section, fields) in [
        ("seconds", ["load", "repair", "total"].as_slice()),
        ("bytes", ["ihave", "request", "answer", "payload"].as_slice()),
    ] {
        for field in fields {
            assert!(report[section][field].as_f64().is_some_and(|value| value > 0.0), "{section}.{field} in {report}");
        }
    }
    let number = |key: &str| report[key].as_u64().unwrap_or_else(|| panic!("{key} is no number in {report}"));
    let (repaired, duplicates) = (number("repaired"), number("duplicates"));
    assert!(duplicates * 20 < repaired, "duplicates must be under 5 % of the messages repaired: {report}");
    assert!(number("exchanges") > 0);
    let nodes = report["per_node"].as_array().expect("per_node is a list");
    assert_eq!(nodes.len() as u64, number("nodes"));
    for node in nodes {
        assert_eq!((&node["root"], node["count"].as_u64()), (&nodes[0]["root"], Some(number("messages"))), "{report}");
    }
    let sum: u64 = nodes.iter().filter_map(|node| node["repaired"].as_u64()).sum();
    assert_eq!(sum, repaired, "the nodes' repairs add up: {report}");
    report
}
