//! The local network (mDNS): two nodes that know nothing of each other connect.
#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use hearken_node::config::{Config, GroupConfig};
use hearken_node::folder::DataFolder;
use hearken_node::node::{Node, NodeOptions};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(60);
/// Where mDNS is spoken (RFC 6762, section 3).
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a network that carries multicast: tests/run --full"]
async fn nodes_of_a_local_network_find_each_other() {
    if !has_multicast() {
        // As in a container without a network: nothing can be found there, by whatever program.
        println!("skipped: this machine does not hear its own multicast");
        return;
    }
    let (here, _here_data) = start().await;
    let (there, _there_data) = start().await;
    let found = async {
        // Others may be in the network as well: these two are meant.
        while !here.handle().running().unwrap().neighbours().iter().any(|peer| peer.peer == there.peer_id()) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, found).await.expect("the other node is found");
    here.stop().await;
    there.stop().await;
}

async fn start() -> (Node, TempDir) {
    let data = tempfile::tempdir().unwrap();
    let mut config = Config {
        data_dir: data.path().to_owned(),
        groups: vec![GroupConfig::whole("/waku/2/rs/4266/0")],
        listen: vec!["/ip4/0.0.0.0/tcp/0".parse().unwrap()],
        ..Config::default()
    };
    config.discovery.mdns = true;
    let folder = DataFolder::open(&config, None).unwrap();
    (Node::start(folder, &config, NodeOptions::default()).await.unwrap(), data)
}

/// Whether what is sent to all comes back here.
fn has_multicast() -> bool {
    let heard = || -> std::io::Result<bool> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.join_multicast_v4(&GROUP, &Ipv4Addr::UNSPECIFIED)?;
        socket.set_multicast_loop_v4(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.send_to(b"hearken", (GROUP, socket.local_addr()?.port()))?;
        Ok(socket.recv(&mut [0; 16])? == 7)
    };
    heard().unwrap_or(false)
}
