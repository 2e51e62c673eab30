//! What no frame may exceed, checked before anything is allocated for it.
//!
//! Lists stay packed until they are looked at, so that decoding allocates at most the length of what was received once more.

/// Longest IHAVE in bytes. The budget for summaries ends here, and a gossipsub node carries it with its default settings.
pub const IHAVE_MAX: usize = 64 << 10;

/// Longest body of a frame in bytes: room for six messages of 150 KB, the most that Waku allows.
pub const FRAME_MAX: usize = 1 << 20;

/// Longest body of a frame that is not [`Messages`](crate::Frame::Messages). A sketch that finds 200,000 differences
/// goes in five such requests, each of which is answered as it comes.
pub const CONTROL_FRAME_MAX: usize = 256 << 10;

/// Most ranges in a request, so most verdicts in an answer. 4,096 sketches of the best capacity fill a control frame
/// several times.
pub const RANGES_MAX: usize = 4096;

/// Most spans in an IHAVE, and in all summaries of an answer together.
pub const SPANS_MAX: usize = 4096;

/// Most syndromes in one sketch. Decoding takes time quadratic in it, and from about 64 on splitting is cheaper.
pub const SYNDROMES_MAX: usize = 256;

/// Most short ids in one list. A range of which more are known is split.
pub const IDS_MAX: usize = 4096;

/// Most syndromes and short ids in a request, most short ids in an answer: three quarters of a control frame.
pub const WORDS_MAX: usize = 48 << 10;

/// Largest number of messages in a range. Nobody has so many, and all numbers in a frame may be added without overflow.
pub const COUNT_MAX: u64 = 1 << 48;

/// Most messages in a frame.
pub const MESSAGES_MAX: usize = 4096;

/// Longest message: it has to fit into a frame with 32 bytes around it.
pub const MESSAGE_MAX: usize = FRAME_MAX - 32;

/// Most messages in a frame whose body is `length` bytes long: 16, and one for every 32 bytes. A handle to a message takes as
/// much, so that no frame takes more than twice its length in memory, however small its messages are.
pub fn messages_max(length: usize) -> usize {
    (16 + length / 32).min(MESSAGES_MAX)
}
