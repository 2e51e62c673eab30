//! The example that embedders copy runs.
#![allow(clippy::unwrap_used)]

use std::process::Command;

#[test]
fn the_example_repairs_its_second_node() {
    // Cargo builds examples for tests, beside the folder that this test's own program lies in.
    let own = std::env::current_exe().unwrap();
    let program = own.parent().and_then(|deps| deps.parent()).unwrap().join("examples/embed");
    let output = Command::new(&program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("holds all 1000 messages"), "{text}");
}

#[test]
fn the_example_is_short() {
    assert!(include_str!("../../examples/embed.rs").lines().count() <= 80);
}
