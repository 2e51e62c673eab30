//! One real node: a swarm with gossipsub and Hearken's task, as a program that embeds it has them.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use futures::StreamExt as _;
use hearken::{AntiEntropy, Clock, Config, GroupId, Host as Needs, scheduler::GroupConfig};
use hearken_archive::{Candidate, Origin};
use libp2p::{
    PeerId, Swarm,
    core::{
        Transport as _,
        muxing::StreamMuxerBox,
        transport::{Boxed, MemoryTransport},
        upgrade::Version,
    },
    gossipsub::{
        self, IdentTopic, MessageAcceptance, MessageAuthenticity, MessageId, ValidationMode, Version as Gossip,
    },
    identity::Keypair,
    noise,
    swarm::{NetworkBehaviour, SwarmEvent, dial_opts::DialOpts},
    yamux,
};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    RealError,
    books::Books,
    tap::{RELAY_PROTOCOL, Tap, Tapped},
    watched::{TOPIC, Watched, filter},
    wires::{Map, Wires},
};
use crate::{
    net::{NodeId, dice::Dice},
    run::{EPOCH, FORGES_EVERY, forged},
    scenario::{Gossipsub, Hostile, Protocol, Scenario},
};

/// What a swarm is told and has not done yet; more than any burst holds.
const TOLD: usize = 16_384;

#[derive(NetworkBehaviour)]
struct Behaviour {
    gossipsub: gossipsub::Behaviour,
    stream: libp2p_stream::Behaviour,
}

/// What all nodes share.
pub(super) struct Shared {
    pub(super) scenario: Scenario,
    pub(super) books: Arc<Books>,
    pub(super) map: Arc<Map>,
    /// The nodes' names, in order.
    pub(super) peers: Vec<PeerId>,
    /// Share of live deliveries that are lost now, in millionths.
    pub(super) delivery_loss: AtomicU64,
    /// Events of all swarms.
    pub(super) events: AtomicU64,
}

/// A node while it runs.
pub(super) struct Running {
    pub(super) hearken: AntiEntropy,
    pub(super) archive: Arc<Watched>,
    /// Nodes that it is connected to.
    pub(super) connected: Arc<Mutex<BTreeSet<NodeId>>>,
    tell: mpsc::Sender<Tell>,
    host: JoinHandle<()>,
}

/// What a node's swarm is told.
enum Tell {
    Dial(NodeId),
    Disconnect(NodeId),
    Publish(Vec<u8>),
}

/// A node's name: the same in every run.
pub(super) fn identity(node: NodeId) -> Result<Keypair, RealError> {
    let mut seed = *blake3::hash(&node.to_be_bytes()).as_bytes();
    Keypair::ed25519_from_bytes(&mut seed).map_err(|error| failed(node, error))
}

fn failed(node: NodeId, error: impl Into<Box<dyn std::error::Error>>) -> RealError {
    // Some errors of the library say what it is about in their cause only.
    RealError::Start { node, why: format!("{:?}", error.into()) }
}

impl Running {
    /// Starts a node; `skew` is what its clock is ahead, in nanoseconds.
    pub(super) fn start(
        shared: &Arc<Shared>,
        node: NodeId,
        archive: Arc<Watched>,
        skew: Arc<AtomicI64>,
    ) -> Result<Running, RealError> {
        let (scenario, books) = (&shared.scenario, &shared.books);
        let (tap, sync, window) = {
            let pages = books.pages();
            let entry = &pages.nodes[node as usize];
            (entry.tap.clone(), entry.config.clone(), entry.window)
        };
        let gossip = gossip_config(&scenario.gossipsub).map_err(|error| failed(node, error))?;
        let clock = books.clone();
        let unix = move || (EPOCH + clock.now()).saturating_add_signed(skew.load(Ordering::Relaxed));
        let clock: Arc<dyn Clock> = Arc::new(unix);
        let group = GroupConfig { id: filter().group(), window, retention: scenario.retention(window), kept_from: 0 };
        let forger = tap.twisted.then(|| Forger {
            tap: tap.clone(),
            group: group.clone(),
            config: sync.clone(),
            clock: clock.clone(),
        });
        let mut swarm = swarm(shared, node, tap, gossip.clone())?;
        let config = Config { engine: sync, groups: vec![group], ..Config::default() };
        let control = swarm.behaviour().stream.new_control();
        let needs = Needs { control, gossipsub: &gossip, committer: None, clock };
        let (hearken, commands) =
            AntiEntropy::spawn(config, archive.clone(), needs).map_err(|error| failed(node, error))?;
        swarm.listen_on(shared.map.move_in(node)).map_err(|error| failed(node, error))?;
        let subscribed = swarm.behaviour_mut().gossipsub.subscribe(&IdentTopic::new(TOPIC));
        subscribed.map_err(|error| failed(node, error))?;

        let (tell, told) = mpsc::channel(TOLD);
        let connected = Arc::new(Mutex::new(BTreeSet::new()));
        let dice = Dice::new(scenario.seed ^ (u64::from(node) << 40));
        let actor = Actor {
            node,
            shared: shared.clone(),
            hearken: hearken.clone(),
            connected: connected.clone(),
            dice,
            silent: scenario.protocol == Protocol::None,
            forger,
        };
        let host = tokio::spawn(actor.act(swarm, commands, told));
        Ok(Running { hearken, archive, connected, tell, host })
    }

