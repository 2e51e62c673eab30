use hearken_archive::{FormatError, Header, MessageFormat};
use prost::Message;

use crate::{WakuMessage, message_hash};

/// The longest meta attribute, in bytes (14/WAKU2-MESSAGE).
pub const MAX_META: usize = 64;

/// Reads [`WakuMessage`]s for an archive.
///
/// Not a message: what is no protobuf of that shape, has no timestamp or one that is not after the Unix epoch (the hash
/// of those is ambiguous), or a meta attribute longer than [`MAX_META`].
#[derive(Clone, Copy, Debug, Default)]
pub struct WakuFormat;

impl MessageFormat for WakuFormat {
    fn header(&self, pubsub_topic: &str, body: &[u8]) -> Result<Header, FormatError> {
        let message = WakuMessage::decode(body)
            .map_err(|error| malformed(format!("expected the protobuf of a Waku message: {error}")))?;
        let timestamp = message.timestamp.unwrap_or_default();
        let Some(timestamp) = u64::try_from(timestamp).ok().filter(|timestamp| *timestamp > 0) else {
            return Err(malformed(format!("expected a timestamp in nanoseconds after 1970, found {timestamp}")));
        };
        let meta = message.meta.as_ref().map_or(0, |meta| meta.len());
        if meta > MAX_META {
            return Err(malformed(format!("expected at most {MAX_META} bytes of meta, found {meta}")));
        }
        Ok(Header {
            id: message_hash(pubsub_topic, &message),
            timestamp,
            ephemeral: message.ephemeral.unwrap_or_default(),
            content_topic: message.content_topic,
        })
    }
}

fn malformed(reason: String) -> FormatError {
    FormatError { reason }
}
