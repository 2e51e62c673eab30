//! Settings that cannot work are refused at once, with a message that says which, what was expected, and where.

use std::net::TcpListener;
use std::path::Path;

use crate::harness::{Finished, Trace, export, hearken, import};

/// `hearken run` with this file as its configuration, in a fresh folder.
fn run_with(config: &str) -> Finished {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.toml");
    let data = folder.path().join("data");
    std::fs::write(&file, config).unwrap();
    let finished = hearken([Path::new("run"), Path::new("--config"), &file, Path::new("--data-dir"), &data]);
    assert!(!data.exists(), "refused settings must leave nothing behind");
    finished
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    run_with("[sync]\nwindwo = \"1h\"\n").failure(&["node.toml", "line 2", "windwo", "window"]);
}

#[test]
fn an_unknown_section_is_named() {
    run_with("[synch]\nwindow = \"1h\"\n").failure(&["node.toml", "line 1", "synch"]);
}

#[test]
fn a_duration_without_or_with_a_wrong_unit_is_refused_with_examples() {
    run_with("[sync]\nwindow = 3600\n").failure(&["line 2", "window = 3600", "expected a duration"]);
    run_with("[sync]\nwindow = \"3 fortnights\"\n").failure(&["line 2", "expected a duration", "3 fortnights"]);
    run_with("[messages]\nmax_size = \"150 kilos\"\n").failure(&["line 2", "expected a size", "150 kilos"]);
    hearken(["run", "--sync-window", "3parsecs"]).failure(&["--sync-window", "expected a duration", "3parsecs"]);
}

#[test]
fn a_window_that_does_not_fit_its_retention_is_refused_with_the_sum() {
    run_with("[archive]\nretention = \"1h\"\n").failure(&["archive.retention", "sync.window", "sync.interval_max"]);
}

#[test]
fn a_missing_configuration_file_is_named() {
    hearken(["run", "--config", "/nonexistent/node.toml"]).failure(&["/nonexistent/node.toml", "No such file"]);
}

#[test]
fn a_port_in_use_is_named_and_the_archive_stays_as_it_was() {
    let data = tempfile::tempdir().unwrap();
    let trace = Trace::generate(1, 20);
    import(data.path(), &trace);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let listen = format!("/ip4/127.0.0.1/tcp/{port}");
    let data_dir = data.path().to_str().unwrap();
    hearken(["run", "--data-dir", data_dir, "--listen", &listen]).failure(&[&port, "in use"]);
    assert_eq!(export(data.path()), trace.messages());
}
