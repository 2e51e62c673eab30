//! Hearken's protocol: IHAVE, IWANT and their answers as types, and as bytes.
//!
//! - An [`Ihave`] is one gossipsub message on a [`control_topic`]: spans that cover a window of time, each with a short
//!   digest of the messages in it.
//! - A [`Frame`] is what travels on the stream ([`PROTOCOL`]) between two neighbours: a [`Want`], its [`Answer`], the
//!   messages.
//!
//! The protocol itself, field by field, is specified in `proto/README.md`. This crate reads foreign bytes once, at the
//! edge. What comes out of [`Ihave::decode`] and [`decode_frame`] is in order, without overlaps, and within the
//! [`limits`]: nothing behind checks that again. Whether an answer fits its request, and whether what a peer says is true,
//! is not decided here. Nor is there a socket: bytes go in, frames come out.
//!
//! ```
//! use hearken_tree::{Digest, Fingerprint, GroupId};
//! use hearken_wire::{Ihave, SaltedSpan, Salt, Summary, Window};
//!
//! let (salt, window) = (Salt(42), Window { from: 0, to: 3_600_000_000_000 });
//! let root = salt.shorten(&Fingerprint { digest: Digest([7; 32]), count: 1000 });
//! let summary = Summary::new(vec![SaltedSpan { range: window.keys(), fingerprint: root }])?;
//! let ihave = Ihave { group: GroupId([1; 16]), window, salt, root, summary };
//!
//! let bytes = ihave.encode()?;
//! assert_eq!(Ihave::decode(&bytes)?, ihave);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | `ihave`, `summary`, `salt`, `frame` | the types |
//! | `list` | lists that stay packed until somebody looks |
//! | `codec` | the types as bytes, over what prost generates from `proto/`; packed fields by hand |
//! | `framing`, `batch` | frames on a stream, messages in frames |
//! | `protocol` | names: the stream's protocol, control topics |
//! | [`limits`] | what no frame may exceed |
//! | `error` | what can be wrong |
#![forbid(unsafe_code)]

mod batch;
mod codec;
mod error;
mod frame;
mod framing;
mod ihave;
pub mod limits;
mod list;
mod protocol;
mod salt;
mod summary;

pub use batch::{MessageBatch, messages_frame_len};
pub use codec::{RANGE_MAX_OVERHEAD, likely_spans, max_spans};
pub use error::{DecodeError, EncodeError, FrameError};
pub use frame::{Answer, Ask, Frame, RangeWant, Refusal, RefusalReason, RequestId, Verdict, Want};
pub use framing::{FrameBody, FrameReader, decode_frame, encode_frame};
pub use ihave::Ihave;
pub use list::List;
pub use protocol::{PROTOCOL, PROTOCOLS, control_topic};
pub use salt::{Salt, ShortDigest, ShortFingerprint, TinyDigest, TinyFingerprint};
pub use summary::{NotConsecutive, SaltedSpan, Spans, Summary, Window};
