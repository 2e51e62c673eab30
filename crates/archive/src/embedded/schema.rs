//! The tables of the file and the form of their rows. Numbers are big endian.
use std::{collections::BTreeMap, sync::Arc};

use hearken_tree::{Digest, GroupId, Id, Key, PageId, Root};
use redb::TableDefinition;

use crate::RefusalReason;

/// The version of the form described here. Version 1 had the messages in the order of their keys, version 2 index pages with other
/// digests.
pub(super) const FORMAT_VERSION: u64 = 3;

/// Counters and the format version, by name. That it is there makes the file an archive.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("hearken archive");
/// Messages by sequence, see [`MessageRow`]: a commit appends, wherever its messages lie in time.
pub(super) const MESSAGES: TableDefinition<u64, &[u8]> = TableDefinition::new("messages");
/// Sequences by key, up to [`meta::INDEXED`].
pub(super) const KEYS: TableDefinition<&[u8; Key::LEN], u64> = TableDefinition::new("keys");
/// Pubsub topics by number: those of all filters there ever were.
pub(super) const TOPICS: TableDefinition<u16, &str> = TableDefinition::new("topics");
/// Timestamps by part and id, up to [`meta::INDEXED`], see [`id_key`].
pub(super) const IDS: TableDefinition<&[u8; 20], u64> = TableDefinition::new("ids");
/// Why a group refused a key, by group and key: a code (1 byte) and what belongs to it.
pub(super) const REFUSED: TableDefinition<&[u8; 56], &[u8]> = TableDefinition::new("refused");
/// What is known of a group's index, see [`GroupRow`].
pub(super) const GROUPS: TableDefinition<&[u8; 16], &[u8]> = TableDefinition::new("groups");
/// Index pages, up to [`meta::INDEXED`], see [`page_key`]: check (8 bytes), page.
pub(super) const PAGES: TableDefinition<&[u8; PAGE_KEY], &[u8]> = TableDefinition::new("pages");

/// Sequences by part, content topic and key, up to [`meta::CONTENT`], see [`content_key`]. Messages that are gone may still have
/// theirs, for as long as another message of the part is there.
pub(super) const CONTENT: TableDefinition<&[u8; CONTENT_KEY], u64> = TableDefinition::new("content topics");

/// Length of a key of [`CONTENT`].
pub(super) const CONTENT_KEY: usize = 52;

/// Length of a key of [`PAGES`].
pub(super) const PAGE_KEY: usize = 58;

/// Names in [`META`].
pub(super) mod meta {
    pub(in super::super) const FORMAT: &str = "format version";
    /// The last sequence given.
    pub(in super::super) const SEQUENCE: &str = "sequence";
    /// The last sequence that the index follows: the messages behind it are entered on opening.
    pub(in super::super) const INDEXED: &str = "indexed";
    /// The last sequence that the index of content topics follows.
    pub(in super::super) const CONTENT: &str = "content topics";
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

/// A row of [`MESSAGES`], read in place: pubsub topic (2 bytes, see [`TOPICS`]), check (the first 8 bytes of the id), body.
pub(super) struct MessageRow<'a> {
    pub(super) topic: u16,
    pub(super) check: [u8; 8],
    pub(super) body: &'a [u8],
}

impl<'a> MessageRow<'a> {
    /// Length of a row but for its body.
    pub(super) const HEAD: usize = 10;

