//! The field GF(2^32), in plain integer arithmetic.
//!
//! Elements are polynomials over GF(2) of degree below 32, bit i being the coefficient of x^i, taken modulo
//! x^32 + x^7 + x^3 + x^2 + 1. It is the sparsest irreducible polynomial of degree 32 with the lowest middle terms
//! (Seroussi, HPL-98-135), and the one that minisketch uses. Addition is XOR.

/// x^64 reduced: the square of x^32 reduced, which is the modulus without its leading term.
#[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(dead_code))]
pub(crate) const FOLD_64: u32 = 0x4051;

/// The lower half.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
pub(crate) const fn low32(value: u64) -> u32 {
    value as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
const fn low64(value: u128) -> u64 {
    value as u64
}

/// A polynomial of degree below 64, reduced.
pub(crate) const fn reduce(value: u64) -> u32 {
    // 32 bits over become 39, of which 7 are over, which become 14.
    let once = (value & 0xffff_ffff) ^ times_fold_32(value >> 32);
    low32(once) ^ low32(times_fold_32(once >> 32))
}

/// A polynomial of degree below 128, reduced.
#[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(dead_code))]
pub(crate) const fn reduce_wide(value: u128) -> u32 {
    let once = (value & 0xffff_ffff_ffff_ffff) ^ times_fold_64(value >> 64);
    reduce(low64(once) ^ low64(times_fold_64(once >> 64)))
}

const fn times_fold_32(over: u64) -> u64 {
    over ^ over << 2 ^ over << 3 ^ over << 7
}

const fn times_fold_64(over: u128) -> u128 {
    over ^ over << 4 ^ over << 6 ^ over << 14
}

/// Squaring spreads the bits apart: bit i moves to 2i.
pub(crate) const fn square(value: u32) -> u32 {
    let mut spread = value as u64;
    spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    spread = (spread | spread << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    spread = (spread | spread << 2) & 0x3333_3333_3333_3333;
    spread = (spread | spread << 1) & 0x5555_5555_5555_5555;
    reduce(spread)
}

/// A factor with its multiples by all polynomials of degree below 4, for multiplying it more than once.
pub(crate) struct Factor([u64; 16]);

impl Factor {
    pub(crate) const fn new(factor: u32) -> Self {
        let mut multiples = [0; 16];
        multiples[1] = factor as u64;
        let mut i = 2;
        while i < 16 {
            multiples[i] = multiples[i / 2] << 1 ^ if i % 2 == 1 { factor as u64 } else { 0 };
            i += 1;
        }
        Self(multiples)
    }

    /// The product with `other`, not reduced: a polynomial of degree below 63.
    pub(crate) const fn times(&self, other: u32) -> u64 {
        let mut product = 0;
        let mut shift = 32;
        while shift > 0 {
            shift -= 4;
            product = product << 4 ^ self.0[(other >> shift & 15) as usize];
        }
        product
    }
}

/// The inverse of a non-zero element (zero for zero), as its power 2^32 - 2, by the addition chain of Itoh and Tsujii:
/// `run(k)` below is the power 2^k - 1.
pub(crate) fn invert(value: u32, mul: impl Fn(u32, u32) -> u32) -> u32 {
    let join = |high: u32, low: u32, low_length: u32| mul((0..low_length).fold(high, |v, _| square(v)), low);
    let run_2 = join(value, value, 1);
    let run_3 = join(run_2, value, 1);
    let run_6 = join(run_3, run_3, 3);
    let run_12 = join(run_6, run_6, 6);
    let run_15 = join(run_12, run_3, 3);
    let run_30 = join(run_15, run_15, 15);
    let run_31 = join(run_30, value, 1);
    square(run_31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// x^32 reduced.
    const FOLD_32: u32 = 0x8d;

    /// The definition: shift and add, reducing at each step.
    fn mul_by_bits(a: u32, b: u32) -> u32 {
        (0..32).rev().fold(0, |product: u32, bit| {
            let shifted = product << 1 ^ if product >> 31 == 1 { FOLD_32 } else { 0 };
            shifted ^ if b >> bit & 1 == 1 { a } else { 0 }
        })
    }

    fn mul(a: u32, b: u32) -> u32 {
        reduce(Factor::new(a).times(b))
    }

    #[test]
    fn the_modulus_is_irreducible() {
        // Rabin's test: x^(2^32) = x, and x^(2^16) - x is coprime to the modulus (32 has the one prime divisor 2). A
        // polynomial below the modulus is coprime to it if it has an inverse.
        let frobenius = |times: u32| (0..times).fold(2, |v, _| mul_by_bits(v, v));
        assert_eq!(frobenius(32), 2);
        assert_eq!(FOLD_64, mul_by_bits(FOLD_32, FOLD_32));
        let difference = frobenius(16) ^ 2;
        assert_eq!(mul_by_bits(difference, invert(difference, mul_by_bits)), 1);
    }

    proptest! {
        #[test]
        fn arithmetic_is_that_of_the_definition(a: u32, b: u32, wide: u128) {
            prop_assert_eq!(mul(a, b), mul_by_bits(a, b));
            prop_assert_eq!(square(a), mul_by_bits(a, a));
            if a != 0 {
                prop_assert_eq!(mul_by_bits(a, invert(a, mul)), 1);
            }
            let by_words =
                (0..4).rev().fold(0, |v, word| mul_by_bits(v, FOLD_32) ^ low32(low64(wide >> (32 * word))));
            prop_assert_eq!(reduce_wide(wide), by_words);
        }
    }
}
