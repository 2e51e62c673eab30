//! Nodes reach each other over every transport, and with either muxer.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use futures::StreamExt;
use hearken_node::config::Config;
use hearken_node::folder::DataFolder;
use hearken_node::node::{Node, NodeOptions};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{SwarmEvent, dummy};
use libp2p::{Multiaddr, SwarmBuilder, noise, tcp};
use tempfile::TempDir;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

async fn start(listen: &[&str], peers: &[Multiaddr]) -> (Node, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        data_dir: folder.path().to_owned(),
        listen: listen.iter().map(|address| address.parse().unwrap()).collect(),
        peers: peers.to_vec(),
        ..quiet()
    };
    let data = DataFolder::open(&config, None).unwrap();
    (Node::start(data, &config, NodeOptions::default()).await.unwrap(), folder)
}

/// Settings without anything that could collide with other programs of this machine.
fn quiet() -> Config {
    Config::default()
}

/// The node's addresses as others dial them.
fn addresses(node: &Node) -> Vec<Multiaddr> {
    node.listening().iter().map(|address| address.clone().with(Protocol::P2p(node.peer_id()))).collect()
}

async fn until_connected(node: &Node) {
    let connected = async {
        while node.sync().status().peers == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, connected).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_connect_over_each_transport() {
    let (server, _server_data) = start(
        &["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws", "/ip4/127.0.0.1/udp/0/quic-v1", "/ip6/::1/tcp/0"],
        &[],
    )
    .await;
    let addresses = addresses(&server);
    assert_eq!(addresses.len(), 4, "{addresses:?}");
    for address in addresses {
        let (client, _client_data) = start(&["/ip4/127.0.0.1/tcp/0"], std::slice::from_ref(&address)).await;
        until_connected(&client).await;
        client.stop().await;
    }
    server.stop().await;
}

/// JavaScript clients speak no muxer but mplex by default.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_speaks_only_mplex_connects() {
    let (server, _data) = start(&["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"], &[]).await;
    for address in addresses(&server) {
        let mut client = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, libp2p_mplex::Config::new)
            .unwrap()
            .with_websocket(noise::Config::new, libp2p_mplex::Config::new)
            .await
            .unwrap()
            .with_behaviour(|_| dummy::Behaviour)
            .unwrap()
            .build();
        client.dial(address).unwrap();
        let connected = async {
            loop {
                match client.select_next_some().await {
                    SwarmEvent::ConnectionEstablished { peer_id, .. } => break assert_eq!(peer_id, server.peer_id()),
                    SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error}"),
                    _ => {}
                }
            }
        };
        timeout(PATIENCE, connected).await.unwrap();
    }
    server.stop().await;
}