    /// The row of the message with this id.
    pub(super) fn new(topic: u16, id: &Id, body: &'a [u8]) -> MessageRow<'a> {
        MessageRow { topic, check: check(id), body }
    }

    /// Writes the row into `row`, which has its length.
    pub(super) fn write(&self, row: &mut [u8]) {
        let (head, tail) = row.split_at_mut(Self::HEAD);
        head[..2].copy_from_slice(&self.topic.to_be_bytes());
        head[2..].copy_from_slice(&self.check);
        tail.copy_from_slice(self.body);
    }

    pub(super) fn read(row: &'a [u8]) -> Result<MessageRow<'a>, CorruptRow> {
        Self::parse(row).ok_or(CorruptRow { table: "messages", bytes: row.len() })
    }

    fn parse(row: &'a [u8]) -> Option<MessageRow<'a>> {
        let (topic, rest) = row.split_first_chunk::<2>()?;
        let (check, body) = rest.split_first_chunk::<8>()?;
        Some(MessageRow { topic: u16::from_be_bytes(*topic), check: *check, body })
    }

    /// Whether it is the row of the message with this id, as far as the check tells.
    pub(super) fn is_of(&self, id: &Id) -> bool {
        self.check == check(id)
    }
}

fn check(id: &Id) -> [u8; 8] {
    let mut check = [0; 8];
    check.copy_from_slice(&id.0[..8]);
    check
}

/// The rows of [`TOPICS`], in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Topics(BTreeMap<u16, Arc<str>>);

impl Topics {
    pub(super) fn new(rows: BTreeMap<u16, Arc<str>>) -> Topics {
        Topics(rows)
    }

    /// The number of a topic; there are few.
    pub(super) fn number(&self, name: &str) -> Option<u16> {
        self.0.iter().find(|(_, known)| ***known == *name).map(|(number, _)| *number)
    }

    /// The number of the next topic to come.
    pub(super) fn next(&self) -> Option<u16> {
        self.0.last_key_value().map_or(Some(0), |(last, _)| last.checked_add(1))
    }

    pub(super) fn insert(&mut self, number: u16, name: &str) {
        self.0.insert(number, name.into());
    }

    pub(super) fn name(&self, number: u16) -> Result<&Arc<str>, CorruptRow> {
        self.0.get(&number).ok_or(CorruptRow { table: "topics", bytes: 0 })
    }
}

/// How many consecutive admissions share a part of [`IDS`], and of [`CONTENT`].
///
/// Ids are random: in one table, each new one would change another page of it. So they go into parts by sequence: a commit changes
/// pages of the newest part only, and a look-up asks all parts, newest first: 76 for ten million messages.
const PART: u64 = 1 << 17;

/// The part of a sequence.
pub(super) fn part(sequence: u64) -> u32 {
    u32::try_from(sequence / PART).unwrap_or(u32::MAX)
}

/// The key of [`IDS`]: the part (4 bytes) and the first 16 bytes of the id. Nobody finds two ids that share those.
pub(super) fn id_key(part: u32, id: &Id) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&part.to_be_bytes());
    bytes[4..].copy_from_slice(&id.0[..16]);
    bytes
}

/// Stands for a content topic in [`CONTENT`]: 8 bytes of BLAKE3. Topics may share one: what is found is compared with the topic itself.
pub(super) fn topic_hash(content_topic: &str) -> u64 {
    let hash = blake3::hash(content_topic.as_bytes());
    hash.as_bytes().iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

/// The key of [`CONTENT`]: the part (4 bytes), the [hash](topic_hash) of the topic (8), the message's key (40).
///
/// In parts as [`IDS`], for the same reason, and so that what became old is dropped by whole parts.
pub(super) fn content_key(part: u32, hash: u64, key: &Key) -> [u8; CONTENT_KEY] {
    let mut bytes = [0; CONTENT_KEY];
    bytes[..4].copy_from_slice(&part.to_be_bytes());
    bytes[4..12].copy_from_slice(&hash.to_be_bytes());
    bytes[12..].copy_from_slice(key.as_bytes());
    bytes
}

/// The message's key in a key of [`CONTENT`].
pub(super) fn content_message(bytes: &[u8; CONTENT_KEY]) -> Key {
    let mut key = [0; Key::LEN];
    key.copy_from_slice(&bytes[12..]);
    Key::from_bytes(key)
}

/// The part in a key of [`CONTENT`].
pub(super) fn content_part(bytes: &[u8; CONTENT_KEY]) -> u32 {
    bytes.iter().take(4).fold(0, |part, byte| part << 8 | u32::from(*byte))
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

/// Which of a group's trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Which {
    /// What is kept.
    Kept,
    /// What is kept or refused. Only the pages in which it differs are stored.
    Held,
}

/// The key of [`PAGES`]: group (16 bytes), tree (1), level (1), first key (40).
pub(super) fn page_key(group: &GroupId, which: Which, id: &PageId) -> [u8; PAGE_KEY] {
    let mut bytes = [0; PAGE_KEY];
    bytes[..16].copy_from_slice(&group.0);
    bytes[16] = match which {
        Which::Kept => 0,
        Which::Held => 1,
    };
    bytes[17] = id.level;
    bytes[18..].copy_from_slice(id.first.as_bytes());
    bytes
}

/// The first and the last possible key of a tree's pages.
pub(super) fn page_keys(group: &GroupId, which: Which) -> [[u8; PAGE_KEY]; 2] {
    let first = PageId { level: 0, first: Key::MIN };
    let last = PageId { level: u8::MAX, first: Key::MAX };
    [page_key(group, which, &first), page_key(group, which, &last)]
}

/// A row of [`PAGES`].
pub(super) fn seal_page(page: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(8 + page.len());
    row.extend_from_slice(&blake3::hash(page).as_bytes()[..8]);
    row.extend_from_slice(page);
    row
}

/// The page in a row of [`PAGES`], whatever is in it: the tree checks it against its digest.
pub(super) fn page_in(row: &[u8]) -> Option<&[u8]> {
    row.split_first_chunk::<8>().map(|(_, page)| page)
}

/// The page in a row of [`PAGES`]; `None` if it is not what was written.
pub(super) fn open_page(row: &[u8]) -> Option<&[u8]> {
    let (check, page) = row.split_first_chunk::<8>()?;
    (blake3::hash(page).as_bytes()[..8] == check[..]).then_some(page)
}

/// A row of [`GROUPS`]: applied sequence (8 bytes), number of refused keys (8), root of what is kept, root of what is held (where it
/// is another). A root: level of its page (255: none), first key (40), digest (32), number of keys (8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupRow {
    /// The last sequence that the index follows.
    pub(super) applied: u64,
    pub(super) refused: u64,
    pub(super) kept: Root,
    pub(super) held: Option<Root>,
}

impl GroupRow {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(16 + 2 * 81);
        row.extend_from_slice(&self.applied.to_be_bytes());
        row.extend_from_slice(&self.refused.to_be_bytes());
        for root in std::iter::once(&self.kept).chain(&self.held) {
            row.push(root.page.map_or(u8::MAX, |page| page.level));
            row.extend_from_slice(root.page.map_or(Key::MIN, |page| page.first).as_bytes());
            row.extend_from_slice(&root.digest.0);
            row.extend_from_slice(&root.count.to_be_bytes());
        }
        row
    }

