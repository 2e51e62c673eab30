//! Real libp2p nodes over loopback TCP that hold messages of a trivial format.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, unreachable_pub)]

pub mod stranger;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use hearken::archive::{
    Archive, ArchiveOptions, Candidate, Committer, Embedded, EmbeddedOptions, Filter, FormatError, Header, Limits,
    Memory, MessageFormat, Origin, Validator,
};
use hearken::{AntiEntropy, Config, GroupId, Host, Id, Key, KeyRange, Status};
use libp2p::gossipsub::{self, IdentTopic, MessageAcceptance, MessageAuthenticity, MessageId, ValidationMode};
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, noise, tcp, yamux};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

pub const TOPIC: &str = "/test/chat";
/// The nodes' clock stands still here: the trace has just ended.
pub const NOW: u64 = 1_700_000_000_000_000_000;
pub const SECOND: u64 = 1_000_000_000;
/// Unless a test moves it on, so many nanoseconds in all.
pub static AHEAD: AtomicU64 = AtomicU64::new(0);

/// How long a condition may take to come true.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Eight bytes of timestamp, then the payload; the id is the hash of both.
pub struct Plain;

impl MessageFormat for Plain {
    fn header<'a>(&self, _pubsub_topic: &str, body: &'a [u8]) -> Result<Header<'a>, FormatError> {
        let stamp = body.first_chunk::<8>().ok_or(FormatError { reason: "no timestamp".to_owned() })?;
        Ok(Header {
            id: Id(*blake3::hash(body).as_bytes()),
            timestamp: u64::from_be_bytes(*stamp),
            content_topic: "test".into(),
            ephemeral: false,
        })
    }
}

/// `count` messages of about `size` bytes, spread over the ten minutes that ended a minute ago.
pub fn messages(count: u64, size: usize) -> Vec<Vec<u8>> {
    let message = |index: u64| {
        let stamp = NOW - 660 * SECOND + index * (600 * SECOND / count);
        let mut body = stamp.to_be_bytes().to_vec();
        body.extend_from_slice(&index.to_be_bytes());
        body.resize(size.max(16), 0xa5);
        body
    };
    (0..count).map(message).collect()
}

pub fn filter() -> Filter {
    Filter { pubsub_topic: TOPIC.to_owned(), content_topics: BTreeSet::new() }
}

pub fn group() -> GroupId {
    filter().group()
}

pub fn archive(bodies: &[Vec<u8>]) -> Arc<dyn Archive> {
    archive_with(bodies, None)
}

pub fn archive_with(bodies: &[Vec<u8>], validator: Option<Arc<dyn Validator>>) -> Arc<dyn Archive> {
    let archive = Memory::new(options(validator));
    let candidate = |body: &Vec<u8>| Candidate { body: body.clone().into(), origin: Origin::Topic(TOPIC.to_owned()) };
    archive.admit(&bodies.iter().map(candidate).collect::<Vec<_>>(), NOW).unwrap();
    Arc::new(archive)
}

/// A durable archive in a file.
pub fn durable(path: &Path) -> Arc<dyn Archive> {
    Arc::new(Embedded::open(EmbeddedOptions::new(path, options(None))).unwrap())
}

fn options(validator: Option<Arc<dyn Validator>>) -> ArchiveOptions {
    let mut options = ArchiveOptions::new(vec![filter()], Arc::new(Plain));
    options.limits = Limits { max_age: None, ..options.limits };
    options.validator = validator;
    options
}

/// Everything often, so that tests do not wait.
pub fn config() -> Config {
    let mut config = Config::default();
    config.engine.interval_min = Duration::from_millis(200);
    config.engine.interval_max = Duration::from_millis(800);
    config.engine.settle_delay = Duration::from_secs(1);
    config.engine.horizon_grid = Duration::from_secs(1);
    config.engine.network_size = 10;
    config.engine.limits.request_timeout = Duration::from_secs(2);
    config
}

#[derive(NetworkBehaviour)]
pub struct Behaviour {
    pub gossipsub: gossipsub::Behaviour,
    pub stream: libp2p_stream::Behaviour,
}

/// How a test's host builds its gossipsub.
#[derive(Clone, Copy, Default)]
pub struct Gossip {
    pub validate: bool,
    pub signed: bool,
}

pub fn gossipsub_config(gossip: Gossip) -> gossipsub::Config {
    let mut builder = gossipsub::ConfigBuilder::default();
    builder
        .heartbeat_interval(Duration::from_millis(200))
        .max_transmit_size(1 << 20)
        .validation_mode(if gossip.signed { ValidationMode::Strict } else { ValidationMode::Anonymous })
        .message_id_fn(|message| MessageId::new(blake3::hash(&message.data).as_bytes()));
    if gossip.validate {
        builder.validate_messages();
    }
    builder.build().unwrap()
}

