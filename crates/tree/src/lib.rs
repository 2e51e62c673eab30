//! A Prolly tree over message keys.
#![forbid(unsafe_code)]

mod build;
mod cursor;
mod digest;
mod edge;
mod edges;
mod edit;
mod fingerprint;
mod flush;
mod key;
mod keys;
mod node;
mod page;
mod pages;
mod pieces;
mod place;
mod range;
mod search;
mod separator;
mod sequence;
mod shape;
mod snapshot;
mod source;
mod summary;
mod tree;

pub use fingerprint::{Digest, Fingerprint, Span};
pub use key::{GroupId, Id, Key};
pub use keys::Keys;
pub use pages::{PageError, PageId, PageStore, PageWrite, Root};
pub use range::{InvertedRange, KeyRange};
pub use separator::shortest_separator;
pub use snapshot::Snapshot;
pub use tree::{Tree, Unsorted};
