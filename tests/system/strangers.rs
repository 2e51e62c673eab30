//! Two hundred connections that come from one place and say nothing, or nonsense, and malformed requests to every protocol: the node
//! serves others meanwhile, loses nothing, and goes on when they are gone.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, StreamProtocol, SwarmBuilder, noise, tcp, yamux};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;

use crate::harness::{Node, PATIENCE, TOPIC, Trace, export, hearken, import, turn};

const STRANGERS: usize = 200;
/// All of the node's protocols that take something from a stranger.
const PROTOCOLS: [&str; 6] = [
    "/vac/waku/store-query/3.0.0",
    "/vac/waku/metadata/1.0.0",
    "/vac/waku/relay/2.0.0",
    "/hearken/sync/1.0.0",
    "/ipfs/id/1.0.0",
    "/ipfs/ping/1.0.0",
];

/// What a node says when it disconnects a peer for its network.
pub fn of_another_network(line: &str) -> Option<()> {
    line.contains("a peer of another network: disconnecting").then_some(())
}

/// That a list is empty.
pub fn none(json: &Value) -> Option<()> {
    json.as_array()?.is_empty().then_some(())
}

#[test]
fn a_node_of_another_network_is_disconnected() {
    let _turn = turn();
    let [ours, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let ours = Node::start(ours.path(), &[]);
    let other = Node::start_with(other.path(), &[ours.address()], &["--groups=['/waku/2/rs/1/0']"]);
    ours.expect("that the other is of another network", of_another_network);
    ours.http().until("/admin/v1/peers", "no peer", none);
    other.stop().success();
    ours.stop().success();
}

#[test]
fn two_hundred_silent_or_raving_connections_do_no_harm() {
    let _turn = turn();
    let [data, honest_data] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let trace = Trace::generate(70, 300);
    import(honest_data.path(), &trace);
    let own = trace.pick(|index| index % 3 != 0);
    import(data.path(), &own);
    let node = Node::start(data.path(), &[]);
    let runtime = Runtime::new().unwrap();
    let strangers = runtime.block_on(strangers(socket(node.address())));
    assert!(strangers.len() >= STRANGERS / 4, "{} strangers only", strangers.len());

    // While they are there: queries, the relay, and a neighbour that brings what is missing.
    held(&node, own.len());
    let publish = ["publish", node.address(), "hello", "--content-topic", "/a/1/b/proto", "--pubsub-topic", TOPIC];
    hearken(publish).success();
    let honest = Node::start(honest_data.path(), &[node.address()]);
    node.repairs(trace.len() - own.len());
    drop(strangers);
    held(&node, trace.len() + 1);

    honest.stop().success();
    let said = node.stop().success();
    assert!(!said.stderr.contains("panicked"), "{said:#?}");
    assert_eq!(export(data.path()).len(), trace.len() + 1);
}

#[test]
fn malformed_requests_to_every_protocol_do_no_harm() {
    let _turn = turn();
    let data = tempfile::tempdir().unwrap();
    let trace = Trace::generate(71, 100);
    import(data.path(), &trace);
    let node = Node::start(data.path(), &[]);
    let runtime = Runtime::new().unwrap();
    let address: Multiaddr = node.address().parse().unwrap();
    let ended = runtime.block_on(async {
        let attacks = (0..4).map(|_| tokio::time::timeout(PATIENCE, malformed(address.clone())));
        futures::future::join_all(attacks).await
    });
    // Each opened all of its streams, and those that wrote nonsense were ended by the node, or answered.
    for streams in ended {
        let streams = streams.expect("streams are ended in time");
        assert!(streams >= PROTOCOLS.len(), "{streams} streams only");
    }
    held(&node, trace.len());
    let memory = std::fs::read_to_string(format!("/proc/{}/status", node.id())).unwrap_or_default();
    let peak = memory.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    assert!(peak.is_none_or(|kib: u64| kib < 300 << 10), "the node used {peak:?} KiB");
    let said = node.stop().success();
    assert!(!said.stderr.contains("panicked"), "{said:#?}");
    assert_eq!(export(data.path()), trace.messages());
}

/// The node answers for all of its messages.
#[track_caller]
fn held(node: &Node, count: usize) {
    let listed = hearken(["query", node.address(), "--pubsub-topic", TOPIC, "--hashes-only"]).success();
    assert_eq!(listed.stdout.lines().count(), count);
}

fn socket(address: &str) -> SocketAddr {
    let address: Multiaddr = address.parse().unwrap();
    let port = address.iter().find_map(|part| if let Protocol::Tcp(port) = part { Some(port) } else { None });
    (Ipv4Addr::LOCALHOST, port.unwrap()).into()
}

/// Connections from another address of this machine, so that the limit for one address is theirs. A third says nothing, a third
/// half of a greeting, a third nonsense.
async fn strangers(node: SocketAddr) -> Vec<TcpStream> {
    let mut strangers = Vec::new();
    for number in 0..STRANGERS {
        let says: &[u8] = match number % 3 {
            0 => b"",
            1 => b"\x13/multistr",
            _ => &[0xff; 4096],
        };
        strangers.extend(stranger(node, says).await.ok());
    }
    strangers
}

async fn stranger(node: SocketAddr, says: &[u8]) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    // Where a system has no such address, they come from the same as everybody.
    let _ = socket.bind((Ipv4Addr::new(127, 0, 0, 2), 0).into());
    let mut stream = tokio::time::timeout(Duration::from_secs(5), socket.connect(node)).await??;
    stream.write_all(says).await?;
    Ok(stream)
}

/// One peer that sends nonsense to each protocol in each way; how many streams it could open. Returns once the node has ended all
/// of those on which something wrong was said.
async fn malformed(node: Multiaddr) -> usize {
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| libp2p_stream::Behaviour::new())
        .unwrap()
        .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(Duration::from_secs(60)))
        .build();
    let control = swarm.behaviour().new_control();
    swarm.dial(node).unwrap();
    let peer = loop {
        if let SwarmEvent::ConnectionEstablished { peer_id, .. } = swarm.select_next_some().await {
            break peer_id;
        }
    };
    let polling = tokio::spawn(async move { while swarm.next().await.is_some() {} });
    let mut opened = 0;
    for protocol in PROTOCOLS {
        for nonsense in nonsense() {
            opened += usize::from(say(control.clone(), peer, protocol, &nonsense).await.is_some());
        }
    }
    polling.abort();
    opened
}

/// A length beyond every bound; a length that is none; a frame that is no protobuf; a frame that says more than comes; nothing.
fn nonsense() -> [Vec<u8>; 5] {
    [
        vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0x0a],
        vec![0xff; 64],
        [&[64][..], &[0xff; 64]].concat(),
        vec![200, 1, 0x0a, 0x10],
        Vec::new(),
    ]
}

/// Says it and ends its half; then reads until the node has ended the other.
async fn say(mut control: libp2p_stream::Control, peer: PeerId, protocol: &'static str, what: &[u8]) -> Option<()> {
    let mut stream = control.open_stream(peer, StreamProtocol::new(protocol)).await.ok()?;
    // The node may have judged before all of it was written.
    let _ = stream.write_all(what).await;
    let _ = stream.close().await;
    let mut buffer = [0; 4096];
    let _ = tokio::time::timeout(Duration::from_secs(1), async {
        while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
    })
    .await;
    Some(())
}
