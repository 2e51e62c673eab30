//! The node's event loop: it owns the swarm.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use hearken::{AntiEntropy, Commands, Notice, Stage};
use hearken_archive::Archive;
use hearken_tree::GroupId;
use libp2p::gossipsub::{self, IdentTopic};
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, identify, mdns};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use super::activity::Activity;
use super::health::Watched;
use super::live::Live;
use super::neighbours::Neighbours;
use super::repairs::Repairs;
use super::{Request, StartError};
use crate::clock::Clock;
use crate::discovery::{FoundPeer, without_peer};
use crate::metrics::Metrics;
use crate::network::{Behaviour, BehaviourEvent, Dialer, Protocols, Seeker, Speaks, resolve};

/// How often messages that have become too old are dropped.
const RETAIN_EVERY: Duration = Duration::from_secs(60);
/// How long that waits after a start: a node that starts has mostly missed something, and repairs that first. What was imported is
/// not in the index of content topics yet, and entering it takes as long as a large repair.
const RETAIN_FIRST: Duration = Duration::from_secs(10);
/// How often the peer book is written, if it has changed.
const SAVE_EVERY: Duration = Duration::from_secs(30);
/// How often repairs are reported.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// How often an archive that could not be written is tried again.
const RECHECK_EVERY: Duration = Duration::from_secs(1);
/// Peers that the node's user may have it dial at a time.
const DIALS: usize = 32;

pub(super) struct EventLoop {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) sync: AntiEntropy,
    pub(super) commands: Commands,
    pub(super) live: Live,
    pub(super) protocols: Protocols,
    /// Peers that turned out to be of another network.
    pub(super) foreigners: mpsc::Receiver<PeerId>,
    pub(super) seeker: Seeker,
    /// Peers that somebody found.
    pub(super) found: mpsc::Receiver<FoundPeer>,
    /// The task that reads lists of nodes; dropped, it ends.
    pub(super) _lists: JoinSet<()>,
    pub(super) dialer: Dialer,
    pub(super) archive: Arc<dyn Archive>,
    pub(super) watched: Arc<Watched>,
    pub(super) activity: Arc<Activity>,
    pub(super) neighbours: Arc<Neighbours>,
    /// What the node's user had it dial, and who waits to hear of it.
    pub(super) dials: HashMap<ConnectionId, oneshot::Sender<Result<PeerId, String>>>,
    pub(super) metrics: Option<&'static Metrics>,
    pub(super) clock: Clock,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) stored: mpsc::Receiver<GroupId>,
    pub(super) stop: watch::Receiver<bool>,
}

impl EventLoop {
    /// Waits until each of `expected` listeners has an address; returns the addresses.
    pub(super) async fn until_listening(&mut self, expected: usize) -> Result<Vec<Multiaddr>, StartError> {
        let mut addresses: BTreeMap<_, Vec<Multiaddr>> = BTreeMap::new();
        while addresses.len() < expected {
            let event = self.swarm.select_next_some().await;
            match &event {
                SwarmEvent::NewListenAddr { listener_id, address } => {
                    addresses.entry(listener_id.to_string()).or_default().push(address.clone());
                }
                SwarmEvent::ListenerClosed { addresses, reason: Err(error), .. } => {
                    let address = addresses.first().cloned().unwrap_or_else(Multiaddr::empty);
                    return Err(StartError::Listen { address, reason: error.to_string() });
                }
                _ => {}
            }
            self.on_event(event);
        }
        Ok(addresses.into_values().flatten().collect())
    }

