//! Starting a node: everything that can fail, fails here.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

use hearken::{AntiEntropy, Commands, Host, SpawnError};
use hearken_archive::Archive;
use hearken_waku::metadata::Metadata;
use libp2p::metrics::Registry;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, Swarm, gossipsub};
use tokio::sync::{mpsc, watch};

use super::activity::Activity;
use super::events::EventLoop;
use super::health::Watched;
use super::live::Live;
use super::neighbours::Neighbours;
use super::{Node, NodeOptions, Running};
use crate::config::Config;
use crate::folder::DataFolder;
use crate::network::{Behaviour, Dialer, Seeker, SetupError, read_lists, serve, swarm};

/// Requests of the node's own user that wait.
const REQUESTS: usize = 64;
/// Notes of stored live messages that wait.
const STORED: usize = 256;
/// Peers that were found and wait to be entered into the book.
const FOUND: usize = 256;
/// Peers of other networks that wait to be disconnected.
const FOREIGN: usize = 64;

/// The node could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The swarm could not be set up.
    #[error(transparent)]
    Network(#[from] SetupError),
    /// Somebody listens there already, or it is no address of this machine.
    #[error("cannot listen on {address} (setting listen): {reason}")]
    Listen {
        /// The address.
        address: Multiaddr,
        /// Why.
        reason: String,
    },
    /// Gossipsub does not take a topic.
    #[error("cannot relay the pubsub topic {topic} (setting groups): {reason}")]
    Topic {
        /// The topic.
        topic: String,
        /// Why.
        reason: String,
    },
    /// Anti-entropy could not start.
    #[error("anti-entropy cannot start (settings sync and resources): {0}")]
    Sync(#[from] SpawnError),
}

impl Node {
    /// Brings a data folder online: listens, dials, relays and repairs. Returns once it listens.
    pub async fn start(folder: DataFolder, config: &Config, options: NodeOptions) -> Result<Node, StartError> {
        let DataFolder { path, keypair, archive, validator, work } = folder;
        let watched = Arc::new(Watched::new(archive, work));
        let archive: Arc<dyn Archive> = watched.clone();
        let peer_id = keypair.public().to_peer_id();
        // Without anybody to read it, what is counted goes nowhere.
        let mut registry = Registry::default();
        let (mut swarm, gossipsub) = swarm(config, keypair, &mut registry)?;
        if let Some(metrics) = options.metrics {
            metrics.take_swarm(registry);
        }
        for address in &config.listen {
            listen(&mut swarm, address)?;
        }
        for group in &config.groups {
            subscribe(&mut swarm, &group.pubsub_topic)?;
        }
        let (foreign, foreigners) = mpsc::channel(FOREIGN);
        let metadata = Metadata::of(config.groups.iter().map(|group| group.pubsub_topic.as_str()));
        let streams = swarm.behaviour().streams.new_control();
        let shards = metadata.cluster_and_shards();
        let protocols = serve(streams, archive.clone(), metadata, &config.store, foreign)?;
        let seeker = Seeker::new(path, peer_id, config.discovery.peers, shards);
        let (found, peers_found) = mpsc::channel(FOUND);
        let lists = read_lists(&config.discovery, found.clone())?;
        let (sync, commands) = spawn_sync(config, &archive, &swarm, &gossipsub, options)?;

        if config.paused {
            sync.pause();
        }
        let (requests, requested) = mpsc::channel(REQUESTS);
        let (stored, noted) = mpsc::channel(STORED);
        let (stop, stopped) = watch::channel(false);
        let topics = config.groups.iter().map(|group| group.pubsub_topic.clone());
        let activity = Arc::new(Activity::new(config.api.relay_cache, topics));
        let (clock_and_faults, activities) = ((options.clock, options.faults), activity.clone());
        let live = Live::new(config, clock_and_faults, validator, sync.committer().clone(), (stored, activities));
        let counters = live.counters();
        let neighbours = Arc::new(Neighbours::default());
        let mut events = EventLoop {
            swarm,
            sync: sync.clone(),
            commands,
            live,
            protocols,
            foreigners,
            seeker,
            found: peers_found,
            _lists: lists,
            dialer: Dialer::new(&config.peers, tokio::time::Instant::now()),
            archive: archive.clone(),
            watched: watched.clone(),
            activity: activity.clone(),
            neighbours: neighbours.clone(),
            dials: HashMap::new(),
            metrics: options.metrics,
            clock: options.clock,
            requests: requested,
            stored: noted,
            stop: stopped,
        };
        let listening = events.until_listening(config.listen.len()).await?;
        let task = tokio::spawn(events.run());
        let running = Running {
            peer_id,
            listening,
            archive,
            watched,
            sync,
            live: counters,
            activity,
            neighbours,
            requests,
            found,
            clock: options.clock,
            started: Instant::now(),
        };
        Ok(Node { running: Arc::new(running), stop, task })
    }
}

fn spawn_sync(
    config: &Config,
    archive: &Arc<dyn Archive>,
    swarm: &Swarm<Behaviour>,
    gossipsub: &gossipsub::Config,
    options: NodeOptions,
) -> Result<(AntiEntropy, Commands), SpawnError> {
    let sync = hearken::Config { engine: config.sync.clone(), limits: config.resources.clone(), ..Default::default() };
    let clock = options.clock;
    let host = Host {
        control: swarm.behaviour().streams.new_control(),
        gossipsub,
        committer: None,
        clock: Arc::new(move || clock.now()),
    };
    AntiEntropy::spawn(sync, archive.clone(), host)
}

fn listen(swarm: &mut Swarm<Behaviour>, address: &Multiaddr) -> Result<(), StartError> {
    let fail = |reason: String| StartError::Listen { address: address.clone(), reason };
    probe(address).map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => {
                ": another program listens there; stop it, or give another port, or port 0 for any"
            }
            io::ErrorKind::AddrNotAvailable => ": this machine has no such address",
            _ => "",
        };
        fail(format!("{error}{hint}"))
    })?;
    swarm.listen_on(address.clone()).map_err(|error| fail(error.to_string()))?;
    Ok(())
}

/// libp2p shares its ports (SO_REUSEPORT), so that two nodes on one port would each get some of the connections: finds out first
/// whether somebody is there.
fn probe(address: &Multiaddr) -> io::Result<()> {
    let mut ip = None;
    for part in address {
        match part {
            Protocol::Ip4(host) => ip = Some(IpAddr::from(host)),
            Protocol::Ip6(host) => ip = Some(IpAddr::from(host)),
            Protocol::Tcp(port) if port > 0 => {
                if let Some(host) = ip {
                    return TcpListener::bind(SocketAddr::new(host, port)).map(drop);
                }
            }
            Protocol::Udp(port) if port > 0 => {
                if let Some(host) = ip {
                    return UdpSocket::bind(SocketAddr::new(host, port)).map(drop);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn subscribe(swarm: &mut Swarm<Behaviour>, topic: &str) -> Result<(), StartError> {
    let subscribed = swarm.behaviour_mut().gossipsub.subscribe(&gossipsub::IdentTopic::new(topic));
    match subscribed {
        Ok(_) => Ok(()),
        Err(error) => Err(StartError::Topic { topic: topic.to_owned(), reason: error.to_string() }),
    }
}
