//! A node: a libp2p swarm that relays Waku messages, an archive that keeps them, and anti-entropy in the background.

mod activity;
mod events;
mod health;
mod live;
mod neighbours;
mod repairs;
mod start;

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hearken::{AntiEntropy, Stage};
use hearken_archive::{Admission, Archive, ArchiveStats};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::discovery::FoundPeer;
use crate::faults::Faults;
use crate::metrics::Metrics;

pub use activity::{Repair, Seen};
pub use health::Trouble;
pub use live::LiveStatus;
pub use neighbours::Neighbour;
pub use start::StartError;

/// How a node runs beside its settings.
#[derive(Clone, Copy, Default)]
pub struct NodeOptions {
    /// The time it lives in.
    pub clock: Clock,
    /// What goes wrong on purpose.
    pub faults: Faults,
    /// Where events of the swarm are counted.
    pub metrics: Option<&'static Metrics>,
}

/// A running node. It runs until it is [stopped](Node::stop) or dropped.
pub struct Node {
    running: Arc<Running>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What is asked of a running node. Whoever serves others, and may be slow to end, holds a [`NodeHandle`] and takes this only for as
/// long as one answer takes: a node that stops waits for nobody.
pub struct Running {
    peer_id: PeerId,
    listening: Vec<Multiaddr>,
    archive: Arc<dyn Archive>,
    watched: Arc<health::Watched>,
    sync: AntiEntropy,
    live: Arc<live::LiveCounters>,
    activity: Arc<activity::Activity>,
    neighbours: Arc<neighbours::Neighbours>,
    requests: mpsc::Sender<Request>,
    found: mpsc::Sender<FoundPeer>,
    clock: Clock,
    started: Instant,
}

/// A handle to a node that may have stopped.
#[derive(Clone)]
pub struct NodeHandle(Weak<Running>);

/// What a node's own user asks of its event loop.
enum Request {
    Publish { pubsub_topic: String, body: Bytes, answer: oneshot::Sender<Result<Admission, PublishError>> },
    Dial { address: Multiaddr, answer: oneshot::Sender<Result<PeerId, String>> },
}

/// Takes peers that a host's own source finds: a registry, a configuration service, another protocol.
#[derive(Clone, Debug)]
pub struct PeerSource(mpsc::Sender<FoundPeer>);

impl PeerSource {
    /// Enters a peer into the node's book, from which it makes connections; `false` once the node has stopped.
    pub async fn found(&self, peer: FoundPeer) -> bool {
        self.0.send(peer).await.is_ok()
    }
}

/// A message was not published, or not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// It would not be relayed.
    #[error("the message was not published: {0}")]
    Refused(String),
    /// It was relayed, but not stored.
    #[error("the message was relayed, but not stored: {0}")]
    NotStored(String),
    /// The node has stopped.
    #[error("the message was not published: the node has stopped")]
    Stopped,
}

impl Node {
    /// The node's name on the network.
    pub fn peer_id(&self) -> PeerId {
        self.running.peer_id
    }

    /// Where it listens, without its peer id.
    pub fn listening(&self) -> &[Multiaddr] {
        &self.running.listening
    }

    /// Its messages.
    pub fn archive(&self) -> &Arc<dyn Archive> {
        &self.running.archive
    }

    /// How much it stores.
    pub fn stats(&self) -> ArchiveStats {
        self.running.stats()
    }

    /// Its anti-entropy.
    pub fn sync(&self) -> &AntiEntropy {
        &self.running.sync
    }

    /// What was relayed.
    pub fn live(&self) -> LiveStatus {
        self.running.live()
    }

    /// Where the host's own source of peers reports those that it finds. Connections are made as `discovery.peers` allows.
    pub fn peer_source(&self) -> PeerSource {
        PeerSource(self.running.found.clone())
    }

    /// Stores a message durably and relays it; returns what the archive says of it.
    pub async fn publish(&self, pubsub_topic: &str, body: Bytes) -> Result<Admission, PublishError> {
        self.running.publish(pubsub_topic, body).await
    }