    pub(super) fn dial(&self, peer: NodeId) {
        let _ = self.tell.try_send(Tell::Dial(peer));
    }

    pub(super) fn disconnect(&self, peer: NodeId) {
        let _ = self.tell.try_send(Tell::Disconnect(peer));
    }

    pub(super) fn publish(&self, body: Vec<u8>) {
        let _ = self.tell.try_send(Tell::Publish(body));
        self.hearken.note_live(group());
    }

    pub(super) fn is_connected(&self, peer: NodeId) -> bool {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner).contains(&peer)
    }

    /// Stops it without a word; what it had stored stays in its archive.
    pub(super) async fn kill(self) {
        self.host.abort();
        let _ = self.host.await;
        self.hearken.stop().await;
    }
}

fn group() -> GroupId {
    filter().group()
}

/// What polls the swarm.
struct Actor {
    node: NodeId,
    shared: Arc<Shared>,
    hearken: AntiEntropy,
    connected: Arc<Mutex<BTreeSet<NodeId>>>,
    dice: Dice,
    /// Relay only: nothing of Hearken's leaves the node.
    silent: bool,
    /// What it needs to forge announcements, if it ever does that.
    forger: Option<Forger>,
}

struct Forger {
    tap: Arc<Tap>,
    group: GroupConfig,
    config: hearken::scheduler::Config,
    clock: Arc<dyn Clock>,
}

