//! A small message format and helpers for the archive's tests.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod disk;
pub mod model;

use std::{collections::BTreeSet, path::Path, sync::Arc};

use bytes::Bytes;
use hearken_archive::{
    Admission, Archive, ArchiveOptions, Candidate, Embedded, EmbeddedOptions, Filter, FormatError, Header,
    MessageFormat, Origin, Validator,
};
use hearken_tree::{Id, Key, KeyRange};

/// A pubsub topic.
pub const TOPIC: &str = "/waku/2/rs/0/0";
/// One second in nanoseconds.
pub const SECOND: u64 = 1_000_000_000;
/// When the tests play.
pub const NOW: u64 = 1_700_000_000 * SECOND;

/// Timestamp (8 bytes), flags (1: ephemeral), length of the content topic, content topic, payload. The id is BLAKE3 over the pubsub
/// topic and all of it.
pub struct TestFormat;

impl MessageFormat for TestFormat {
    fn header<'a>(&self, pubsub_topic: &str, body: &'a [u8]) -> Result<Header<'a>, FormatError> {
        let parse = || {
            let (timestamp, rest) = body.split_first_chunk::<8>()?;
            let ([flags, length], rest) = rest.split_first_chunk::<2>()?;
            let content_topic = std::str::from_utf8(rest.get(..usize::from(*length))?).ok()?;
            Some((u64::from_be_bytes(*timestamp), *flags, content_topic))
        };
        let (timestamp, flags, content_topic) =
            parse().ok_or_else(|| FormatError { reason: format!("{} bytes", body.len()) })?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(pubsub_topic.as_bytes()).update(body);
        Ok(Header {
            id: Id(*hasher.finalize().as_bytes()),
            timestamp,
            content_topic: content_topic.into(),
            ephemeral: flags & 1 == 1,
        })
    }
}

/// The body of a message.
pub fn body(timestamp: u64, content_topic: &str, payload: &[u8]) -> Bytes {
    let mut body = timestamp.to_be_bytes().to_vec();
    body.push(0);
    body.push(u8::try_from(content_topic.len()).unwrap());
    body.extend_from_slice(content_topic.as_bytes());
    body.extend_from_slice(payload);
    body.into()
}

/// The key of a message on [`TOPIC`].
pub fn key(body: &Bytes) -> Key {
    TestFormat.header(TOPIC, body).unwrap().key()
}

/// A message that came live on [`TOPIC`].
pub fn live(body: &Bytes) -> Candidate {
    Candidate { body: body.clone(), origin: Origin::Topic(TOPIC.to_owned()) }
}

/// A message that a neighbour delivered for `filter`'s group, asked for everything.
pub fn synced(filter: &Filter, body: &Bytes) -> Candidate {
    let origin = Origin::Synced { group: filter.group(), asked: Arc::new([KeyRange::ALL]) };
    Candidate { body: body.clone(), origin }
}

/// A filter on [`TOPIC`].
pub fn filter(content_topics: &[&str]) -> Filter {
    Filter {
        pubsub_topic: TOPIC.to_owned(),
        content_topics: content_topics.iter().map(|topic| (*topic).to_owned()).collect::<BTreeSet<_>>(),
    }
}

/// The `n`th message: one a second, its content topic one of `a`, `b`, `c`.
pub fn nth(n: u64) -> Bytes {
    let topic = ["a", "b", "c"][usize::try_from(n % 3).unwrap()];
    body(NOW - 100_000 * SECOND + n * SECOND, topic, format!("message {n}").as_bytes())
}

/// Messages whose payload begins with `bad` are invalid.
pub struct NoBad;

impl Validator for NoBad {
    fn validate(&self, _: &str, header: &Header<'_>, body: &[u8]) -> Result<(), String> {
        let payload = &body[10 + header.content_topic.len()..];
        if payload.starts_with(b"bad") { Err("bad".to_owned()) } else { Ok(()) }
    }
}

/// Options for `filters` with the validator [`NoBad`].
pub fn options(filters: Vec<Filter>) -> ArchiveOptions {
    let mut options = ArchiveOptions::new(filters, Arc::new(TestFormat));
    options.validator = Some(Arc::new(NoBad));
    options
}

/// Opens the embedded archive in `folder`.
pub fn open(folder: &Path, options: ArchiveOptions) -> Embedded {
    Embedded::open(EmbeddedOptions::new(folder.join("archive.redb"), options)).unwrap()
}

/// Admits and unwraps.
pub fn admit(archive: &dyn Archive, batch: &[Candidate]) -> Vec<Admission> {
    archive.admit(batch, NOW).unwrap()
}

/// The keys kept by a group.
pub fn kept(archive: &dyn Archive, filter: &Filter) -> BTreeSet<Key> {
    archive.view(&filter.group()).unwrap().kept.keys(&KeyRange::ALL).map(Result::unwrap).collect()
}

/// The keys kept or refused by a group.
pub fn held(archive: &dyn Archive, filter: &Filter) -> BTreeSet<Key> {
    archive.view(&filter.group()).unwrap().held.keys(&KeyRange::ALL).map(Result::unwrap).collect()
}
