//! Short ids: 32-bit names of messages, good for one exchange.

use std::num::NonZeroU32;

use crate::kernel::Kernel;

/// A message's name within one exchange: a non-zero element of GF(2^32), made by [`ShortIds`].
///
/// Ordered by its integer value, which means nothing beyond being a total order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct ShortId(NonZeroU32);

impl ShortId {
    /// The short id with this value; `None` for zero, which adds nothing to a sum of powers and so cannot be a member.
    pub const fn new(value: u32) -> Option<Self> {
        match NonZeroU32::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// Its value, never zero.
    #[inline]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The upper half of a sum; 1 if that is zero.
    #[inline(always)]
    pub(crate) fn of_sum(sum: u64) -> Self {
        Self(NonZeroU32::new(crate::field::low32(sum >> 32)).unwrap_or(NonZeroU32::MIN))
    }
}

impl std::fmt::Debug for ShortId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ShortId({:08x})", self.get())
    }
}

/// Words of 4 bytes in an id.
const WORDS: usize = 8;

/// A keyed hash from 32-byte ids to [`ShortId`]s; the key comes from a salt that is fresh for every exchange.
///
/// It is MULTILINEAR (Lemire and Kaser, "Strongly universal string hashing is fast", 2014, section 3): the id as eight
/// little-endian 32-bit words w, nine 64-bit numbers m, and of m0 + m1 w1 + ... + m8 w8 modulo 2^64 the upper half.
/// The numbers are the first nine outputs of SplitMix64 (Steele, Lea and Flood 2014) seeded with the salt. Zero
/// becomes 1.
///
/// **Bound.** With independent uniform numbers, two different ids chosen before them get equal short ids with
/// probability at most 2^-32 + 2^-63 (strong universality; the second term is the change of zero into 1). Expanding
/// them from a 64-bit salt is a heuristic, which the tests check statistically, on ids that were built to collide too.
/// It is no pseudo-random function: who knows the salt finds collisions at will, which is why each exchange draws
/// its own, and why ids are fixed (hashes of messages that exist) before it is known.
///
/// A collision costs a repetition, never a message: colliding ids within one range hide each other from this exchange,
/// and part under the next salt.
#[derive(Clone, Debug)]
pub struct ShortIds {
    offset: u64,
    multipliers: [u64; WORDS],
}

impl ShortIds {
    /// The hash for this salt, which both sides must share.
    pub fn new(salt: u64) -> Self {
        let mut state = salt;
        let offset = split_mix_64(&mut state);
        Self { offset, multipliers: std::array::from_fn(|_| split_mix_64(&mut state)) }
    }

    /// The short id of `id`. Takes about 2 ns; see [`of_each`](Self::of_each) for many.
    #[inline(always)]
    pub fn of(&self, id: &[u8; 32]) -> ShortId {
        let (words, _) = id.as_chunks::<4>();
        let mut sum = self.offset;
        for (&word, &multiplier) in words.iter().zip(&self.multipliers) {
            sum = sum.wrapping_add(multiplier.wrapping_mul(u64::from(u32::from_le_bytes(word))));
        }
        ShortId::of_sum(sum)
    }

    /// m1 to m8.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pub(crate) fn multipliers(&self) -> [u64; WORDS] {
        self.multipliers
    }

    /// m0.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Adds the short ids of many ids to `short`: of each row, its last 32 bytes.
    pub fn of_each<const N: usize>(&self, rows: &[[u8; N]], short: &mut Vec<ShortId>) {
        const { assert!(N >= 32, "a row ends with an id") };
        let before = short.len();
        short.resize(before + rows.len(), ShortId(NonZeroU32::MIN));
        Kernel::best().short_ids(self, (rows.as_flattened(), N), &mut short[before..]);
    }

    /// The short ids of what each of `rows` (all of the same length) ends with, with the target features of whoever calls it.
    #[inline(always)]
    pub(crate) fn of_rows(&self, (rows, length): (&[u8], usize), short: &mut [ShortId]) {
        for (row, short) in rows.chunks_exact(length).zip(short) {
            if let Some(id) = row.last_chunk() {
                *short = self.of(id);
            }
        }
    }
}

/// One step of SplitMix64.
fn split_mix_64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
