//! A node: a libp2p swarm that relays Waku messages, an archive that keeps them, and anti-entropy in the background.

mod events;
mod live;
mod repairs;
mod start;

use std::sync::Arc;

use bytes::Bytes;
use hearken::AntiEntropy;
use hearken_archive::{Admission, Archive};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::faults::Faults;

pub use live::LiveStatus;
pub use start::StartError;

/// How a node runs beside its settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeOptions {
    /// The time it lives in.
    pub clock: Clock,
    /// What goes wrong on purpose.
    pub faults: Faults,
}

/// A running node. It runs until it is [stopped](Node::stop) or dropped.
pub struct Node {
    peer_id: PeerId,
    listening: Vec<Multiaddr>,
    archive: Arc<dyn Archive>,
    sync: AntiEntropy,
    live: Arc<live::LiveCounters>,
    requests: mpsc::Sender<Request>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What a node's own user asks of its event loop.
enum Request {
    Publish { pubsub_topic: String, body: Bytes, answer: oneshot::Sender<Result<Admission, String>> },
}

/// A message was not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// It would not be relayed.
    #[error("the message was not published: {0}")]
    Refused(String),
    /// The node has stopped.
    #[error("the message was not published: the node has stopped")]
    Stopped,
}

impl Node {
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

    /// Its anti-entropy.
    pub fn sync(&self) -> &AntiEntropy {
        &self.sync
    }

    /// What was relayed.
    pub fn live(&self) -> LiveStatus {
        self.live.status()
    }

    /// Stores a message durably and relays it; returns what the archive says of it.
    pub async fn publish(&self, pubsub_topic: &str, body: Bytes) -> Result<Admission, PublishError> {
        let (answer, answered) = oneshot::channel();
        let request = Request::Publish { pubsub_topic: pubsub_topic.to_owned(), body, answer };
        self.requests.send(request).await.map_err(|_| PublishError::Stopped)?;
        answered.await.map_err(|_| PublishError::Stopped)?.map_err(PublishError::Refused)
    }

    /// Stops relaying and repairing, stores what was received, and closes the archive once its last user has dropped it.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        // A loop that panicked has said so.
        let _ = self.task.await;
        self.sync.stop().await;
        // The last handle commits what waits, which blocks.
        let closing = (self.sync, self.archive);
        let _ = tokio::task::spawn_blocking(move || drop(closing)).await;
    }
}
