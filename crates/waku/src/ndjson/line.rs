use std::borrow::Cow;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use prost::Message;
use serde::{Deserialize, Serialize};

use super::TopicMessage;
use crate::WakuMessage;

/// One line: `RelayWakuMessage` of Waku's REST interface, and the pubsub topic. Unknown fields are ignored, so that lines
/// taken from a REST answer can be used as they are.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(borrow)]
    pubsub_topic: Cow<'a, str>,
    #[serde(borrow)]
    content_topic: Cow<'a, str>,
    #[serde(borrow)]
    payload: Cow<'a, str>,
    timestamp: i64,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    meta: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ephemeral: Option<bool>,
    /// The proof of RLN: without it an exported message could not pass a validator again.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    proof: Option<Cow<'a, str>>,
}

/// A line is no message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadLine {
    /// Not JSON, or not of that shape.
    #[error(
        "expected {{\"pubsubTopic\", \"contentTopic\", \"payload\", \"timestamp\"}} and optionally \"meta\", \"version\", \
         \"ephemeral\", \"proof\": {0}"
    )]
    Json(#[from] serde_json::Error),
    /// A field is not base64.
    #[error("expected base64 in {field:?}: {error}")]
    Base64 {
        /// The field.
        field: &'static str,
        /// Why not.
        error: base64::DecodeError,
    },
}

/// Padding may be there or not: both are common.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads a line.
pub fn parse_line(line: &[u8]) -> Result<TopicMessage, BadLine> {
    let line: Line<'_> = serde_json::from_slice(line)?;
    let message = WakuMessage {
        payload: decode("payload", &line.payload)?,
        content_topic: line.content_topic.into_owned(),
        version: line.version,
        timestamp: Some(line.timestamp),
        meta: line.meta.map(|meta| decode("meta", &meta)).transpose()?,
        rate_limit_proof: line.proof.map(|proof| decode("proof", &proof)).transpose()?,
        ephemeral: line.ephemeral,
    };
    Ok(TopicMessage { pubsub_topic: line.pubsub_topic.into_owned(), body: message.encode_to_vec().into() })
}

/// Writes a message as a line, with its end. Fields of protobuf that the shape does not have are left out; none of them is
/// part of the message's hash.
pub fn format_line(pubsub_topic: &str, message: &WakuMessage) -> Result<Vec<u8>, serde_json::Error> {
    let line = Line {
        pubsub_topic: pubsub_topic.into(),
        content_topic: (&message.content_topic).into(),
        payload: BASE64.encode(&message.payload).into(),
        timestamp: message.timestamp.unwrap_or_default(),
        meta: message.meta.as_ref().map(|meta| BASE64.encode(meta).into()),
        version: message.version,
        ephemeral: message.ephemeral,
        proof: message.rate_limit_proof.as_ref().map(|proof| BASE64.encode(proof).into()),
    };
    let mut bytes = serde_json::to_vec(&line)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn decode(field: &'static str, text: &str) -> Result<Bytes, BadLine> {
    BASE64.decode(text).map(Bytes::from).map_err(|error| BadLine::Base64 { field, error })
}
