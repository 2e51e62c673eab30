//! Messages as nwaku's REST interface writes them.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use hearken_waku::WakuMessage;
use serde::{Deserialize, Serialize};

use super::refusal::{Refusal, quote};

/// A message.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JsonMessage {
    /// Base64.
    payload: String,
    content_topic: Option<String>,
    version: Option<u32>,
    /// Nanoseconds since the Unix epoch.
    timestamp: Option<i64>,
    ephemeral: Option<bool>,
    /// Base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<String>,
    /// The proof of RLN, base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<String>,
}

/// Padding may be there or not, as clients have it.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl JsonMessage {
    pub(super) fn new(message: &WakuMessage) -> JsonMessage {
        let text = |bytes: &Bytes| BASE64.encode(bytes);
        let present = |bytes: &Option<Bytes>| bytes.as_ref().filter(|bytes| !bytes.is_empty()).map(text);
        JsonMessage {
            payload: text(&message.payload),
            content_topic: Some(message.content_topic.clone()),
            version: Some(message.version.unwrap_or_default()),
            timestamp: Some(message.timestamp.unwrap_or_default()),
            ephemeral: Some(message.ephemeral.unwrap_or_default()),
            meta: present(&message.meta),
            proof: present(&message.rate_limit_proof),
        }
    }

    /// The message; sent `now` (nanoseconds since the Unix epoch) if it does not say when.
    pub(super) fn message(self, now: u64) -> Result<WakuMessage, Refusal> {
        let Some(content_topic) = self.content_topic.filter(|topic| !topic.trim().is_empty()) else {
            return Err(Refusal::bad("expected a content topic in the field contentTopic"));
        };
        let payload = decode("payload", &self.payload)?;
        if payload.is_empty() {
            return Err(Refusal::bad("expected at least one byte in the field payload, as base64"));
        }
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        Ok(WakuMessage {
            payload,
            content_topic,
            version: self.version,
            timestamp: Some(self.timestamp.filter(|timestamp| *timestamp != 0).unwrap_or(now)),
            meta: self.meta.map(|meta| decode("meta", &meta)).transpose()?.filter(|meta| !meta.is_empty()),
            rate_limit_proof: self.proof.map(|proof| decode("proof", &proof)).transpose()?,
            ephemeral: self.ephemeral,
        })
    }
}

fn decode(field: &str, text: &str) -> Result<Bytes, Refusal> {
    let refusal = |error| Refusal::bad(format!("expected base64 in the field {field}, found {}: {error}", quote(text)));
    BASE64.decode(text).map(Bytes::from).map_err(refusal)
}
