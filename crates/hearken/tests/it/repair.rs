//! Nodes with holes become equal.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use crate::common::{self, Gossip, Node, archive, config, connect_all, durable, group, messages, until};
use hearken::archive::{Header, Validator};
use hearken::{Config, Status, scheduler};

/// All messages but those whose index is `lacking` modulo `of`.
fn holes(all: &[Vec<u8>], lacking: usize, of: usize) -> Vec<Vec<u8>> {
    all.iter().enumerate().filter(|(index, _)| index % of != lacking).map(|(_, body)| body.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_repair_a_thousand_messages() {
    let all = messages(1000, 100);
    let (a, b) = (Node::start(archive(&holes(&all, 0, 2))).await, Node::start(archive(&holes(&all, 1, 2))).await);
    b.dial(&a).await;
    until("both hold everything", || a.count() == 1000 && b.count() == 1000).await;
    assert_eq!(a.keys(), b.keys());
    until("both have counted", || a.status().repaired == 500 && b.status().repaired == 500).await;
    for node in [&a, &b] {
        let status = node.status();
        assert_eq!((status.unasked, status.refused, status.failed), (0, 0, 0), "{status:?}");
        assert!(status.duplicates * 20 <= status.repaired, "{status:?}");
        assert!(status.bytes.payload > 500 * 100 && status.bytes.answer > 0 && status.bytes.request > 0);
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_node_gets_everything() {
    let all = messages(3000, 1000);
    let (a, b) = (Node::start(archive(&all)).await, Node::start(archive(&[])).await);
    b.dial(&a).await;
    until("the empty one holds everything", || b.count() == 3000).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_dial_and_both_ask_at_once() {
    let all = messages(1000, 100);
    for round in 0..5 {
        let a = Node::start(archive(&holes(&all, round % 2, 2))).await;
        let b = Node::start(archive(&holes(&all, (round + 1) % 2, 2))).await;
        tokio::join!(a.dial(&b), b.dial(&a));
        a.hearken.sync_now(group());
        b.hearken.sync_now(group());
        until("both hold everything", || a.count() == 1000 && b.count() == 1000).await;
        tokio::join!(a.stop(), b.stop());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_stopped_goes_on() {
    let all = messages(5000, 1000);
    let (folder, full) = (tempfile::tempdir().unwrap(), Node::start(archive(&all)).await);
    let path = folder.path().join("archive");
    let node = Node::start(durable(&path)).await;
    node.dial(&full).await;
    until("the repair has begun", || node.count() > 0).await;
    let hearken = node.hearken.clone();
    node.stop().await;
    // Nobody else holds the file: it can be opened at once, and what was counted as repaired is in it.
    let repaired = hearken.status().repaired;
    drop(hearken);
    let node = Node::start(durable(&path)).await;
    assert_eq!(node.count(), repaired);
    node.dial(&full).await;
    until("the rest has come", || node.count() == 5000).await;
    node.stop().await;
    full.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_nodes_become_equal() {
    let all = messages(500, 200);
    let mut nodes = Vec::new();
    for lacking in 0..5 {
        nodes.push(Node::start(archive(&holes(&all, lacking, 5))).await);
    }
    connect_all(&nodes).await;
    until("all hold everything", || nodes.iter().all(|node| node.count() == 500)).await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn news_travel_down_a_chain() {
    let all = messages(50, 200);
    let mut nodes = vec![Node::start(archive(&all)).await];
    for _ in 0..3 {
        nodes.push(Node::start(archive(&[])).await);
    }
    for pair in nodes.windows(2) {
        pair[1].dial(&pair[0]).await;
    }
    until("the last holds everything", || nodes.iter().all(|node| node.count() == 50)).await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_kind_of_gossipsub_carries_announcements() {
    let all = messages(100, 100);
    for gossip in [
        Gossip { validate: false, signed: false },
        Gossip { validate: false, signed: true },
        Gossip { validate: true, signed: true },
    ] {
        // Without probes only announcements can start a repair, and only the first node announces: the third hears of it only
        // if the second forwards.
        let mut config = config();
        config.engine.probe = false;
        config.engine.sync_on_boot = false;
        config.engine.sync_on_reconnect = false;
        let silent =
            Config { engine: scheduler::Config { announce: false, ..config.engine.clone() }, ..config.clone() };
        let a = Node::start_with(archive(&all), config, gossip).await;
        let b = Node::start_with(archive(&holes(&all, 0, 3)), silent.clone(), gossip).await;
        let c = Node::start_with(archive(&holes(&all, 1, 3)), silent, gossip).await;
        b.dial(&a).await;
        c.dial(&b).await;
        until("all hold everything", || b.count() == 100 && c.count() == 100).await;
        assert!(a.status().bytes.ihave > 0 && c.status().heard > 0 && c.status().announcements == 0);
        for node in [a, b, c] {
            node.stop().await;
        }
    }
}

/// Refuses a twentieth of all messages.
struct Picky;

impl Validator for Picky {
    fn validate(&self, _: &str, header: &Header<'_>, _: &[u8]) -> Result<(), String> {
        if header.id.0[0] < 13 { Err("unlucky".to_owned()) } else { Ok(()) }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_not_asked_for_again() {
    let all = messages(1000, 100);
    let a = Node::start(archive(&all)).await;
    let picky = Node::start(common::archive_with(&[], Some(Arc::new(Picky)))).await;
    picky.dial(&a).await;
    let judged = |status: Status| status.repaired + status.refused;
    until("all are judged", || judged(picky.status()) == 1000).await;
    let (refused, exchanges) = (picky.status().refused, picky.status().exchanges);
    assert!(refused > 0);
    until("it has compared again, several times", || picky.status().exchanges > exchanges + 3).await;
    assert_eq!(picky.status().refused, refused);
    a.stop().await;
    picky.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_node_serves_and_asks_once_it_goes_on() {
    let all = messages(1000, 100);
    let (a, b) = (Node::start(archive(&holes(&all, 0, 2))).await, Node::start(archive(&holes(&all, 1, 2))).await);
    b.hearken.pause();
    b.dial(&a).await;
    until("the other one was served", || a.count() == 1000).await;
    assert_eq!((b.count(), b.status().exchanges), (500, 0));
    b.hearken.resume();
    until("it asks", || b.count() == 1000).await;
    tokio::join!(a.stop(), b.stop());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_among_some_peers_is_closed_to_others() {
    let all = messages(1000, 100);
    let [a, b, c] = [&all[..], &[], &[]].map(archive);
    let (a, b, c) = (Node::start(a).await, Node::start(b).await, Node::start(c).await);
    a.hearken.allow(group(), Some([b.peer].into()));
    c.dial(&a).await;
    until("the stranger was refused", || c.status().exchanges > 0 && a.status().bytes.answer > 0).await;
    b.dial(&a).await;
    until("who is on the list gets everything", || b.count() == 1000).await;
    assert_eq!(c.count(), 0);
    tokio::join!(a.stop(), b.stop(), c.stop());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_change_while_it_runs() {
    let a = Node::start(archive(&[])).await;
    let mut other = a.hearken.settings();
    other.interval_min = std::time::Duration::from_millis(100);
    other.interval_max = other.interval_min;
    a.hearken.reconfigure(other.clone()).unwrap();
    assert_eq!(a.hearken.settings(), other);
    let b = Node::start(archive(&[])).await;
    b.dial(&a).await;
    until("it announces more often", || a.status().announcements > 4).await;
    other.window *= 2;
    let refused = a.hearken.reconfigure(other).unwrap_err().to_string();
    assert_eq!(refused, "`window` cannot change while the node runs: restart it with the new value");
    tokio::join!(a.stop(), b.stop());
}