    /// Runs until told to stop.
    pub(super) async fn run(mut self) {
        let topics = self.archive.groups().into_iter().map(|filter| (filter.group(), filter.pubsub_topic)).collect();
        let mut repairs = Repairs::new(topics, self.activity.clone(), self.clock);
        let mut notices = self.sync.notices();
        let mut stop = self.stop.clone();
        let (mut report, mut recheck, mut save) = (every(REPORT_EVERY), every(RECHECK_EVERY), every(SAVE_EVERY));
        let mut retain = every(RETAIN_EVERY);
        retain.reset_after(RETAIN_FIRST);
        let (resolved, mut to_dial) = mpsc::channel(16);
        loop {
            let (due, seek) = (self.dialer.deadline(), self.seeker.deadline(Instant::now()));
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                event = self.swarm.select_next_some() => self.on_event(event),
                Some(command) = self.commands.next() => {
                    self.commands.apply(command, &mut self.swarm.behaviour_mut().gossipsub);
                }
                Some(request) = self.requests.recv() => self.on_request(request),
                Some(group) = self.stored.recv() => self.sync.note_live(group),
                notice = notices.recv() => take(&mut repairs, notice),
                _ = report.tick(), if repairs.waiting() => repairs.report(),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    for (place, address) in self.dialer.due(Instant::now()) {
                        tokio::spawn(resolve(place, address, resolved.clone()));
                    }
                }
                Some((place, address)) = to_dial.recv() => self.dial(place, address),
                () = sleep_until(seek.unwrap_or_else(Instant::now)), if seek.is_some() => self.seek(),
                Some(found) = self.found.recv() => self.seeker.found(found),
                _ = save.tick() => self.save_book(),
                Some(peer) = self.foreigners.recv() => {
                    // It may have gone by itself.
                    let _ = self.swarm.disconnect_peer_id(peer);
                }
                _ = retain.tick() => self.retain(),
                _ = recheck.tick(), if self.watched.trouble().is_some() => self.recheck(),
            }
        }
        // What was delivered is stored before the task has ended: only then is the log's sum of repairs complete.
        let sync = self.sync.clone();
        let stopping = sync.stop();
        tokio::pin!(stopping);
        loop {
            tokio::select! {
                () = &mut stopping => break,
                notice = notices.recv() => take(&mut repairs, notice),
            }
        }
        loop {
            match notices.try_recv() {
                Ok(notice) => repairs.take(notice),
                Err(TryRecvError::Lagged(missed)) => tracing::debug!(missed, "notices were missed"),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        repairs.finish(&sync.status());
        self.log_work();
        if let Some(save) = self.seeker.take_changes() {
            // Its error was logged.
            let _ = tokio::task::spawn_blocking(save).await;
        }
        self.protocols.stop().await;
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        self.sync.on_swarm_event(&event);
        if let Some(metrics) = self.metrics {
            record(metrics, &event);
        }
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Gossipsub(event)) => self.on_gossip(event),
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. })) => {
                self.sync.on_protocols(peer_id, &info.protocols);
                self.neighbours.identified(&peer_id, &info);
                self.protocols.on_protocols(peer_id, &info.protocols);
                let speaks = Speaks::of(&info.protocols);
                if self.seeker.identified(peer_id, &info.observed_addr, info.listen_addrs, speaks) {
                    tracing::debug!(peer = %peer_id, "makes room for a peer that may speak sync");
                    let _ = self.swarm.disconnect_peer_id(peer_id);
                }
                tracing::debug!(peer = %peer_id, agent = info.agent_version, "identified");
            }
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, num_established, .. } => {
                if num_established.get() == 1 {
                    tracing::info!("connected to {peer_id} at {}", endpoint.get_remote_address());
                }
                self.dialer.connected(connection_id, peer_id);
                self.neighbours.connected(peer_id, &endpoint);
                if let Some(asker) = self.dials.remove(&connection_id) {
                    let _ = asker.send(Ok(peer_id));
                }
                self.seeker.connected(connection_id, peer_id, self.clock.now());
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, cause, .. } => {
                let cause = cause.map_or_else(|| "closed".to_owned(), |cause| cause.to_string());
                tracing::info!("disconnected from {peer_id}: {cause}");
                self.dialer.disconnected(peer_id, Instant::now());
                self.neighbours.disconnected(&peer_id);
                self.seeker.disconnected(peer_id, Instant::now());
            }
            SwarmEvent::Behaviour(BehaviourEvent::Mdns(mdns::Event::Discovered(peers))) => {
                for (peer, address) in peers {
                    self.seeker.found(FoundPeer { peer, addresses: vec![without_peer(address)], shards: None });
                }
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                if let Some(asker) = self.dials.remove(&connection_id) {
                    let _ = asker.send(Err(error.to_string()));
                }
                self.seeker.failed(connection_id, Instant::now());
                if let Some((address, pause)) = self.dialer.failed(connection_id, Instant::now()) {
                    tracing::info!("{address} cannot be reached, again in {pause:?}: {error}");
                }
            }
            SwarmEvent::NewListenAddr { address, .. } => tracing::debug!(%address, "listening"),
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "a listener failed"),
            SwarmEvent::ListenerClosed { addresses, .. } => tracing::error!(?addresses, "a listener closed"),
            _ => {}
        }
    }

    fn on_gossip(&mut self, event: gossipsub::Event) {
        if self.sync.on_gossip(&event) {
            return;
        }
        if let gossipsub::Event::Message { propagation_source, message_id, message } = event {
            let verdict = self.live.on_message(message.topic.as_str(), &message.data);
            let gossipsub = &mut self.swarm.behaviour_mut().gossipsub;
            gossipsub.report_message_validation_result(&message_id, &propagation_source, verdict);
        }
    }

    fn on_request(&mut self, request: Request) {
        match request {
            Request::Publish { pubsub_topic, body, answer } => {
                if self.live.publish(&pubsub_topic, body.clone(), answer) {
                    let gossipsub = &mut self.swarm.behaviour_mut().gossipsub;
                    if let Err(error) = gossipsub.publish(IdentTopic::new(pubsub_topic), body) {
                        tracing::debug!(%error, "a message was stored but not relayed; anti-entropy spreads it");
                    }
                }
            }
            Request::Dial { address, answer } => self.dial_for(address, answer),
        }
    }

    /// The node's user wants a connection.
    fn dial_for(&mut self, address: Multiaddr, answer: oneshot::Sender<Result<PeerId, String>>) {
        self.dials.retain(|_, asker| !asker.is_closed());
        if self.dials.len() >= DIALS {
            let _ = answer.send(Err(format!("{DIALS} dials are under way already: try again later")));
            return;
        }
        let dial = DialOpts::from(address);
        let id = dial.connection_id();
        match self.swarm.dial(dial) {
            Ok(()) => drop(self.dials.insert(id, answer)),
            Err(error) => drop(answer.send(Err(error.to_string()))),
        }
    }

    /// Dials a peer of the book.
    fn seek(&mut self) {
        let Some(dial) = self.seeker.due(Instant::now()) else { return };
        let id = dial.connection_id();
        if let Err(error) = self.swarm.dial(dial) {
            tracing::debug!(%error, "a peer of the book is not dialled");
            self.seeker.failed(id, Instant::now());
        }
    }

    fn save_book(&mut self) {
        if let Some(save) = self.seeker.take_changes() {
            tokio::task::spawn_blocking(save);
        }
    }

    fn dial(&mut self, place: usize, address: Result<Multiaddr, std::io::Error>) {
        let dial = match address {
            Ok(address) => self.dialer.dial(place, address),
            Err(error) => {
                if let Some((address, pause)) = self.dialer.unresolved(place, Instant::now()) {
                    tracing::info!("{address} cannot be resolved, again in {pause:?}: {error}");
                }
                return;
            }
        };
        let Some(dial) = dial else { return };
        let id = dial.connection_id();
        if let Err(error) = self.swarm.dial(dial) {
            // Connected already, or refused by the limits.
            if let Some((address, pause)) = self.dialer.failed(id, Instant::now()) {
                tracing::debug!(%address, ?pause, %error, "not dialled");
            }
        }
    }

    /// What repairs spent their time on, for those who want them faster.
    fn log_work(&self) {
        let spent = |stage: Stage| self.sync.work().spent(stage) + self.watched.work().spent(stage);
        let all: Duration = Stage::ALL.into_iter().map(spent).sum();
        let share = |stage: Stage| {
            let percent = 100.0 * spent(stage).as_secs_f64() / all.as_secs_f64().max(f64::MIN_POSITIVE);
            format!("{} {percent:.0} %", stage.name())
        };
        tracing::info!("{:.1} s of work: {}", all.as_secs_f64(), Stage::ALL.map(share).join(", "));
    }

    /// Something could not be stored: tries it again, so that the node goes on by itself.
    fn recheck(&self) {
        let (watched, now) = (self.watched.clone(), self.clock.now());
        tokio::task::spawn_blocking(move || watched.recheck(now));
    }

    fn retain(&self) {
        let (archive, now) = (self.archive.clone(), self.clock.now());
        tokio::task::spawn_blocking(move || match archive.retain(now) {
            Ok(0) => {}
            Ok(dropped) => tracing::info!("dropped {dropped} messages that became too old or too many"),
            Err(error) => tracing::error!(%error, "old messages could not be dropped"),
        });
    }
}

/// Counts what libp2p tells.
fn record(metrics: &Metrics, event: &SwarmEvent<BehaviourEvent>) {
    metrics.record_swarm(event);
    match event {
        SwarmEvent::Behaviour(BehaviourEvent::Gossipsub(event)) => metrics.record_gossipsub(event),
        SwarmEvent::Behaviour(BehaviourEvent::Identify(event)) => metrics.record_identify(event),
        SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) => metrics.record_ping(event),
        _ => {}
    }
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn take(repairs: &mut Repairs, notice: Result<Notice, RecvError>) {
    match notice {
        Ok(notice) => repairs.take(notice),
        Err(RecvError::Lagged(missed)) => tracing::debug!(missed, "notices were missed"),
        Err(RecvError::Closed) => {}
    }
}
