//! The tables of the file and the form of their rows. Numbers are big endian.
use bytes::Bytes;
use hearken_tree::{GroupId, Key};
use redb::TableDefinition;

use crate::{RefusalReason, StoredMessage};

/// The version of the form described here.
pub(super) const FORMAT_VERSION: u64 = 1;

/// Counters and the format version, by name. That it is there makes the file an archive.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("hearken archive");
/// Messages by key: sequence (8 bytes), length of the pubsub topic (2), pubsub topic, body.
pub(super) const MESSAGES: TableDefinition<&[u8; Key::LEN], &[u8]> = TableDefinition::new("messages");
/// Timestamps by id.
pub(super) const IDS: TableDefinition<&[u8; 32], u64> = TableDefinition::new("ids");
/// Why a group refused a key, by group and key: a code (1 byte) and what belongs to it.
pub(super) const REFUSED: TableDefinition<&[u8; 56], &[u8]> = TableDefinition::new("refused");
/// By group: the last sequence that its index follows, and how many refused keys it remembers.
pub(super) const GROUPS: TableDefinition<&[u8; 16], (u64, u64)> = TableDefinition::new("groups");

/// Names in [`META`].
pub(super) mod meta {
    pub(in super::super) const FORMAT: &str = "format version";
    pub(in super::super) const SEQUENCE: &str = "sequence";
    pub(in super::super) const MESSAGES: &str = "messages";
    pub(in super::super) const BYTES: &str = "bytes";
    pub(in super::super) const FLOOR: &str = "floor";
    pub(in super::super) const MAX_BYTES: &str = "max bytes";
}

/// Longest text of a refusal that is kept, in bytes.
const MAX_REASON: usize = 200;

/// A row that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row of table {table} is corrupt ({bytes} bytes that do not fit its form)")]
pub(super) struct CorruptRow {
    table: &'static str,
    bytes: usize,
}

/// A row of [`MESSAGES`], read in place.
pub(super) struct MessageRow<'a> {
    pub(super) sequence: u64,
    pub(super) pubsub_topic: &'a str,
    pub(super) body: &'a [u8],
}

impl<'a> MessageRow<'a> {
    /// Length of a row.
    pub(super) fn len(pubsub_topic: &str, body: &[u8]) -> usize {
        10 + pubsub_topic.len() + body.len()
    }

    /// Writes a row into `row`, which has its length. Topics are those of filters, whose length was checked.
    pub(super) fn write(row: &mut [u8], sequence: u64, pubsub_topic: &str, body: &[u8]) {
        let length = u16::try_from(pubsub_topic.len()).unwrap_or(u16::MAX);
        let (head, rest) = row.split_at_mut(10);
        head[..8].copy_from_slice(&sequence.to_be_bytes());
        head[8..].copy_from_slice(&length.to_be_bytes());
        let (topic, tail) = rest.split_at_mut(pubsub_topic.len());
        topic.copy_from_slice(pubsub_topic.as_bytes());
        tail.copy_from_slice(body);
    }

    pub(super) fn read(row: &'a [u8]) -> Result<MessageRow<'a>, CorruptRow> {
        Self::parse(row).ok_or(CorruptRow { table: "messages", bytes: row.len() })
    }

    fn parse(row: &'a [u8]) -> Option<MessageRow<'a>> {
        let (sequence, rest) = row.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (topic, body) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let pubsub_topic = std::str::from_utf8(topic).ok()?;
        Some(MessageRow { sequence: u64::from_be_bytes(*sequence), pubsub_topic, body })
    }

    pub(super) fn message(&self, key: &Key) -> StoredMessage {
        StoredMessage {
            key: *key,
            sequence: self.sequence,
            pubsub_topic: self.pubsub_topic.to_owned(),
            body: Bytes::copy_from_slice(self.body),
        }
    }
}

/// The key of [`REFUSED`].
pub(super) fn refused_key(group: &GroupId, key: &Key) -> [u8; 56] {
    let mut bytes = [0; 56];
    bytes[..16].copy_from_slice(&group.0);
    bytes[16..].copy_from_slice(key.as_bytes());
    bytes
}

/// The message's key in a key of [`REFUSED`].
pub(super) fn refused_message(bytes: &[u8; 56]) -> Key {
    let mut key = [0; Key::LEN];
    key.copy_from_slice(&bytes[16..]);
    Key::from_bytes(key)
}

/// A row of [`REFUSED`].
pub(super) fn write_reason(reason: &RefusalReason) -> Vec<u8> {
    match reason {
        RefusalReason::NoGroup => vec![0],
        RefusalReason::TooOld => vec![1],
        RefusalReason::BadTimestamp => vec![2],
        RefusalReason::Ephemeral => vec![3],
        RefusalReason::TooLarge { size, limit } => {
            let mut row = vec![4];
            row.extend_from_slice(&(*size as u64).to_be_bytes());
            row.extend_from_slice(&(*limit as u64).to_be_bytes());
            row
        }
        RefusalReason::Invalid(text) => {
            let end = (0..=text.len().min(MAX_REASON)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            let mut row = vec![5];
            row.extend_from_slice(text.as_bytes().get(..end).unwrap_or_default());
            row
        }
        RefusalReason::Deleted => vec![6],
    }
}

pub(super) fn read_reason(row: &[u8]) -> Result<RefusalReason, CorruptRow> {
    let corrupt = CorruptRow { table: "refused", bytes: row.len() };
    let (code, rest) = row.split_first().ok_or(corrupt.clone())?;
    Ok(match code {
        0 => RefusalReason::NoGroup,
        1 => RefusalReason::TooOld,
        2 => RefusalReason::BadTimestamp,
        3 => RefusalReason::Ephemeral,
        4 => {
            let (size, limit) = rest.split_first_chunk::<8>().ok_or(corrupt.clone())?;
            let limit = limit.first_chunk::<8>().ok_or(corrupt)?;
            let number = |bytes: &[u8; 8]| usize::try_from(u64::from_be_bytes(*bytes)).unwrap_or(usize::MAX);
            RefusalReason::TooLarge { size: number(size), limit: number(limit) }
        }
        5 => RefusalReason::Invalid(String::from_utf8(rest.to_vec()).map_err(|_| corrupt)?),
        6 => RefusalReason::Deleted,
        _ => return Err(corrupt),
    })
}