    pub(super) fn read(row: &[u8]) -> Result<GroupRow, CorruptRow> {
        Self::parse(row).ok_or(CorruptRow { table: "groups", bytes: row.len() })
    }

    fn parse(row: &[u8]) -> Option<GroupRow> {
        let (applied, rest) = row.split_first_chunk::<8>()?;
        let (refused, rest) = rest.split_first_chunk::<8>()?;
        let (kept, rest) = root(rest)?;
        let held = if rest.is_empty() { None } else { Some(root(rest).filter(|(_, rest)| rest.is_empty())?.0) };
        Some(GroupRow { applied: u64::from_be_bytes(*applied), refused: u64::from_be_bytes(*refused), kept, held })
    }
}

/// Reads a root from the front of `bytes`.
fn root(bytes: &[u8]) -> Option<(Root, &[u8])> {
    let (level, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first_chunk::<{ Key::LEN }>()?;
    let (digest, rest) = rest.split_first_chunk::<32>()?;
    let (count, rest) = rest.split_first_chunk::<8>()?;
    let page = PageId { level: *level, first: Key::from_bytes(*first) };
    let page = (*level != u8::MAX).then_some(page);
    Some((Root { page, digest: Digest(*digest), count: u64::from_be_bytes(*count) }, rest))
}
