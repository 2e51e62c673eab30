use hearken_tree::Id;
use sha2::{Digest, Sha256};

use crate::{WakuMessage, fields::Fields};

/// The message's id on `pubsub_topic`: SHA-256 over pubsub topic, payload, content topic, meta and timestamp (8 bytes,
/// big endian), without separators (14/WAKU2-MESSAGE, "Deterministic message hashing").
///
/// Implementations disagree on a timestamp that is absent or 0: this function hashes it as 8 zero bytes, as nwaku does, and
/// [`WakuFormat`](crate::WakuFormat) refuses such messages.
pub fn message_hash(pubsub_topic: &str, message: &WakuMessage) -> Id {
    hash(pubsub_topic, &Fields::of(message))
}

/// The same of a message whose fields are known.
pub(crate) fn hash(pubsub_topic: &str, fields: &Fields<'_>) -> Id {
    let mut hasher = Sha256::new();
    hasher.update(pubsub_topic.as_bytes());
    hasher.update(fields.payload);
    hasher.update(fields.content_topic.as_bytes());
    hasher.update(fields.meta);
    hasher.update(fields.timestamp.to_be_bytes());
    Id(hasher.finalize().into())
}
