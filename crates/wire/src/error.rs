use hearken_tree::Key;

use crate::{NotConsecutive, Window};

/// Why bytes are not what they should be. The sender breaks the protocol, or speaks a later version of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not protobuf of the expected message.
    #[error("expected a protobuf message of hearken.v1: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// A frame of a kind that this version does not know. It can be skipped: the stream is still in step.
    #[error("expected a want, answer, messages, done, refusal or cancel frame, found field {field}: skip it")]
    UnknownFrame {
        /// The number of its field in `Frame`.
        field: u64,
    },
    /// A frame without a body.
    #[error("expected a frame with a body, found an empty one")]
    EmptyFrame,
    /// A frame that says several things.
    #[error("expected a frame with one body, found several")]
    SeveralBodies,
    /// More bytes than allowed.
    #[error("expected {what} of at most {max} bytes, found {found}")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Its length.
        found: u64,
        /// The limit.
        max: usize,
    },
    /// More items than allowed.
    #[error("expected at most {max} {what}, found {found}")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// Their number.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// A field of fixed length with another length, or a missing one.
    #[error("expected {what} of {expected} bytes, found {found}")]
    Length {
        /// Which field.
        what: &'static str,
        /// The length it has to have.
        expected: usize,
        /// The length it has.
        found: usize,
    },
    /// A packed field ends in the middle of something.
    #[error("expected {what}, found the end of the field")]
    Truncated {
        /// What was being read.
        what: &'static str,
    },
    /// A packed field goes on after its last item.
    #[error("expected the end of the packed {what}, found {bytes} more bytes")]
    Trailing {
        /// Which field.
        what: &'static str,
        /// How many bytes are left.
        bytes: usize,
    },
    /// A number too large for what it means.
    #[error("expected {what} that fits its type, found a larger number")]
    Overflow {
        /// Which number.
        what: &'static str,
    },
    /// A window that is missing, or whose end is past what 63 bits of nanoseconds hold.
    #[error("expected a window that ends within 2^63 ns, found scale {scale}, start {start}, length {length}")]
    BadWindow {
        /// Decimal exponent of both.
        scale: u32,
        /// Start, scaled.
        start: u64,
        /// Length, scaled.
        length: u64,
    },
    /// A packed item of a kind that this version does not know.
    #[error("expected {what} of a known kind, found header {header:#04x}")]
    UnknownKind {
        /// What the item is.
        what: &'static str,
        /// Its first byte.
        header: u8,
    },
    /// Bounds that do not rise.
    #[error("expected {what} {index} to end after {start:?}, found an end at {end:?}")]
    NotRising {
        /// What the bounds belong to.
        what: &'static str,
        /// Which of them.
        index: usize,
        /// Where it starts, or the one before it ended.
        start: Key,
        /// Where it ends, or starts.
        end: Key,
    },
    /// An IHAVE whose spans do not hold as many messages as its window.
    #[error("expected spans with {root} messages in all, found {spans}")]
    CountMismatch {
        /// Number of messages in the window.
        root: u64,
        /// In all spans together.
        spans: u64,
    },
    /// Spans that do not follow one another.
    #[error(transparent)]
    NotConsecutive(#[from] NotConsecutive),
}

/// Why a value cannot be sent: its author made a mistake. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// More bytes than a receiver accepts.
    #[error("{what} may have at most {max} bytes, not {found}: send less at a time")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// More items than a receiver accepts.
    #[error("at most {max} {what} are allowed, not {found}: send less at a time")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// Their number.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// A window that ends before it starts, or past what 63 bits of nanoseconds hold.
    #[error("a window must not end before it starts, nor after 2^63 ns, as {0:?} does")]
    BadWindow(Window),
    /// A range that is empty, or starts before the one before it ended or before the window.
    #[error("{what} {index} must not be empty nor start before {after:?}, but starts at {start:?}")]
    OutOfOrder {
        /// What it is.
        what: &'static str,
        /// Which.
        index: usize,
        /// The end of the one before it, or the start of the sender's window.
        after: Key,
        /// Where it starts.
        start: Key,
    },
    /// An IHAVE whose spans do not hold as many messages as its window.
    #[error("the spans of an IHAVE must hold the {root} messages of its window in all, not {spans}")]
    CountMismatch {
        /// Number of messages in the window.
        root: u64,
        /// In all spans together.
        spans: u64,
    },
    /// An IHAVE whose spans do not cover its window.
    #[error("the spans of an IHAVE must cover its window {window:?} or be none, but go from {start:?} to {end:?}")]
    NotTheWindow {
        /// The IHAVE's window.
        window: Window,
        /// Where its spans start.
        start: Key,
        /// Where its spans end.
        end: Key,
    },
}

/// Why a stream cannot go on, or a frame on it has to be skipped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The length of the next frame is over the limit. Nothing of it was taken: close the stream.
    #[error("expected a frame of at most {max} bytes, found a length of {length}: close the stream")]
    TooLong {
        /// The length that was announced.
        length: u64,
        /// The limit.
        max: usize,
    },
    /// The next frame does not start with a length. Nothing of it was taken: close the stream.
    #[error("expected a frame's length as a varint of at most 4 bytes: close the stream")]
    BadLength,
    /// A whole frame was taken, but it says nothing valid.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl FrameError {
    /// Whether the stream is still in step and only one frame, of a kind that a later version may have added, is lost.
    ///
    /// Everything else is a breach of the protocol: close the stream.
    pub fn is_skippable(&self) -> bool {
        matches!(self, FrameError::Decode(DecodeError::UnknownFrame { .. }))
    }
}
