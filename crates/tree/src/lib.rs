//! A Prolly tree over message keys (interim: the brute-force model of the definition behind the final interface).
#![forbid(unsafe_code)]

mod fingerprint;
mod key;
mod model;
mod pages;
mod range;
mod tree;

pub use fingerprint::{Digest, Fingerprint, Span};
pub use key::{GroupId, Id, Key};
pub use pages::{PageError, PageId, PageStore, PageWrite, Root};
pub use range::{InvertedRange, KeyRange};
pub use tree::{Keys, Snapshot, Tree, Unsorted};