    /// A handle that does not keep the node running.
    pub fn handle(&self) -> NodeHandle {
        NodeHandle(Arc::downgrade(&self.running))
    }

    /// Stops relaying and repairing, stores what was received, and closes the archive once its last user has dropped it.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        // A loop that panicked has said so.
        let _ = self.task.await;
        self.running.sync.stop().await;
        // The last handle commits what waits, which blocks.
        let closing = self.running;
        let _ = tokio::task::spawn_blocking(move || drop(closing)).await;
    }
}

impl NodeHandle {
    /// The node, for a moment; `None` once it has stopped.
    pub fn running(&self) -> Option<Arc<Running>> {
        self.0.upgrade()
    }
}

impl Running {
    /// The node's name on the network.
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// Where it listens, without its peer id.
    pub fn listening(&self) -> &[Multiaddr] {
        &self.listening
    }

    /// Its messages.
    pub fn archive(&self) -> &Arc<dyn Archive> {
        &self.archive
    }

    /// How much it stores.
    pub fn stats(&self) -> ArchiveStats {
        self.watched.stats()
    }

    /// Why its archive cannot be written, while that is so.
    pub fn trouble(&self) -> Option<Trouble> {
        self.watched.trouble()
    }

    /// Its anti-entropy.
    pub fn sync(&self) -> &AntiEntropy {
        &self.sync
    }

    /// What was relayed.
    pub fn live(&self) -> LiveStatus {
        self.live.status()
    }

    /// What its time went to, by stage: wall-clock time of all threads together.
    pub fn work(&self) -> [(Stage, Duration); 6] {
        Stage::ALL.map(|stage| (stage, self.sync.work().spent(stage) + self.watched.work().spent(stage)))
    }

    /// Who is connected.
    pub fn neighbours(&self) -> Vec<Neighbour> {
        self.neighbours.all()
    }

    /// The last repairs, newest first.
    pub fn repairs(&self) -> Vec<Repair> {
        self.activity.repairs()
    }

    /// The last live messages, newest first.
    pub fn seen(&self) -> Vec<Seen> {
        self.activity.seen()
    }

    /// The messages relayed on a topic since this was last called, as far as they are remembered; `None` if the topic is not
    /// relayed here.
    pub fn relayed(&self, pubsub_topic: &str) -> Option<Vec<Bytes>> {
        self.activity.fetch(pubsub_topic)
    }

    /// The messages of a content topic since this was last called, as far as they are remembered; `None` if nobody asked to
    /// [have them kept](Running::keep_relayed).
    pub fn relayed_of(&self, content_topic: &str) -> Option<Vec<Bytes>> {
        self.activity.fetch_content(content_topic)
    }

    /// From now on, relayed messages of these content topics are remembered for [`Running::relayed_of`]; `false`, and nothing has
    /// changed, if there are too many of them (256).
    pub fn keep_relayed(&self, content_topics: &[String]) -> bool {
        self.activity.keep(content_topics)
    }

    /// They are not any more.
    pub fn forget_relayed(&self, content_topics: &[String]) {
        self.activity.forget(content_topics);
    }

    /// The time it lives in.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Stores a message durably and relays it; returns what the archive says of it.
    pub async fn publish(&self, pubsub_topic: &str, body: Bytes) -> Result<Admission, PublishError> {
        let (answer, answered) = oneshot::channel();
        let request = Request::Publish { pubsub_topic: pubsub_topic.to_owned(), body, answer };
        self.requests.send(request).await.map_err(|_| PublishError::Stopped)?;
        answered.await.map_err(|_| PublishError::Stopped)?
    }

    /// Connects to a peer; returns who it is, or why not.
    pub async fn dial(&self, address: Multiaddr) -> Result<PeerId, String> {
        let stopped = || "the node has stopped".to_owned();
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request::Dial { address, answer }).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}
