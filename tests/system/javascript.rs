//! The published JavaScript clients of Waku, as their users run them, against real nodes: WebSocket, noise, mplex.
//!
//! They lie in `tests/js`, and `tests/run` installs what they need from the npm registry: by hand, `npm ci --ignore-scripts` in
//! `tests/js/store` and in `tests/js/relay`.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Lines, Node, PATIENCE, TOPIC, Trace, hearken, import, turn};
use crate::strangers::of_another_network;

/// WebSocket beside TCP.
const WS: &str = "--listen=/ip4/127.0.0.1/tcp/0/ws";
const ROOM: &str = "/hearken/1/room-0/proto";
/// Of the nodes here (`harness`): longer than this they never wait before they look for differences.
const INTERVAL: Duration = Duration::from_secs(4);

#[test]
fn a_javascript_client_finds_a_thousand_messages_by_topic_and_by_hash() {
    let _turn = turn();
    let data = tempfile::tempdir().unwrap();
    let trace = Trace::in_one_room(50, 1000, ROOM);
    import(data.path(), &trace);
    let node = Node::start_with(data.path(), &[], &[WS]);
    let found = query(&node, 1000, PATIENCE);
    // The node's own view, through another client: the program's.
    let listed = hearken(["query", node.address(), "--pubsub-topic", TOPIC, "--hashes-only"]).success();
    let held: BTreeSet<&str> = listed.stdout.lines().collect();
    assert_eq!(held.len(), 1000);
    assert_eq!(found.by_topic.len(), 1000);
    assert_eq!(found.by_topic.iter().map(String::as_str).collect::<BTreeSet<_>>(), held);
    assert_eq!(found.by_hash.len(), 1000);
    assert_eq!(found.by_hash.iter().map(String::as_str).collect::<BTreeSet<_>>(), held);
    assert_eq!(found.muxers, ["/mplex/6.7.0"]);
    node.stop().success();
}

#[test]
fn a_javascript_relay_and_two_nodes_exchange_messages_both_ways() {
    let _turn = turn();
    let [a, b] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let a = Node::start_with(a.path(), &[], &[WS]);
    let b = Node::start_with(b.path(), &[a.address()], &[WS]);
    let mut relay = Js::start("relay", "relay.mjs", &["66", "0", ROOM, &a.ws_address(), &b.ws_address()]);
    relay.expect("both nodes in its mesh", |line| (line["ready"] == true).then_some(()));

    relay.write("from JavaScript\n");
    let sent = relay.expect("the message sent", |line| line["sent"].is_string().then(|| line["to"].as_u64()));
    assert_eq!(sent, Some(2));
    for node in [&a, &b] {
        until_held(node, 1);
    }
    let ours = ["from the first node", "from the second node"];
    for (node, text) in [&a, &b].into_iter().zip(ours) {
        let published = ["publish", node.address(), text, "--content-topic", ROOM, "--pubsub-topic", TOPIC];
        hearken(published).success();
        relay.expect(text, |line| (line["received"] == text).then_some(()));
    }
    for node in [&a, &b] {
        until_held(node, 3);
    }
    drop(relay);
    a.stop().success();
    b.stop().success();
}

/// Node B loses every live delivery, so nothing reaches it but by sync.
#[test]
fn a_message_relayed_while_a_node_was_down_is_found_there_within_an_interval() {
    let _turn = turn();
    let [a, b_data] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let a = Node::start_with(a.path(), &[], &[WS]);
    let flags = [WS, "--test-drop-live=1"];
    Node::start_with(b_data.path(), &[a.address()], &flags).stop().success();

    let published = ["publish", a.address(), "while B is down", "--content-topic", ROOM, "--pubsub-topic", TOPIC];
    let id = hearken(published).success().stdout.trim().to_owned();
    let b = Node::start_with(b_data.path(), &[a.address()], &flags);
    let found = query(&b, 1, INTERVAL);
    assert_eq!((found.by_topic, found.by_hash), (vec![id.clone()], vec![id]));
    b.repairs(1);
    a.stop().success();
    b.stop().success();
}

/// It tells its network when it asks for the node's: light clients are not asked.
#[test]
fn a_javascript_client_of_another_network_is_disconnected() {
    let _turn = turn();
    let data = tempfile::tempdir().unwrap();
    let node = Node::start_with(data.path(), &[], &[WS]);
    let _client = Js::start("store", "query.mjs", &[&node.ws_address(), "1", "0", ROOM, "1", "0"]);
    node.expect("that the client is of another network", of_another_network);
    node.stop().success();
}

/// What a light client found.
struct Found {
    by_topic: Vec<String>,
    by_hash: Vec<String>,
    muxers: Vec<String>,
}

/// Queries the node until it finds `count` messages, or the time is up.
fn query(node: &Node, count: usize, patience: Duration) -> Found {
    let (count, patience) = (count.to_string(), patience.as_millis().to_string());
    let found = |line: Value| {
        let list = |name: &str| -> Option<Vec<String>> {
            line[name].as_array()?.iter().map(|value| value.as_str().map(str::to_owned)).collect()
        };
        Some(Found { by_topic: list("byTopic")?, by_hash: list("byHash")?, muxers: list("muxers")? })
    };
    let client = Js::start("store", "query.mjs", &[&node.ws_address(), "66", "0", ROOM, &count, &patience]);
    client.expect("what it found", found)
}

/// Waits until the node's store has so many messages.
#[track_caller]
fn until_held(node: &Node, count: usize) {
    let started = std::time::Instant::now();
    loop {
        let listed = hearken(["query", node.address(), "--pubsub-topic", TOPIC, "--hashes-only"]).success();
        if listed.stdout.lines().count() == count {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "expected {count} messages, found {}", listed.stdout);
    }
}

/// A JavaScript program, killed when it is dropped. It prints one JSON object a line.
struct Js {
    child: Child,
    lines: Lines,
}

impl Js {
    #[track_caller]
    fn start(folder: &str, script: &str, arguments: &[&str]) -> Js {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("js").join(folder);
        assert!(
            folder.join("node_modules").is_dir(),
            "the JavaScript clients are not installed: run `npm ci --ignore-scripts` in {}, or `tests/run`, which does so; \
             without npm, `tests/run --without-js`",
            folder.display()
        );
        let mut command = Command::new("node");
        command.current_dir(folder).arg(script).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("node runs: install Node.js 20 or later");
        let lines = Lines::default();
        lines.collect(child.stdout.take().expect("piped"));
        lines.collect(child.stderr.take().expect("piped"));
        Js { child, lines }
    }

    fn write(&mut self, text: &str) {
        self.child.stdin.as_mut().expect("piped").write_all(text.as_bytes()).expect("it reads");
    }

    #[track_caller]
    fn expect<T>(&self, what: &str, wanted: impl Fn(Value) -> Option<T>) -> T {
        let found = self.lines.find(PATIENCE, |line| wanted(serde_json::from_str(line).ok()?));
        found.unwrap_or_else(|| panic!("expected {what} within {PATIENCE:?}; it said:\n{}", self.lines.tail()))
    }
}

impl Drop for Js {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
