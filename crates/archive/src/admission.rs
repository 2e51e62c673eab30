use std::time::Duration;

use bytes::Bytes;
use hearken_tree::{GroupId, Key, KeyRange};

use crate::Header;

/// A message that may be admitted.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The message as its publisher encoded it; kept verbatim.
    pub body: Bytes,
    /// How it came here.
    pub origin: Origin,
}

/// How a message came here.
#[derive(Clone, Debug)]
pub enum Origin {
    /// Relayed live, or imported, on this pubsub topic: it goes into every group that admits it.
    Topic(String),
    /// Delivered by a neighbour for this group, which asked for these ranges: a message elsewhere is
    /// [`Admission::Unasked`]. It goes into every group that admits it as well.
    Synced {
        /// The group.
        group: GroupId,
        /// What was asked: in order, without overlaps.
        asked: std::sync::Arc<[KeyRange]>,
    },
}

/// What became of a [`Candidate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Stored durably and indexed.
    Stored(Key),
    /// Held before; nothing changed.
    Held(Key),
    /// Not admitted. A synced one is remembered, so that it is not asked for again.
    Refused(Key, RefusalReason),
    /// Not a message at all.
    Malformed(String),
    /// A message, but not one that was asked for.
    Unasked(Key),
}

/// Why a message was not admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefusalReason {
    /// No group of this archive admits its topics.
    #[error("no group here holds its topics")]
    NoGroup,
    /// Older than what is kept.
    #[error("older than what is kept")]
    TooOld,
    /// Its timestamp lies too far in the future, or is zero.
    #[error("its timestamp is zero or too far in the future")]
    BadTimestamp,
    /// Its publisher asked not to store it.
    #[error("ephemeral")]
    Ephemeral,
    /// Larger than allowed.
    #[error("{size} bytes where {limit} are allowed")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The host's validator refused it.
    #[error("refused by the validator: {0}")]
    Invalid(String),
    /// An operator deleted it.
    #[error("deleted by the operator")]
    Deleted,
}

impl RefusalReason {
    /// Whether the same message would be refused again however late it comes: only then is it worth remembering.
    pub(crate) fn lasts(&self, key: &Key) -> bool {
        match self {
            RefusalReason::NoGroup | RefusalReason::TooOld => false,
            RefusalReason::BadTimestamp => key.timestamp() == 0,
            RefusalReason::Ephemeral
            | RefusalReason::TooLarge { .. }
            | RefusalReason::Invalid(_)
            | RefusalReason::Deleted => true,
        }
    }
}

/// The bounds of the one admission predicate, for live and synced messages alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest message, in bytes. Waku: 150 KB.
    pub max_size: usize,
    /// How far ahead of this node's clock a timestamp may lie. Waku: 20 s.
    pub max_future: Duration,
    /// How old a message may be; older ones are neither stored nor kept. `None`: any age.
    pub max_age: Option<Duration>,
}

impl Default for Limits {
    /// Waku's: 150 KB, 20 s ahead, any age.
    fn default() -> Limits {
        Limits { max_size: 150 * 1024, max_future: Duration::from_secs(20), max_age: None }
    }
}

/// The host's own check of a message: proofs (RLN), signatures, bans.
pub trait Validator: Send + Sync {
    /// `Err` with the reason if the message must not be kept. Must give the same answer whenever it is asked.
    fn validate(&self, pubsub_topic: &str, header: &Header<'_>, body: &[u8]) -> Result<(), String>;
}
