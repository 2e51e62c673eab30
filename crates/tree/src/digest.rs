//! Digests of chunks: BLAKE3, keyed by the level.
use std::sync::LazyLock;

use crate::{Digest, Fingerprint, lanes, shape::Raw};

/// What separates the digests of this format from every other use of BLAKE3.
const CONTEXT: &str = "hearken-tree v1 chunk digest";

/// The key of every level; deriving it costs as much as hashing a small chunk.
static KEYS: LazyLock<Vec<[u8; 32]>> =
    LazyLock::new(|| (0..=u8::MAX).map(|level| blake3::derive_key(CONTEXT, &[level])).collect());

/// A hasher for the entries of a chunk at `level`.
pub(crate) fn hasher(level: u8) -> blake3::Hasher {
    blake3::Hasher::new_keyed(&KEYS[usize::from(level)])
}

/// The digest of a chunk at `level` from what is hashed of its entries.
pub(crate) fn of_entries(level: u8, entries: &[Raw]) -> Digest {
    Digest(lanes::digest(&KEYS[usize::from(level)], entries.as_flattened()))
}

/// The digests of several chunks at `level`, which takes less time than one after the other. With each comes what is known of its
/// [pieces](lanes::digests), and `pieces` is shown what it is.
pub(crate) fn of_all<'a>(
    level: u8,
    chunks: impl Iterator<Item = (&'a [Raw], &'a [[u8; 32]])>,
    pieces: impl FnMut(usize, &[[u8; 32]]),
) -> Vec<Digest> {
    let inputs = chunks.map(|(entries, known)| (entries.as_flattened(), known));
    lanes::digests(&KEYS[usize::from(level)], inputs, pieces).into_iter().map(Digest).collect()
}

/// The digest of the set of one key.
pub(crate) fn of_key(key: &Raw) -> Digest {
    of_entries(0, std::slice::from_ref(key))
}

/// The fingerprint of the empty set.
pub(crate) fn empty() -> Fingerprint {
    Fingerprint { digest: of_entries(0, &[]), count: 0 }
}

/// What is hashed above level 0 for a chunk: its digest and count. No count reaches 2^63.
pub(crate) fn sum(digest: &Digest, count: u64) -> Raw {
    let mut sum = [0; 40];
    sum[..32].copy_from_slice(&digest.0);
    sum[32..].copy_from_slice(&count.to_be_bytes());
    sum
}

/// What is hashed above level 0 for a single key: the id, and the timestamp with its highest bit set, which tells it from a
/// chunk. Hashing it first would gain nothing, and whoever grinds keys that are chunks of their own would have it done for each.
///
/// From the year 2262 on timestamps have that bit themselves: such a key goes by its digest, as a chunk does.
pub(crate) fn key_sum(key: &Raw) -> Raw {
    if key[0] >= HIGH {
        return sum(&of_key(key), 1);
    }
    let mut sum = [0; 40];
    sum[..32].copy_from_slice(&key[8..]);
    sum[32..].copy_from_slice(&key[..8]);
    sum[32] |= HIGH;
    sum
}

const HIGH: u8 = 0x80;

/// The key in a sum; `None` if it is not that of a single key.
fn key_in(sum: &Raw) -> Option<Raw> {
    let mut key = [0; 40];
    key[8..].copy_from_slice(&sum[..32]);
    key[..8].copy_from_slice(&sum[32..]);
    key[0] &= !HIGH;
    (sum[32] >= HIGH).then_some(key)
}

/// The digest in a sum; all zero where it has yet to be computed (no BLAKE3 digest is).
pub(crate) fn digest_in(sum: &Raw) -> Digest {
    if let Some(key) = key_in(sum) {
        return of_key(&key);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(&sum[..32]);
    Digest(digest)
}

/// The count in a sum.
pub(crate) fn count_in(sum: &Raw) -> u64 {
    let mut count = [0; 8];
    count.copy_from_slice(&sum[32..]);
    if sum[32] < HIGH { u64::from_be_bytes(count) } else { 1 }
}

/// Whether the digest in a sum has yet to be computed.
pub(crate) fn is_stale(sum: &Raw) -> bool {
    sum[32] < HIGH && sum[..32] == [0; 32]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_and_chunks_differ(time in any::<u64>(), fill in any::<u8>(), count in 1..u64::MAX >> 1) {
            let mut key = [fill; 40];
            key[..8].copy_from_slice(&time.to_be_bytes());
            let (single, chunk) = (key_sum(&key), sum(&of_key(&key), count));
            prop_assert_eq!((digest_in(&single), count_in(&single)), (of_key(&key), 1));
            prop_assert_eq!((digest_in(&chunk), count_in(&chunk)), (of_key(&key), count));
            prop_assert!(!is_stale(&single) && !is_stale(&chunk) && is_stale(&sum(&Digest([0; 32]), count)));
            prop_assert_eq!(single == chunk, time >> 63 == 1 && count == 1);
        }
    }
}
