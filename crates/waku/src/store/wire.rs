use bytes::Bytes;

use crate::WakuMessage;

/// A request, as it travels. [`StoreQuery`](super::StoreQuery) is what it means.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StoreRequest {
    /// Comes back in the response.
    #[prost(string, tag = "1")]
    pub request_id: String,
    /// Whether messages are wanted, or only their ids.
    #[prost(bool, tag = "2")]
    pub include_data: bool,
    /// Only messages of this pubsub topic.
    #[prost(string, optional, tag = "10")]
    pub pubsub_topic: Option<String>,
    /// Only messages of one of these content topics, if there are any.
    #[prost(string, repeated, tag = "11")]
    pub content_topics: Vec<String>,
    /// Only messages sent at or after this time: nanoseconds since the Unix epoch.
    #[prost(sint64, optional, tag = "12")]
    pub time_start: Option<i64>,
    /// Only messages sent before this time.
    #[prost(sint64, optional, tag = "13")]
    pub time_end: Option<i64>,
    /// Only messages with one of these ids, if there are any.
    #[prost(bytes = "bytes", repeated, tag = "20")]
    pub message_hashes: Vec<Bytes>,
    /// The id from which the last page leads on.
    #[prost(bytes = "bytes", optional, tag = "51")]
    pub pagination_cursor: Option<Bytes>,
    /// Towards newer messages, or towards older ones.
    #[prost(bool, tag = "52")]
    pub pagination_forward: bool,
    /// Most messages in the page.
    #[prost(uint64, optional, tag = "53")]
    pub pagination_limit: Option<u64>,
}

/// A response, as it travels.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StoreResponse {
    /// That of the request.
    #[prost(string, tag = "1")]
    pub request_id: String,
    /// A [`StatusCode`], or another of that kind.
    #[prost(uint32, optional, tag = "10")]
    pub status_code: Option<u32>,
    /// What went wrong, for people.
    #[prost(string, optional, tag = "11")]
    pub status_desc: Option<String>,
    /// The page, in ascending order of time whatever its direction.
    #[prost(message, repeated, tag = "20")]
    pub messages: Vec<Entry>,
    /// Where the next page goes on; none: this is the last.
    #[prost(bytes = "bytes", optional, tag = "51")]
    pub pagination_cursor: Option<Bytes>,
}

/// A message of a page.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Entry {
    /// Its id.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub message_hash: Option<Bytes>,
    /// The message itself, where data was wanted. Opaque bytes and an embedded message have one encoding: what was relayed
    /// is passed on verbatim.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub message: Option<Bytes>,
    /// Its pubsub topic.
    #[prost(string, optional, tag = "3")]
    pub pubsub_topic: Option<String>,
}

impl Entry {
    /// The message read, if there is one and it can be.
    pub fn read(&self) -> Option<WakuMessage> {
        prost::Message::decode(self.message.clone()?).ok()
    }
}

/// What became of a request, as in HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatusCode {
    /// Answered.
    Success,
    /// The request makes no sense.
    BadRequest,
    /// Too many requests of this peer.
    TooManyRequests,
    /// The archive cannot be read, or too many ask at a time.
    Unavailable,
    /// It would take too long.
    TooMuch,
}

impl StatusCode {
    /// Its number.
    pub fn number(self) -> u32 {
        match self {
            StatusCode::Success => 200,
            StatusCode::BadRequest => 400,
            StatusCode::TooManyRequests => 429,
            StatusCode::Unavailable => 503,
            StatusCode::TooMuch => 504,
        }
    }
}
