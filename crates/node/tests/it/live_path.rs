//! The live path under load: 500 messages a second of 1 KB through three nodes in a row, none lost, and what sync costs beside it.
//!
//! `cargo test --release -p hearken-node --test it live_path:: -- --ignored --nocapture` prints the figures. The machine should have
//! nothing else to do: CPU time is compared between runs with sync and without. Times are held against bounds only where it is built for
//! release.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hearken_archive::{Admission, PageLimit, Query};
use hearken_node::config::{Config, GroupConfig};
use hearken_node::folder::DataFolder;
use hearken_node::node::{Node, NodeOptions};
use hearken_tree::KeyRange;
use hearken_waku::WakuMessage;
use libp2p::multiaddr::Protocol;
use prost::Message;
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

const TOPIC: &str = "/waku/2/rs/66/0";
const RATE: u64 = 500;
const SECONDS: u64 = 30;
const PAYLOAD: usize = 1000;
/// Whether times mean anything: tests are otherwise built with checks, and run beside each other.
const MEASURED: bool = !cfg!(debug_assertions);
/// Messages are published so many times a second, at once.
const BATCHES: u64 = 10;
const EARLY: &str = "/hearken/1/early/proto";
const LOAD: &str = "/hearken/1/load/proto";

/// What one run took.
#[derive(Debug)]
struct Run {
    cpu: Duration,
    /// Bytes of messages that were relayed: each once over each of the two links.
    relayed: u64,
    /// Bytes that sync sent, of all nodes.
    sync: u64,
}

#[test]
#[ignore = "long: two minutes of load"]
fn none_is_lost_at_500_a_second_and_sync_costs_little() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    // Turn by turn, so that a machine that changes its pace changes it for both; the quicker of each is the less disturbed.
    let runs: Vec<[Run; 2]> = (0..2).map(|_| [true, false].map(|sync| runtime.block_on(run(sync)))).collect();
    for pair in &runs {
        println!("with sync {:?}\nwithout   {:?}", pair[0], pair[1]);
    }
    let cpu = |place: usize| runs.iter().map(|pair| pair[place].cpu.as_secs_f64()).fold(f64::INFINITY, f64::min);
    let bytes = runs.iter().map(|[with, _]| with.sync as f64 / with.relayed as f64).fold(0.0, f64::max);
    let share = cpu(0) / cpu(1) - 1.0;
    println!(
        "sync: {:.2} % of the bytes relayed; {:.1} % more CPU time ({:.2} s and {:.2} s)",
        bytes * 100.0,
        share * 100.0,
        cpu(0),
        cpu(1)
    );
    assert!(bytes < 0.05, "sync took {:.2} % of the bytes", bytes * 100.0);
    assert!(share < 0.05 || !MEASURED, "sync took {:.1} % more CPU time", share * 100.0);
}

async fn run(sync: bool) -> Run {
    let (mut nodes, mut folders): (Vec<Node>, Vec<TempDir>) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (node, folder) = start(nodes.last(), sync).await;
        nodes.push(node);
        folders.push(folder);
    }
    for node in &nodes[1..] {
        until("connected", || node.sync().status().peers > 0).await;
    }
    // The first messages show that each relays to the next: they are sent until the last node has one.
    let mut early = 0;
    let warm = timeout(Duration::from_secs(30), async {
        let mut tick = interval(Duration::from_millis(200));
        while nodes[2].live().received == 0 {
            tick.tick().await;
            publish(&nodes[0], EARLY, 1).await;
            early += 1;
        }
    });
    warm.await.expect("the mesh stands");

    let cpu = cpu_time();
    let mut tick = interval(Duration::from_millis(1000 / BATCHES));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let started = Instant::now();
    for _ in 0..BATCHES * SECONDS {
        tick.tick().await;
        publish(&nodes[0], LOAD, RATE / BATCHES).await;
    }
    let took = started.elapsed();
    let slow = took >= Duration::from_secs(SECONDS + 3);
    assert!(!slow || !MEASURED, "the load took {took:?}: the machine is too slow for it");
    // Without sync, nothing but the live path brings them: all being there, none was lost.
    let wanted = RATE * SECONDS;
    for node in &nodes {
        until("all messages", || held(node) == wanted).await;
    }
    let cpu = cpu_time() - cpu;
    let statuses = nodes.iter().map(|node| node.sync().status());
    let (bytes, repaired) = statuses.fold((0, 0), |(bytes, sum), s| (bytes + s.bytes.total(), sum + s.repaired));
    assert!(repaired <= 2 * early, "{repaired} were repaired where only {early} came before the mesh stood");
    for node in nodes {
        let live = node.live();
        assert_eq!((live.lost, live.refused), (0, 0), "{live:?}");
        node.stop().await;
    }
    Run { cpu, relayed: wanted * (PAYLOAD as u64) * 2, sync: bytes }
}

/// A node that dials `next`. Sync looks for differences more than ten times as often as by default, and settles sooner; or never.
async fn start(next: Option<&Node>, sync: bool) -> (Node, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config {
        data_dir: folder.path().to_owned(),
        groups: vec![GroupConfig::whole(TOPIC)],
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        ..Config::default()
    };
    config.peers.extend(next.map(|next| next.listening()[0].clone().with(Protocol::P2p(next.peer_id()))));
    let never = Duration::from_secs(24 * 3600);
    (config.sync.settle_delay, config.sync.horizon_grid) = (Duration::from_secs(5), Duration::from_secs(1));
    (config.sync.interval_min, config.sync.interval_max) = match sync {
        true => (Duration::from_secs(2), Duration::from_secs(20)),
        false => (never, never),
    };
    (config.sync.announce, config.sync.probe) = (sync, sync);
    (config.sync.sync_on_boot, config.sync.sync_on_reconnect) = (sync, sync);
    let data = DataFolder::open(&config, None).unwrap();
    (Node::start(data, &config, NodeOptions::default()).await.unwrap(), folder)
}

/// Publishes so many messages at once, and waits until they are durable.
async fn publish(node: &Node, content_topic: &str, count: u64) {
    let messages = (0..count).map(|number| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(PAYLOAD, 0);
        let message = WakuMessage {
            payload: payload.into(),
            content_topic: content_topic.to_owned(),
            timestamp: Some(i64::try_from(now.as_nanos()).unwrap()),
            ..WakuMessage::default()
        };
        node.publish(TOPIC, message.encode_to_vec().into())
    });
    for admission in futures::future::join_all(messages).await {
        assert!(matches!(admission, Ok(Admission::Stored(_))), "{admission:?}");
    }
}

/// How many messages of the load the node holds.
fn held(node: &Node) -> u64 {
    let mut query = Query {
        pubsub_topic: None,
        content_topics: [LOAD.to_owned()].into(),
        range: KeyRange::ALL,
        newest_first: false,
        limit: PageLimit { messages: 1000, bytes: 2 << 20 },
    };
    let mut count = 0;
    loop {
        let page = node.archive().query(&query).unwrap();
        count += page.messages.len() as u64;
        let Some(rest) = page.rest else { return count };
        query.range = rest;
    }
}

async fn until(what: &str, mut true_now: impl FnMut() -> bool) {
    let waiting = timeout(Duration::from_secs(30), async {
        let mut tick = interval(Duration::from_millis(100));
        while !true_now() {
            tick.tick().await;
        }
    });
    waiting.await.unwrap_or_else(|_| panic!("expected {what} in time"));
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
