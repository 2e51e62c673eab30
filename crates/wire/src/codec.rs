//! From the checked types to bytes and back. Nothing behind this module checks again.

mod bound;
mod frame;
mod ihave;
mod packed;
mod ranges;
pub(crate) mod spans;
mod verdicts;
mod window;

pub(crate) use frame::{MESSAGES_TAG, count_messages, field_len, frame_body_len, put_frame, read_frame};
pub use ihave::{likely_spans, max_spans};
pub use ranges::RANGE_MAX_OVERHEAD;

/// What prost generates from `proto/`.
pub(crate) mod proto {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    include!("generated/hearken.v1.rs");
}
