//! What chunks hold of the ranges that cut them, remembered.
//!
//! Summaries are cut at the same places again and again: at chunk boundaries, at absolute times, by this node and by its
//! neighbours. What a chunk holds of a range depends on nothing but the chunk, so it stays true while the set grows.
use std::hash::{Hash, Hasher};

use lru::LruCache;

use crate::{Digest, shape::Raw};

/// A chunk, and the range that cuts it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) chunk: Digest,
    pub(crate) from: Raw,
    pub(crate) to: Raw,
}

impl Hash for Cut {
    /// Word by word: much quicker than byte by byte, and every bit counts, since others choose the ends.
    fn hash<H: Hasher>(&self, state: &mut H) {
        for bytes in [&self.chunk.0[..], &self.from, &self.to] {
            bytes.as_chunks().0.iter().for_each(|word| state.write_u64(u64::from_le_bytes(*word)));
        }
    }
}

/// The cuts that were used last, each with what it left over: an entry as it is hashed, or nothing.
pub(crate) struct Cuts(LruCache<Cut, Option<Raw>>);

impl Cuts {
    /// How many are remembered of a set with so many keys: at about 190 bytes each, at most 3 bytes a key and 3 MB.
    pub(crate) fn most(keys: u64) -> usize {
        usize::try_from(keys / 64).unwrap_or(usize::MAX).min(16_384)
    }

    pub(crate) fn get(&mut self, cut: &Cut) -> Option<Option<Raw>> {
        self.0.get(cut).copied()
    }

    /// Remembers a cut of a set with so many `keys`.
    pub(crate) fn put(&mut self, cut: Cut, left: Option<Raw>, keys: u64) {
        self.0.put(cut, left);
        while self.0.len() > Cuts::most(keys) {
            self.0.pop_lru();
        }
    }
}

impl Default for Cuts {
    fn default() -> Cuts {
        Cuts(LruCache::unbounded())
    }
}
