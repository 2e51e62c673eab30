//! Durable archives of messages, each with its index.
//!
//! An [`Archive`] stores messages by [`Key`](hearken_tree::Key), judges what may come in by one predicate for live and synced
//! messages alike, keeps a tree of keys for every group of messages that nodes keep equal, and remembers what was refused. Two
//! stand here: [`Embedded`], durable in one file, and [`Memory`], for tests and the simulator. A [`Committer`] groups what many
//! callers bring into few durable commits.
//!
//! An archive knows nothing of the network: how messages are read and which id they have is a [`MessageFormat`], and the host's
//! own check a [`Validator`].
//!
//! ```
//! use std::sync::Arc;
//!
//! use hearken_archive::{
//!     Admission, Archive, ArchiveOptions, Candidate, Filter, FormatError, Header, Memory, MessageFormat, Origin,
//! };
//! use hearken_tree::Id;
//!
//! /// A timestamp, then text.
//! struct Text;
//!
//! impl MessageFormat for Text {
//!     fn header<'a>(&self, pubsub_topic: &str, body: &'a [u8]) -> Result<Header<'a>, FormatError> {
//!         let timestamp = body.first_chunk().ok_or(FormatError { reason: "no timestamp".to_owned() })?;
//!         let id = blake3::Hasher::new().update(pubsub_topic.as_bytes()).update(body).finalize();
//!         Ok(Header {
//!             id: Id(*id.as_bytes()),
//!             timestamp: u64::from_be_bytes(*timestamp),
//!             content_topic: "text".into(),
//!             ephemeral: false,
//!         })
//!     }
//! }
//!
//! let filter = Filter { pubsub_topic: "chat".to_owned(), content_topics: Default::default() };
//! let archive = Memory::new(ArchiveOptions::new(vec![filter.clone()], Arc::new(Text)));
//! let now = 1_700_000_000_000_000_000;
//! let body = [&u64::to_be_bytes(now)[..], b"hello"].concat().into();
//!
//! let admitted = archive.admit(&[Candidate { body, origin: Origin::Topic("chat".to_owned()) }], now)?;
//! assert!(matches!(admitted.as_slice(), [Admission::Stored(_)]));
//! assert_eq!(archive.view(&filter.group())?.kept.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | `archive` | the trait and what it reads |
//! | `admission` | candidates, what becomes of them, limits |
//! | `filter`, `format`, `options` | which messages, how they are read, what an archive has to be told |
//! | `predicate` | the one admission predicate |
//! | `query` | store queries, in pages |
//! | `ledger` | what admitting, deleting and retaining do to tables, for every backend |
//! | `index` | the trees of a group |
//! | `memory` | the backend in memory |
//! | `embedded` | the backend in a file: `schema` its tables, `open` and `check` what they say, `store` the database, `state` what is known of the last commit, `recent` what the index lacks, `content` the index of content topics, `tables` a write transaction, `version` and `index` the trees' pages, `rows` scans |
//! | `committer` | grouped commits |
#![forbid(unsafe_code)]

mod admission;
mod archive;
mod committer;
mod embedded;
mod filter;
mod format;
mod index;
mod ledger;
mod memory;
mod options;
mod predicate;
mod query;

pub use admission::{Admission, Candidate, Limits, Origin, RefusalReason, Validator};
pub use archive::{AdmitError, Archive, PageLimit, ReadError, StoredMessage, View};
pub use committer::{Committed, Committer, CommitterOptions, Done, Rejected, RejectedReason};
pub use embedded::{ArchiveStats, CheckReport, Embedded, EmbeddedOptions, GroupReport, OpenError};
pub use filter::Filter;
pub use format::{FormatError, Header, MessageFormat};
pub use memory::Memory;
pub use options::ArchiveOptions;
pub use query::{Query, QueryPage};
