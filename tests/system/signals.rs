//! SIGTERM and Ctrl-C stop a node cleanly: exit code 0, soon, and the archive whole.

use crate::harness::{Node, Trace, export, import, repaired_in, turn};

#[test]
fn sigterm_stops_cleanly() {
    stops_cleanly("TERM");
}

#[test]
fn ctrl_c_stops_cleanly() {
    stops_cleanly("INT");
}

fn stops_cleanly(signal: &str) {
    let data = tempfile::tempdir().unwrap();
    let trace = Trace::generate(10, 100);
    import(data.path(), &trace);
    let node = Node::start(data.path(), &[]);
    let finished = node.stop_by(signal).success();
    assert!(!finished.stderr.contains("panicked"), "{finished:#?}");
    assert_eq!(export(data.path()), trace.messages());
}

#[test]
fn a_node_stopped_in_the_middle_of_its_repair_stops_cleanly_and_finishes_later() {
    let _turn = turn();
    let trace = Trace::generate(11, 20_000);
    let (source, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    import(source.path(), &trace);
    let source = Node::start(source.path(), &[]);
    let node = Node::start(data.path(), &[source.address()]);
    node.repairs(1);
    let said = repaired_in(&node.stop().success());
    let held = export(data.path());
    assert!(held.len() >= said.stored, "what it had said it stored is not there");
    assert!(held.is_subset(&trace.messages()));
    let node = Node::start(data.path(), &[source.address()]);
    node.repairs(trace.len() - held.len());
    node.stop().success();
    assert!(export(data.path()) == trace.messages());
}
