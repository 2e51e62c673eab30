use std::fmt;

use crate::KeyRange;

/// A BLAKE3 digest of a chunk, which is the digest of the set of keys under it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// What identifies the set of keys in a range: the root digest of the tree of exactly those keys, and their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint {
    /// Root digest.
    pub digest: Digest,
    /// Number of keys.
    pub count: u64,
}

/// A key range with the fingerprint of the keys in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Which keys.
    pub range: KeyRange,
    /// What is there.
    pub fingerprint: Fingerprint,
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}
