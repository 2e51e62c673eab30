use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use hearken_tree::{GroupId, Id, Key, KeyRange, PageError, Snapshot};

use crate::{Admission, Candidate, Filter, FormatError, Query, QueryPage};

use bytes::Bytes;

/// One consistent state of a group's index.
#[derive(Clone)]
pub struct View {
    /// What is kept.
    pub kept: Snapshot,
    /// What is kept or refused; the same as `kept` where nothing is refused.
    pub held: Snapshot,
}

/// A message as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its place in the order of all messages.
    pub key: Key,
    /// The archive's count of admissions when it was admitted: monotone, never reused.
    pub sequence: u64,
    /// Its pubsub topic.
    pub pubsub_topic: Arc<str>,
    /// The message as its publisher encoded it.
    pub body: Bytes,
}

/// How much one read returns at most; at least one message, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimit {
    /// Messages.
    pub messages: usize,
    /// Bytes of their bodies.
    pub bytes: usize,
}

/// A page of a read being filled.
pub(crate) struct Page {
    pub(crate) messages: Vec<StoredMessage>,
    limit: PageLimit,
    bytes: usize,
}

impl Page {
    pub(crate) fn new(limit: PageLimit) -> Page {
        Page { messages: Vec::new(), limit, bytes: 0 }
    }

    /// Whether no further message fits, whatever its size.
    pub(crate) fn is_full(&self) -> bool {
        !self.messages.is_empty() && (self.messages.len() >= self.limit.messages || self.bytes >= self.limit.bytes)
    }

    /// Adds a message whose body has `size` bytes; `false`, without making it, if the page is full.
    pub(crate) fn push<E>(
        &mut self,
        size: usize,
        message: impl FnOnce() -> Result<StoredMessage, E>,
    ) -> Result<bool, E> {
        let bytes = self.bytes.saturating_add(size);
        let fits = self.messages.len() < self.limit.messages && bytes <= self.limit.bytes;
        if !fits && !self.messages.is_empty() {
            return Ok(false);
        }
        self.messages.push(message()?);
        self.bytes = bytes;
        Ok(true)
    }
}

/// Nothing of the batch was stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdmitError {
    /// A candidate was delivered for a group that this archive does not keep.
    #[error(
        "the archive keeps no group {0}, nothing of the batch was stored: deliver messages only for its own groups"
    )]
    UnknownGroup(GroupId),
    /// The database failed.
    #[error("storing a batch of messages failed, nothing of it was stored: {0}")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A stored message is not a message any more.
    #[error("the stored message {key:?} cannot be read, nothing was changed: {source}; check the archive")]
    Unreadable {
        /// Which one.
        key: Key,
        /// Why.
        source: FormatError,
    },
    /// No space is left.
    #[error(
        "no space is left for the archive {}, nothing of the batch was stored: {source}. Free some; the archive goes on by itself",
        path.display()
    )]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The archive's file is damaged.
    #[error("{}", damaged(path, found))]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// The index failed.
    #[error("indexing a batch of messages failed, nothing of it was stored: {0}. The index is rebuilt: try again")]
    Index(#[from] PageError),
}

/// What to say of a damaged file, whenever that comes out.
pub(crate) fn damaged(path: &Path, found: &str) -> String {
    format!(
        "the archive {} is damaged: {found}. Restore it from a backup, or move it away: an empty archive fetches from its \
         neighbours what lies in its window",
        path.display()
    )
}

/// The archive could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The archive does not keep this group.
    #[error("the archive keeps no group {0}")]
    UnknownGroup(GroupId),
    /// The database failed.
    #[error("reading the archive failed: {0}")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The archive's file is damaged.
    #[error("{}", damaged(path, found))]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// The index failed.
    #[error(transparent)]
    Index(#[from] PageError),
}

/// Stores messages durably, keeps the index of each group, and gives both back. Every call blocks.
pub trait Archive: Send + Sync {
    /// The groups that are kept.
    fn groups(&self) -> Vec<Filter>;

    /// Judges messages by the one admission predicate as of `now` (nanoseconds since the Unix epoch), and stores those that pass: when
    /// this returns, they are durable and indexed, and synced ones that do not pass are remembered as refused. One durable commit.
    /// Bodies may be slices of something larger: none of them is held on to.
    fn admit(&self, batch: &[Candidate], now: u64) -> Result<Vec<Admission>, AdmitError>;

    /// The group's index as it stands.
    fn view(&self, group: &GroupId) -> Result<View, ReadError>;

    /// The stored messages with these keys, in the order asked; `None` for one that is not stored.
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<StoredMessage>>, ReadError>;

    /// The key of the stored message with this id.
    fn find(&self, id: &Id) -> Result<Option<Key>, ReadError>;

    /// The group's messages in `range`, in the order of their keys, up to `limit`. To go on, ask from just past the last key.
    fn scan(&self, group: &GroupId, range: &KeyRange, limit: PageLimit) -> Result<Vec<StoredMessage>, ReadError>;

    /// A page of the messages that a query asks for, whatever groups they belong to. One call looks at a bounded number of messages:
    /// go on with [`QueryPage::rest`] until that is `None`.
    fn query(&self, query: &Query) -> Result<QueryPage, ReadError>;

    /// The stored messages with these ids, in the order asked; `None` for one that is not stored.
    fn get_by_id(&self, ids: &[Id]) -> Result<Vec<Option<StoredMessage>>, ReadError> {
        let keys = ids.iter().map(|id| self.find(id)).collect::<Result<Vec<_>, _>>()?;
        let found: Vec<Key> = keys.iter().copied().flatten().collect();
        let mut messages = self.get(&found)?.into_iter();
        Ok(keys.into_iter().map(|key| key.and_then(|_| messages.next().flatten())).collect())
    }

    /// Deletes messages and remembers them as refused, so that they do not come back.
    fn delete(&self, keys: &[Key]) -> Result<u64, AdmitError>;

    /// Drops what is older than the limits allow as of `now`; returns how many messages. To be called now and then, say every minute:
    /// what else need not be done with every commit, such as indexes that follow late, is done here, too.
    fn retain(&self, now: u64) -> Result<u64, AdmitError>;

    /// The oldest time (nanoseconds since the Unix epoch) of which messages are kept as of `now`: what is older was dropped, or
    /// would be refused, for its age or to stay within the archive's size. Nothing may be asked for before it.
    fn kept_from(&self, now: u64) -> u64;
}