impl Actor {
    async fn act(
        mut self,
        mut swarm: Swarm<Behaviour>,
        mut commands: hearken::Commands,
        mut told: mpsc::Receiver<Tell>,
    ) {
        let mut forge = tokio::time::interval(std::time::Duration::from_nanos(FORGES_EVERY));
        forge.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = forge.tick(), if self.forger.is_some() => self.forge(&mut swarm),
                event = swarm.select_next_some() => {
                    self.shared.events.fetch_add(1, Ordering::Relaxed);
                    self.on_event(&mut swarm, event);
                }
                Some(command) = commands.next() => {
                    if let (hearken::Command::Publish { .. }, false) = (&command, self.silent) {
                        let now = self.shared.books.now();
                        let mut pages = self.shared.books.pages();
                        pages.nodes[self.node as usize].counters.announced += 1;
                        pages.measure.announced.push(now);
                    }
                    commands.apply(command, &mut swarm.behaviour_mut().gossipsub);
                }
                told = told.recv() => match told {
                    Some(Tell::Dial(peer)) => {
                        let dial = DialOpts::peer_id(self.shared.peers[peer as usize]);
                        let _ = swarm.dial(dial.addresses(vec![self.shared.map.address(peer)]).build());
                    }
                    Some(Tell::Disconnect(peer)) => {
                        let _ = swarm.disconnect_peer_id(self.shared.peers[peer as usize]);
                    }
                    Some(Tell::Publish(body)) => {
                        let _ = swarm.behaviour_mut().gossipsub.publish(IdentTopic::new(TOPIC), body);
                    }
                    None => return,
                },
            }
        }
    }

    /// Announces a set that nobody holds.
    fn forge(&mut self, swarm: &mut Swarm<Behaviour>) {
        let forger = self.forger.as_ref().filter(|forger| forger.tap.hostile() == Some(Hostile::Forger));
        let Some(forger) = forger else { return };
        let known = self.shared.books.pages().ledger.len() as u64;
        let ihave = forged(&forger.group, &forger.config, forger.clock.unix_nanos(), known, &mut self.dice);
        if let Ok(ihave) = ihave.encode() {
            let _ = swarm.behaviour_mut().gossipsub.publish(IdentTopic::new(hearken::control_topic(TOPIC)), ihave);
        }
    }

    fn on_event(&mut self, swarm: &mut Swarm<Behaviour>, event: SwarmEvent<BehaviourEvent>) {
        if !self.silent {
            self.hearken.on_swarm_event(&event);
        }
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => self.note(&peer_id, true),
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => self.note(&peer_id, false),
            SwarmEvent::Behaviour(BehaviourEvent::Gossipsub(event)) => self.on_gossip(swarm, event),
            _ => {}
        }
    }

    fn note(&self, peer: &PeerId, there: bool) {
        let Some(node) = self.shared.peers.iter().position(|other| other == peer) else { return };
        let mut connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        let node = crate::net::node_id(node);
        if there {
            connected.insert(node)
        } else {
            connected.remove(&node)
        };
    }

    fn on_gossip(&mut self, swarm: &mut Swarm<Behaviour>, event: gossipsub::Event) {
        let gossipsub::Event::Message { propagation_source, message_id, message } = &event else { return };
        let lost = crate::net::real(self.shared.delivery_loss.load(Ordering::Relaxed)) / 1e6;
        let gossip = &mut swarm.behaviour_mut().gossipsub;
        if self.dice.chance(lost) {
            // As if a queue in the node had overflown: neither taken nor forwarded.
            gossip.report_message_validation_result(message_id, propagation_source, MessageAcceptance::Ignore);
            return;
        }
        if self.hearken.on_gossip(&event) {
            return;
        }
        let candidate = Candidate { body: message.data.clone().into(), origin: Origin::Topic(TOPIC.to_owned()) };
        let _ = self.hearken.committer().try_submit(vec![candidate], Box::new(|_| {}));
        self.hearken.note_live(group());
        gossip.report_message_validation_result(message_id, propagation_source, MessageAcceptance::Accept);
    }
}

fn swarm(
    shared: &Shared,
    node: NodeId,
    tap: Arc<Tap>,
    gossip: gossipsub::Config,
) -> Result<Swarm<Behaviour>, RealError> {
    let keypair = identity(node)?;
    let peer = keypair.public().to_peer_id();
    let wires = Wires { inner: MemoryTransport::new(), node, map: shared.map.clone() };
    let noise = noise::Config::new(&keypair).map_err(|error| failed(node, error))?;
    let secured = wires.upgrade(Version::V1).authenticate(noise).multiplex(yamux::Config::default());
    let tapped = secured.map(move |(peer, muxer), _| {
        let inner = StreamMuxerBox::new(muxer);
        (peer, StreamMuxerBox::new(Tapped { inner, tap }))
    });
    let transport: Boxed<(PeerId, StreamMuxerBox)> = tapped.boxed();
    let gossipsub =
        gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, gossip).map_err(|error| failed(node, error))?;
    let behaviour = Behaviour { gossipsub, stream: libp2p_stream::Behaviour::new() };
    let config = libp2p::swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(std::time::Duration::from_secs(3_600));
    Ok(Swarm::new(transport, behaviour, peer, config))
}

/// Waku's relay, with what the scenario says.
fn gossip_config(gossip: &Gossipsub) -> Result<gossipsub::Config, gossipsub::ConfigBuilderError> {
    gossipsub::ConfigBuilder::default()
        .protocol_id(RELAY_PROTOCOL, Gossip::V1_1)
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(|message| MessageId::new(blake3::hash(&message.data).as_bytes()))
        .mesh_n(gossip.mesh_n)
        .mesh_n_low(gossip.mesh_n_low)
        .mesh_n_high(gossip.mesh_n_high)
        .mesh_outbound_min(gossip.mesh_outbound_min)
        .heartbeat_interval(gossip.heartbeat_interval)
        .gossip_lazy(gossip.gossip_lazy)
        .gossip_factor(gossip.gossip_factor)
        .history_length(usize::try_from(gossip.history_length).unwrap_or(5))
        .history_gossip(usize::try_from(gossip.history_gossip).unwrap_or(3))
        .flood_publish(gossip.flood_publish)
        .max_transmit_size(8 << 20)
        .max_control_messages_sent(400)
        .build()
}
