//! Waku's message, its deterministic hash, its topics, and the protocols by which stores are asked.
//!
//! What a store node has to know of Waku, and nothing of swarms: [`WakuMessage`] is the protobuf message of Waku's
//! relay ([14/WAKU2-MESSAGE](https://rfc.vac.dev/waku/standards/core/14/message)), [`message_hash`] its id, [`WakuFormat`]
//! teaches a [`hearken_archive::Archive`] both, and [`Shard`] and [`ContentTopic`] read the names of topics
//! ([51/WAKU2-RELAY-SHARDING](https://rfc.vac.dev/waku/standards/core/relay-sharding)).
//!
//! Relayed bytes are kept as they came. Clients encode the same message differently (some write defaults out), and the
//! hash covers the fields and not the bytes, so re-encoding is never needed and never done.
//!
//! ```
//! use hearken_archive::MessageFormat;
//! use hearken_waku::{Shard, WakuFormat, WakuMessage, autoshard, message_hash};
//! use prost::Message;
//!
//! let message = WakuMessage {
//!     payload: b"hello".as_slice().into(),
//!     content_topic: "/toy-chat/2/huilong/proto".into(),
//!     timestamp: Some(1_700_000_000_000_000_000),
//!     ..WakuMessage::default()
//! };
//! let shard = autoshard(&message.content_topic.parse()?, 1, 8)?;
//! assert_eq!(shard, Shard { cluster: 1, index: 7 });
//!
//! let topic = shard.to_string(); // "/waku/2/rs/1/7"
//! let body = message.encode_to_vec();
//! let header = WakuFormat.header(&topic, &body)?;
//! assert_eq!(header.id, message_hash(&topic, &message));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | `message` | the protobuf message |
//! | `hash` | its deterministic hash |
//! | `fields` | what the hash covers, read where it lies |
//! | `format` | both as the archive's [`MessageFormat`](hearken_archive::MessageFormat) |
//! | [`ndjson`] | messages as lines of JSON, in and out of files |
//! | `topics` | shards, content topics, autosharding |
//! | [`store`] | Store v3: requests and responses, what a node answers out of its archive, how a client pages |
//! | [`metadata`] | what nodes tell each other of their cluster and shards |
//! | [`framing`] | both on a stream: any `AsyncRead` and `AsyncWrite`, such as libp2p's |
#![forbid(unsafe_code)]

mod fields;
mod format;
pub mod framing;
mod hash;
mod message;
pub mod metadata;
pub mod ndjson;
pub mod store;
mod topics;

pub use format::{MAX_META, WakuFormat};
pub use hash::message_hash;
pub use message::WakuMessage;
pub use topics::{ContentTopic, Shard, TopicError, autoshard};
