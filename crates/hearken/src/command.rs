use std::sync::Arc;

use libp2p::PeerId;
use libp2p::gossipsub::{self, DataTransform, IdentTopic, MessageAcceptance, MessageId, TopicSubscriptionFilter};
use tokio::sync::mpsc;

use crate::status::Counters;

/// What the host's gossipsub has to do. [`Commands::apply`] does it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Command {
    /// Subscribe to this control topic, an [`IdentTopic`].
    Subscribe(String),
    /// Publish an IHAVE.
    Publish {
        /// On this control topic, an [`IdentTopic`].
        topic: String,
        /// The encoded IHAVE.
        data: Vec<u8>,
    },
    /// Say whether a message on a control topic is to be forwarded. Comes only where gossipsub was built with
    /// [`validate_messages`](gossipsub::ConfigBuilder::validate_messages).
    Report {
        /// The message.
        id: MessageId,
        /// The neighbour that forwarded it.
        source: PeerId,
        /// What to do.
        acceptance: MessageAcceptance,
    },
    /// What the peer's conduct on the sync protocol is worth as application score: 0 or less, at least -10, forgotten by half
    /// every ten minutes. A host that has scores of its own adds this one to them instead of calling [`Commands::apply`].
    Score {
        /// The peer.
        peer: PeerId,
        /// Its score.
        score: f64,
    },
}

/// The commands for the host's gossipsub, as they come.
#[derive(Debug)]
pub struct Commands {
    pub(crate) queue: mpsc::Receiver<Command>,
    pub(crate) counters: Arc<Counters>,
}

impl Commands {
    /// Waits for the next command; `None` once the task has ended. May be dropped while it waits: nothing is lost.
    ///
    /// Take commands as they come. Where many wait, further IHAVEs and reports are dropped.
    pub async fn next(&mut self) -> Option<Command> {
        self.queue.recv().await
    }

    /// Does what the command says.
    ///
    /// What gossipsub does not take is logged and forgotten, since an IHAVE is only a hint: that nobody else has subscribed yet is
    /// usual on start.
    pub fn apply<D, F>(&self, command: Command, gossipsub: &mut gossipsub::Behaviour<D, F>)
    where
        D: DataTransform + Send + 'static,
        F: TopicSubscriptionFilter + Send + 'static,
    {
        match command {
            Command::Subscribe(topic) => {
                if let Err(error) = gossipsub.subscribe(&IdentTopic::new(&topic)) {
                    tracing::warn!(%topic, %error, "gossipsub refuses the control topic: no IHAVE will come");
                }
            }
            Command::Publish { topic, data } => {
                let size = data.len();
                match gossipsub.publish(IdentTopic::new(&topic), data) {
                    Ok(_) => self.counters.announced(size),
                    Err(error) => tracing::debug!(%topic, size, %error, "an IHAVE was not published"),
                }
            }
            Command::Report { id, source, acceptance } => {
                gossipsub.report_message_validation_result(&id, &source, acceptance);
            }
            Command::Score { peer, score } => {
                gossipsub.set_application_score(&peer, score);
            }
        }
    }
}
