use std::borrow::Cow;

use hearken_tree::{Id, Key};

/// What the archive has to know of a message; the rest of it stays opaque.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The message's id, recomputed from its bytes.
    pub id: Id,
    /// When it was sent: nanoseconds since the Unix epoch.
    pub timestamp: u64,
    /// Its content topic; part of the message, mostly.
    pub content_topic: Cow<'a, str>,
    /// Whether it must not be stored.
    pub ephemeral: bool,
}

impl Header<'_> {
    /// The message's place in the order of all messages.
    pub fn key(&self) -> Key {
        Key::new(self.timestamp, self.id)
    }
}

/// The bytes are not a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message: {reason}")]
pub struct FormatError {
    /// What was expected and what came.
    pub reason: String,
}

/// How a network's messages are read: the one place that knows their encoding and their hash.
///
/// The id must cover the pubsub topic, the content topic and the timestamp, as Waku's does: an archive keeps one message a key.
pub trait MessageFormat: Send + Sync {
    /// Reads the header of the message `body`, sent on `pubsub_topic`; computes its id.
    fn header<'a>(&self, pubsub_topic: &str, body: &'a [u8]) -> Result<Header<'a>, FormatError>;
}
