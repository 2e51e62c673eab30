use hearken_tree::Id;
use sha2::{Digest, Sha256};

use crate::WakuMessage;

/// The message's id on `pubsub_topic`: SHA-256 over pubsub topic, payload, content topic, meta and timestamp (8 bytes,
/// big endian), without separators (14/WAKU2-MESSAGE, "Deterministic message hashing").
///
/// Implementations disagree on a timestamp that is absent or 0: this function hashes it as 8 zero bytes, as nwaku does, and
/// [`WakuFormat`](crate::WakuFormat) refuses such messages.
pub fn message_hash(pubsub_topic: &str, message: &WakuMessage) -> Id {
    let mut hasher = Sha256::new();
    hasher.update(pubsub_topic.as_bytes());
    hasher.update(&message.payload);
    hasher.update(message.content_topic.as_bytes());
    hasher.update(message.meta.as_deref().unwrap_or_default());
    hasher.update(message.timestamp.unwrap_or_default().to_be_bytes());
    Id(hasher.finalize().into())
}
