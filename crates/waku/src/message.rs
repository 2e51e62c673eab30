use bytes::Bytes;

/// A message of Waku's relay, as protobuf (14/WAKU2-MESSAGE).
#[derive(Clone, PartialEq, prost::Message)]
pub struct WakuMessage {
    /// What users send.
    #[prost(bytes = "bytes", tag = "1")]
    pub payload: Bytes,
    /// What the application filters by, such as `/toy-chat/2/huilong/proto`.
    #[prost(string, tag = "2")]
    pub content_topic: String,
    /// How the payload is encrypted; 0: not by Waku.
    #[prost(uint32, optional, tag = "3")]
    pub version: Option<u32>,
    /// When it was sent: nanoseconds since the Unix epoch.
    #[prost(sint64, optional, tag = "10")]
    pub timestamp: Option<i64>,
    /// What the application adds to the hash; at most [`MAX_META`](crate::MAX_META) bytes.
    #[prost(bytes = "bytes", optional, tag = "11")]
    pub meta: Option<Bytes>,
    /// The proof of RLN, opaque here: a host that asks for proofs checks it in its validator.
    #[prost(bytes = "bytes", optional, tag = "21")]
    pub rate_limit_proof: Option<Bytes>,
    /// Whether stores must not keep it.
    #[prost(bool, optional, tag = "31")]
    pub ephemeral: Option<bool>,
}
