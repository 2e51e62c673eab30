//! The commands that ask other nodes: query, publish, backfill, diff.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::harness::{Node, TOPIC, Trace, export, hearken, import, turn};

const MINUTE: u64 = 60_000_000_000;

/// So many minutes ago, as the commands take times.
fn ago(minutes: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    (u64::try_from(now).unwrap() - minutes * MINUTE).to_string()
}

fn backfill(data: &Path, peer: &str, from: u64, to: u64) -> crate::harness::Finished {
    let data = data.display().to_string();
    hearken(["backfill", "--data-dir", &data, "--from", &ago(from), "--to", &ago(to), "--peer", peer])
}

/// The numbers in `12 messages stored: 10 by sync, 2 by Store v3; 0 refused`.
fn numbers(text: &str) -> Vec<usize> {
    let line = text.lines().find(|line| line.contains("messages stored:")).expect("a summary");
    line.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// The node keeps 20 minutes equal: younger history comes by sync, older by Store v3; and the two then hold the same.
#[test]
fn history_comes_by_sync_and_beyond_the_window_by_store() {
    let _turn = turn();
    let [there, here] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let trace = Trace::generate(60, 1000);
    import(there.path(), &trace);
    let own = trace.pick(|index| index % 10 != 3);
    import(here.path(), &own);
    let node = Node::start_with(there.path(), &[], &["--sync-window=20m"]);

    let data = here.path().display().to_string();
    let (from, to) = (ago(55), ago(5));
    let diff = ["diff", node.address(), "--data-dir", &data, "--from", &from, "--to", &to, "--show=1000"];
    let found = hearken(diff).failure_with(3, &[]);
    assert!(found.stdout.contains("100 messages differ"), "{found:#?}");
    let only_there = found.stdout.lines().filter(|line| line.contains("only there"));
    assert_eq!(only_there.filter(|line| line.contains("missing here: sync brings it")).count(), 100, "{found:#?}");

    let said = backfill(here.path(), node.address(), 55, 5).success();
    let [stored, by_sync, by_store, ..] = numbers(&said.stderr)[..] else { panic!("{said:#?}") };
    assert_eq!(stored, 100, "{said:#?}");
    assert!(by_sync > 0 && by_store > 0, "{said:#?}");
    assert_eq!(by_sync + by_store, 100);
    assert_eq!(export(here.path()), trace.messages());
    let equal = hearken(diff).success();
    assert!(equal.stdout.contains("0 messages differ"), "{equal:#?}");

    let again = backfill(here.path(), node.address(), 55, 5).success();
    assert_eq!(numbers(&again.stderr)[0], 0, "{again:#?}");
    node.stop().success();
}

/// The same while the folder's own node runs: it does the work, asked by the same commands.
#[test]
fn a_running_node_fetches_and_compares_as_well() {
    let _turn = turn();
    let [there, here] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let trace = Trace::generate(63, 1000);
    import(there.path(), &trace);
    import(here.path(), &trace.pick(|index| index % 10 != 3));
    let other = Node::start_with(there.path(), &[], &["--sync-window=20m"]);
    let node = Node::start(here.path(), &[]);
    let api = node.http().base().trim_start_matches("http://").to_owned();

    let data = here.path().display().to_string();
    let (from, to) = (ago(55), ago(5));
    let common = ["--data-dir", &data, "--api-listen", &api, "--from", &from, "--to", &to];
    let diff = [&["diff", other.address(), "--show=1000"][..], &common].concat();
    let found = hearken(&diff).failure_with(3, &[]);
    assert!(found.stdout.contains("100 messages differ"), "{found:#?}");
    assert_eq!(found.stdout.lines().filter(|line| line.contains("only there")).count(), 100, "{found:#?}");

    let backfill = [&["backfill", "--peer", other.address()][..], &common].concat();
    let said = hearken(&backfill).success();
    let [stored, by_sync, by_store, ..] = numbers(&said.stderr)[..] else { panic!("{said:#?}") };
    assert_eq!((stored, by_sync + by_store), (100, 100), "{said:#?}");
    assert!(by_sync > 0 && by_store > 0, "{said:#?}");
    assert!(hearken(&diff).success().stdout.contains("0 messages differ"));

    // What cannot be done says why, as it does without the node.
    let nowhere = [&["backfill", "--peer", "/ip4/127.0.0.1/tcp/1"][..], &common].concat();
    hearken(&nowhere).failure(&["/ip4/127.0.0.1/tcp/1", "cannot be reached"]);
    let elsewhere = other.http().base().trim_start_matches("http://").to_owned();
    let wrong = ["diff", other.address(), "--data-dir", &data, "--api-listen", &elsewhere];
    hearken(wrong).failure(&["another node is meant"]);
    let deaf = ["diff", other.address(), "--data-dir", &data, "--api-listen", "127.0.0.1:1"];
    hearken(deaf).failure(&["a node runs on this data folder", "api.listen"]);
    hearken(["diff", other.address(), "--data-dir", &data, "--api-listen", "off"]).failure(&["api.listen", "stop it"]);

    other.stop().success();
    node.stop().success();
    assert_eq!(export(here.path()), trace.messages());
}

/// A node starts from nothing with the whole history of another: what one needs to move from a running store node.
#[test]
fn an_empty_node_takes_the_history_of_another_by_store() {
    let _turn = turn();
    let [there, here] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let trace = Trace::generate(61, 1000);
    import(there.path(), &trace);
    // A window that reaches none of it: all of it comes by Store v3, as from a node without sync.
    let node = Node::start_with(there.path(), &[], &["--sync-window=1m"]);
    let said = backfill(here.path(), node.address(), 55, 9).success();
    assert_eq!(numbers(&said.stderr)[..3], [1000, 0, 1000], "{said:#?}");
    assert_eq!(export(here.path()), trace.messages());
    node.stop().success();
}

#[test]
fn what_only_this_node_has_is_shown_with_the_reason() {
    let _turn = turn();
    let [there, here] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let trace = Trace::generate(62, 50);
    import(here.path(), &trace);
    import(there.path(), &trace.pick(|index| index != 7));
    let node = Node::start(there.path(), &[]);
    let data = here.path().display().to_string();
    let said = hearken(["diff", node.address(), "--data-dir", &data]).failure_with(3, &[]);
    assert!(said.stdout.contains("50 here, 49 there"), "{said:#?}");
    assert!(said.stdout.contains("missing there"), "{said:#?}");
    let old = hearken(["diff", node.address(), "--data-dir", &data, "--sync-window=2m", "--from", &ago(55)]);
    assert!(old.failure_with(3, &[]).stdout.contains("older than the sync window"));
    node.stop().success();
}

#[test]
fn what_cannot_be_done_says_why() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path(), &[]);
    let nowhere = "/ip4/127.0.0.1/tcp/1";
    hearken(["query", nowhere, "--pubsub-topic", TOPIC]).failure(&[nowhere, "cannot be reached"]);
    hearken(["query", node.address()]).failure(&["--pubsub-topic", "everything"]);
    hearken(["query", "here", "--pubsub-topic", TOPIC]).failure_with(2, &["a multiaddress", "here"]);
    let unknown = "ab".repeat(32);
    hearken(["query", node.address(), "--pubsub-topic", TOPIC, "--cursor", &unknown]).failure(&["400", "cursor"]);
    let publish = ["publish", node.address(), "hello", "--content-topic", "/a/1/b/proto"];
    hearken(publish).failure(&["does not relay", "/waku/2/rs/1/"]);
    let other = tempfile::tempdir().unwrap();
    backfill(other.path(), node.address(), 5, 50).failure(&["--from", "before"]);
    backfill(other.path(), node.address(), 60 * 24 * 30, 50).failure(&["archive.retention"]);
    backfill(other.path(), nowhere, 50, 5).failure(&[nowhere, "cannot be reached"]);
    node.stop().success();
}