pub fn swarm(gossip: Gossip) -> Swarm<Behaviour> {
    let config = gossipsub_config(gossip);
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|key| {
            let authenticity =
                if gossip.signed { MessageAuthenticity::Signed(key.clone()) } else { MessageAuthenticity::Anonymous };
            Behaviour {
                gossipsub: gossipsub::Behaviour::new(authenticity, config).unwrap(),
                stream: libp2p_stream::Behaviour::new(),
            }
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build()
}

/// What a test tells a node's swarm.
enum Tell {
    Dial(Multiaddr),
    Disconnect(PeerId),
    Publish(Vec<u8>),
}

/// A whole node: a host with its own swarm and gossipsub, and the task in it.
pub struct Node {
    pub peer: PeerId,
    pub address: Multiaddr,
    pub archive: Arc<dyn Archive>,
    pub hearken: AntiEntropy,
    pub control: libp2p_stream::Control,
    tell: mpsc::Sender<Tell>,
    host: JoinHandle<()>,
}

impl Node {
    pub async fn start(archive: Arc<dyn Archive>) -> Node {
        Node::start_with(archive, config(), Gossip { validate: true, signed: false }).await
    }

    pub async fn start_with(archive: Arc<dyn Archive>, config: Config, gossip: Gossip) -> Node {
        Node::start_storing(archive, config, gossip, None).await
    }

    /// With a committer of the test's own.
    pub async fn start_storing(
        archive: Arc<dyn Archive>,
        config: Config,
        gossip: Gossip,
        committer: Option<Arc<Committer>>,
    ) -> Node {
        let mut swarm = swarm(gossip);
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let control = swarm.behaviour().stream.new_control();
        let host = Host {
            control: control.clone(),
            gossipsub: &gossipsub_config(gossip),
            committer,
            clock: Arc::new(|| NOW + AHEAD.load(Ordering::Relaxed)),
        };
        let (hearken, mut commands) = AntiEntropy::spawn(config, archive.clone(), host).unwrap();
        let peer = *swarm.local_peer_id();
        let (tell, mut told) = mpsc::channel(16);
        let (ready, address) = oneshot::channel();
        let task = hearken.clone();
        let host = tokio::spawn(async move {
            let hearken = task;
            let mut ready = Some(ready);
            swarm.behaviour_mut().gossipsub.subscribe(&IdentTopic::new(TOPIC)).unwrap();
            loop {
                tokio::select! {
                    event = swarm.select_next_some() => {
                        hearken.on_swarm_event(&event);
                        match event {
                            SwarmEvent::NewListenAddr { address, .. } => {
                                if let Some(ready) = ready.take() {
                                    let _ = ready.send(address);
                                }
                            }
                            SwarmEvent::Behaviour(BehaviourEvent::Gossipsub(event)) if !hearken.on_gossip(&event) => {
                                live(&mut swarm, &hearken, event, gossip);
                            }
                            _ => {}
                        }
                    }
                    Some(command) = commands.next() => {
                        commands.apply(command, &mut swarm.behaviour_mut().gossipsub);
                    }
                    told = told.recv() => match told {
                        Some(Tell::Dial(address)) => {
                            // From a port of its own: two that dial each other at the same time from the ports on which they
                            // listen would meet in one TCP connection that both believe to have opened.
                            let dial = DialOpts::unknown_peer_id().address(address).allocate_new_port();
                            swarm.dial(dial.build()).unwrap();
                        }
                        Some(Tell::Disconnect(peer)) => { let _ = swarm.disconnect_peer_id(peer); }
                        Some(Tell::Publish(body)) => { let _ = swarm.behaviour_mut().gossipsub.publish(IdentTopic::new(TOPIC), body); }
                        None => return,
                    },
                }
            }
        });
        let address = timeout(PATIENCE, address).await.unwrap().unwrap();
        Node { peer, address, archive, hearken, control, tell, host }
    }

    pub async fn dial(&self, other: &Node) {
        self.dial_at(other.address.clone()).await;
    }

    pub async fn dial_at(&self, address: Multiaddr) {
        self.tell.send(Tell::Dial(address)).await.ok().unwrap();
    }

    pub async fn disconnect(&self, peer: PeerId) {
        self.tell.send(Tell::Disconnect(peer)).await.ok().unwrap();
    }

    pub async fn publish(&self, body: Vec<u8>) {
        self.tell.send(Tell::Publish(body)).await.ok().unwrap();
    }

    pub fn status(&self) -> Status {
        self.hearken.status()
    }

    pub fn keys(&self) -> BTreeSet<Key> {
        let limit = hearken::archive::PageLimit { messages: usize::MAX, bytes: usize::MAX };
        self.archive.scan(&group(), &KeyRange::ALL, limit).unwrap().into_iter().map(|message| message.key).collect()
    }

    pub fn count(&self) -> u64 {
        self.archive.view(&group()).unwrap().kept.len()
    }

    pub async fn stop(self) {
        timeout(PATIENCE, self.hearken.stop()).await.expect("the task ends");
        drop(self.tell);
        timeout(PATIENCE, self.host).await.expect("the host ends").unwrap();
    }
}

/// What a host does with its own messages.
fn live(swarm: &mut Swarm<Behaviour>, hearken: &AntiEntropy, event: gossipsub::Event, gossip: Gossip) {
    let gossipsub::Event::Message { propagation_source, message_id, message } = event else { return };
    let candidate = Candidate { body: message.data.into(), origin: Origin::Topic(TOPIC.to_owned()) };
    let _ = hearken.committer().try_submit(vec![candidate], Box::new(|_| {}));
    hearken.note_live(group());
    if gossip.validate {
        swarm.behaviour_mut().gossipsub.report_message_validation_result(
            &message_id,
            &propagation_source,
            MessageAcceptance::Accept,
        );
    }
}

/// Waits until `condition` holds, looking every few milliseconds; panics with `what` if it does not in time.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let held = timeout(PATIENCE, async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(held.await.is_ok(), "not within {PATIENCE:?}: {what}");
}

/// Everybody dials everybody before them.
pub async fn connect_all(nodes: &[Node]) {
    for (index, node) in nodes.iter().enumerate() {
        for other in nodes.iter().take(index) {
            node.dial(other).await;
        }
    }
}
