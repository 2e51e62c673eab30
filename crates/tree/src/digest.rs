//! Digests of chunks: BLAKE3, keyed by the level.
use std::sync::LazyLock;

use crate::{Digest, Fingerprint, shape::Raw};

/// What separates the digests of this format from every other use of BLAKE3.
const CONTEXT: &str = "hearken-tree v1 chunk digest";

/// The hasher of every level before its first byte; deriving its key costs as much as hashing a small chunk.
static HASHERS: LazyLock<Vec<blake3::Hasher>> = LazyLock::new(|| {
    (0..=u8::MAX).map(|level| blake3::Hasher::new_keyed(&blake3::derive_key(CONTEXT, &[level]))).collect()
});

/// Keys of the lowest levels, to hash one short input without a hasher's state.
static KEY_LEVEL: LazyLock<[u8; 32]> = LazyLock::new(|| blake3::derive_key(CONTEXT, &[0]));

/// A hasher for the entries of a chunk at `level`.
pub(crate) fn hasher(level: u8) -> blake3::Hasher {
    HASHERS[usize::from(level)].clone()
}

/// The digest of a chunk at `level` from what is hashed of its entries.
pub(crate) fn of_entries(level: u8, entries: &[Raw]) -> Digest {
    let mut hasher = hasher(level);
    hasher.update(entries.as_flattened());
    Digest(*hasher.finalize().as_bytes())
}

/// The digest of the set of one key.
pub(crate) fn of_key(key: &Raw) -> Digest {
    Digest(*blake3::keyed_hash(&KEY_LEVEL, key).as_bytes())
}

/// The fingerprint of the empty set.
pub(crate) fn empty() -> Fingerprint {
    Fingerprint { digest: of_entries(0, &[]), count: 0 }
}

/// A child's digest and count as they are hashed.
pub(crate) fn sum(digest: &Digest, count: u64) -> Raw {
    let mut sum = [0; 40];
    sum[..32].copy_from_slice(&digest.0);
    sum[32..].copy_from_slice(&count.to_be_bytes());
    sum
}

/// The digest in a sum; all zero where it has yet to be computed (no BLAKE3 digest is).
pub(crate) fn digest_in(sum: &Raw) -> Digest {
    let mut digest = [0; 32];
    digest.copy_from_slice(&sum[..32]);
    Digest(digest)
}

/// The count in a sum.
pub(crate) fn count_in(sum: &Raw) -> u64 {
    let mut count = [0; 8];
    count.copy_from_slice(&sum[32..]);
    u64::from_be_bytes(count)
}

/// Whether the digest in a sum has yet to be computed.
pub(crate) fn is_stale(sum: &Raw) -> bool {
    sum[..32] == [0; 32]
}
