//! SIGTERM and Ctrl-C stop a node cleanly: exit code 0, soon, and the archive whole.

use crate::harness::{Node, Trace, export, import};

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
