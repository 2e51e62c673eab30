//! Messages as lines of JSON, in the shape of Waku's REST interface, plain or compressed with zstd.

mod input;
mod line;
mod output;

pub use input::{Input, InputError, LineError, MAX_LINE};
pub use line::{BadLine, format_line, parse_line};
pub use output::Output;

use bytes::Bytes;

/// A message with the topic it travels on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicMessage {
    /// The pubsub topic.
    pub pubsub_topic: String,
    /// The message as protobuf.
    pub body: Bytes,
}
