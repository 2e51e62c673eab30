//! Writing an archive's messages to files.

use std::collections::VecDeque;

use hearken_archive::{Archive, PageLimit, ReadError, StoredMessage};
use hearken_tree::{GroupId, Key, KeyRange};
use hearken_waku::WakuMessage;
use prost::Message;

use crate::ndjson::{Output, format_line};

/// How much is read at a time.
const PAGE: PageLimit = PageLimit { messages: 4_096, bytes: 8 << 20 };

/// Which messages.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Sent at or after this time, in nanoseconds since the Unix epoch.
    pub from: Option<u64>,
    /// Sent before this time.
    pub to: Option<u64>,
    /// Of one of these pubsub topics or content topics; none: of any.
    pub topics: Vec<String>,
}

/// The export broke off.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The time range is upside down.
    #[error("--from is later than --to: expected a range of time")]
    Range,
    /// The archive failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A stored message is not one any more.
    #[error("the stored message {0:?} cannot be decoded: {1}")]
    Undecodable(Key, prost::DecodeError),
    /// A line cannot be written.
    #[error("writing failed: {0}")]
    Write(#[from] std::io::Error),
    /// A line cannot be formed.
    #[error("writing a message as JSON failed: {0}")]
    Json(#[from] serde_json::Error),
}

/// Writes the selected messages in the order of their keys; returns how many.
pub fn export(archive: &dyn Archive, selection: &Selection, output: &mut Output) -> Result<u64, ExportError> {
    let mut written = 0;
    for message in Merged::new(archive, selection)? {
        let message = message?;
        let waku = WakuMessage::decode(&*message.body).map_err(|error| ExportError::Undecodable(message.key, error))?;
        let chosen = |topic: &String| **topic == *message.pubsub_topic || *topic == waku.content_topic;
        if selection.topics.is_empty() || selection.topics.iter().any(chosen) {
            output.write(&format_line(&message.pubsub_topic, &waku)?)?;
            written += 1;
        }
    }
    Ok(written)
}

/// The messages of all groups in the order of their keys, each once though several groups may hold it.
struct Merged<'a> {
    groups: Vec<Pages<'a>>,
}

/// One group's messages, page by page.
struct Pages<'a> {
    archive: &'a dyn Archive,
    group: GroupId,
    next: Key,
    end: Key,
    page: VecDeque<StoredMessage>,
}

impl<'a> Merged<'a> {
    fn new(archive: &'a dyn Archive, selection: &Selection) -> Result<Merged<'a>, ExportError> {
        let (next, end) = (selection.from.map_or(Key::MIN, Key::at), selection.to.map_or(Key::MAX, Key::at));
        if end < next {
            return Err(ExportError::Range);
        }
        let pages = |filter: hearken_archive::Filter| Pages {
            archive,
            group: filter.group(),
            next,
            end,
            page: VecDeque::new(),
        };
        Ok(Merged { groups: archive.groups().into_iter().map(pages).collect() })
    }

    fn next_message(&mut self) -> Result<Option<StoredMessage>, ReadError> {
        for group in &mut self.groups {
            group.fill()?;
        }
        let first = self.groups.iter().filter_map(|group| group.page.front()).map(|message| message.key).min();
        let Some(key) = first else { return Ok(None) };
        let mut found = None;
        for group in &mut self.groups {
            if group.page.front().is_some_and(|message| message.key == key) {
                found = group.page.pop_front();
            }
        }
        Ok(found)
    }
}

impl Iterator for Merged<'_> {
    type Item = Result<StoredMessage, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_message().transpose()
    }
}

impl Pages<'_> {
    fn fill(&mut self) -> Result<(), ReadError> {
        if self.page.is_empty()
            && self.next < self.end
            && let Ok(range) = KeyRange::new(self.next, self.end)
        {
            self.page = self.archive.scan(&self.group, &range, PAGE)?.into();
            self.next = self.page.back().map_or(self.end, |message| after(&message.key));
        }
        Ok(())
    }
}

/// The first key after `key`.
pub(crate) fn after(key: &Key) -> Key {
    let mut bytes = *key.as_bytes();
    for byte in bytes.iter_mut().rev() {
        let (sum, overflow) = byte.overflowing_add(1);
        *byte = sum;
        if !overflow {
            break;
        }
    }
    Key::from_bytes(bytes)
}
