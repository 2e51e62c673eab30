use std::borrow::Cow;

use hearken_archive::{FormatError, Header, MessageFormat};
use prost::Message;

use crate::{WakuMessage, fields::Fields, hash::hash};

/// The longest meta attribute, in bytes (14/WAKU2-MESSAGE).
pub const MAX_META: usize = 64;

/// Reads [`WakuMessage`]s for an archive.
///
/// Not a message: what is no protobuf of that shape, has no timestamp or one that is not after the Unix epoch (the hash
/// of those is ambiguous), or a meta attribute longer than [`MAX_META`].
#[derive(Clone, Copy, Debug, Default)]
pub struct WakuFormat;

impl MessageFormat for WakuFormat {
    fn header<'a>(&self, pubsub_topic: &str, body: &'a [u8]) -> Result<Header<'a>, FormatError> {
        if let Some(fields) = Fields::read(body) {
            return header(pubsub_topic, &fields, fields.content_topic.into());
        }
        let message = WakuMessage::decode(body)
            .map_err(|error| malformed(format!("expected the protobuf of a Waku message: {error}")))?;
        header(pubsub_topic, &Fields::of(&message), message.content_topic.clone().into())
    }
}

fn header<'a>(pubsub_topic: &str, fields: &Fields<'_>, content_topic: Cow<'a, str>) -> Result<Header<'a>, FormatError> {
    let Some(timestamp) = u64::try_from(fields.timestamp).ok().filter(|timestamp| *timestamp > 0) else {
        let found = fields.timestamp;
        return Err(malformed(format!("expected a timestamp in nanoseconds after 1970, found {found}")));
    };
    let meta = fields.meta.len();
    if meta > MAX_META {
        return Err(malformed(format!("expected at most {MAX_META} bytes of meta, found {meta}")));
    }
    Ok(Header { id: hash(pubsub_topic, fields), timestamp, ephemeral: fields.ephemeral, content_topic })
}

fn malformed(reason: String) -> FormatError {
    FormatError { reason }
}
