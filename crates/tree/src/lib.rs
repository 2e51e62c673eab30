//! A Prolly tree over message keys: an ordered set that knows a fingerprint of the keys in any range.
//!
//! Two nodes that hold the same messages hold the same tree, whatever the order in which the messages came: the keys are
//! cut into chunks at places that depend on the keys alone, a chunk's digest is the BLAKE3 hash of its entries, and the
//! chunks are the entries of the next level, until one is left. So one digest says whether two sets are equal; and because
//! the fingerprint of *any* range is the root digest of the tree of exactly the keys in it, a node can compare its own set
//! with a range that somebody else has cut.
//!
//! ```
//! use hearken_tree::{Id, Key, KeyRange, Tree};
//!
//! let key = |seconds: u64| Key::new(seconds * 1_000_000_000, Id([seconds as u8; 32]));
//! let mut mine = Tree::from_sorted((0..100).map(key))?;
//! let theirs = Tree::from_sorted((0..100).filter(|n| *n != 42).map(key))?;
//!
//! // Which of their spans differ from mine? None is compared key by key.
//! let summary = theirs.snapshot().summary(&KeyRange::ALL, 8)?;
//! let differing = mine.snapshot().differing(&summary)?;
//! assert_eq!(differing.len(), 1);
//! assert!(differing[0].range.contains(&key(42)));
//!
//! mine.remove(&key(42))?;
//! assert_eq!(mine.snapshot().root()?, theirs.snapshot().root()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`Tree`] changes; a [`Snapshot`] of it is read, also while the tree changes on, by as many threads as one likes. Both
//! are in memory until the tree is [flushed](Tree::flush) into a [`PageStore`]; from then on pages are read when they are
//! needed and a bounded cache keeps some. The crate knows nothing of messages, clocks, networks or databases.
//!
//! The digest's definition, a picture and measurements are in the crate's `README.md`, its test vectors in `vectors.json`.
//!
//! # Where things are
//!
//! | module | holds |
//! | --- | --- |
//! | `key`, `range`, `fingerprint` | the words: [`Key`], [`KeyRange`], [`Fingerprint`], [`Span`] |
//! | `shape` | where chunks are cut: the level of a key, and the cells of an over-long run |
//! | `digest` | how chunks are hashed; `lanes`: many side by side; `edge`: saved hashers where most keys arrive |
//! | `node` | chunks in memory; `search`: finding a key in one |
//! | `page`, `pages`, `source`, `flush` | chunks as pages: their bytes, the [`PageStore`], the cache, storing what changed |
//! | `cursor`, `keys`, `visit` | walking along the chunks of a level, along the keys, and along many of them at once |
//! | `build` | a tree from sorted keys, bottom up; `append`: the same for many keys behind all others |
//! | `between`, `cuts` | fingerprints of ranges with honest runs at their ends, and what is remembered of them |
//! | `sequence`, `pieces` | the one idea behind changes and ranges: entries of a level, some new or gone, are cut into chunks anew where that matters; `edges`: the short way at the ends of a range |
//! | `edit`, `place`, `short` | changes: the general one, those that move no cut, and the quickest of these |
//! | `summary`, `separator` | where summaries are cut, and how short the bounds of a cut can be; `comparer`: comparing somebody's |
//! | `tree`, `snapshot` | the public face |
#![forbid(unsafe_code)]

mod append;
mod between;
mod build;
mod comparer;
mod cursor;
mod cuts;
mod digest;
mod edge;
mod edges;
mod edit;
mod fingerprint;
mod flush;
mod key;
mod keys;
mod lanes;
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
mod short;
mod snapshot;
mod source;
mod summary;
mod tree;
mod visit;

pub use comparer::Comparer;
pub use fingerprint::{Digest, Fingerprint, Span};
pub use key::{GroupId, Id, Key};
pub use keys::Keys;
pub use pages::{PageError, PageId, PageStore, PageWrite, Root};
pub use range::{InvertedRange, KeyRange};
pub use separator::shortest_separator;
pub use snapshot::Snapshot;
pub use tree::{Tree, Unsorted};
