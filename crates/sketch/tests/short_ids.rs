//! Short ids collide no more often than chance, for ids that were built to collide too.
#![allow(clippy::unwrap_used)]

use hearken_sketch::ShortIds;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

type Id = [u8; 32];

fn id(words: [u32; 8]) -> Id {
    let mut id = [0; 32];
    for (bytes, word) in id.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    id
}

/// Pairs that a weaker hash confuses: differences of low weight, that cancel, or that only touch what is cut off.
fn adversarial_pairs() -> Vec<(&'static str, Id, Id)> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let base: [u32; 8] = rng.random();
    let with = |changes: &[(usize, u32)]| {
        let mut words = base;
        for (i, value) in changes {
            words[*i] = *value;
        }
        id(words)
    };
    vec![
        ("unrelated", id(base), id(rng.random())),
        ("zero and one", id([0; 8]), id([1, 0, 0, 0, 0, 0, 0, 0])),
        ("all zeros, all ones", id([0; 8]), id([u32::MAX; 8])),
        ("lowest bit of the first word", with(&[]), with(&[(0, base[0] ^ 1)])),
        ("lowest bit of the last word", with(&[]), with(&[(7, base[7] ^ 1)])),
        ("highest bit of the first word", with(&[]), with(&[(0, base[0] ^ 1 << 31)])),
        ("highest bit of the last word", with(&[]), with(&[(7, base[7] ^ 1 << 31)])),
        ("the same bit in two words, equal XOR", with(&[]), with(&[(2, base[2] ^ 4096), (3, base[3] ^ 4096)])),
        ("words swapped, equal sum", with(&[]), with(&[(2, base[3]), (3, base[2])])),
        ("differences that sum to zero", with(&[(0, 1000), (1, 1000)]), with(&[(0, 1001), (1, 999)])),
        ("rotated by a word", id(base), id(std::array::from_fn(|i| base[(i + 1) % 8]))),
        ("reversed", id(base), id(std::array::from_fn(|i| base[7 - i]))),
        ("complement", id(base), id(base.map(|word| !word))),
        ("one word against all", id([5, 0, 0, 0, 0, 0, 0, 0]), id([5; 8])),
    ]
}

/// Collisions of 32 bits are too rare to count. The hash being strongly universal, so is any part of it: parts of 12 bits
/// should be equal for one salt in 4,096, and each bit for one in two.
#[test]
fn any_pair_collides_at_the_rate_of_chance() {
    const SALTS: u32 = 1 << 18;
    const BITS: u32 = 12;
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let random_salts: Vec<u64> = (0..SALTS).map(|_| rng.random()).collect();
    let counted: Vec<u64> = (0..SALTS).map(u64::from).collect();
    for (name, a, b) in adversarial_pairs() {
        for salts in [&random_salts, &counted] {
            let mut equal_parts = [0_u32; 3];
            let mut equal_bits = [0_u32; 32];
            for &salt in salts {
                let short = ShortIds::new(salt);
                let difference = short.of(&a).get() ^ short.of(&b).get();
                for (equal, shift) in equal_parts.iter_mut().zip([0, 10, 20]) {
                    *equal += u32::from(difference >> shift & ((1 << BITS) - 1) == 0);
                }
                for (bit, equal) in equal_bits.iter_mut().enumerate() {
                    *equal += u32::from(difference >> bit & 1 == 0);
                }
            }
            // Six standard deviations either way: sqrt(64) = 8 and sqrt(2^18) / 2 = 256.
            let expected = SALTS >> BITS;
            for equal in equal_parts {
                assert!(equal.abs_diff(expected) < 6 * 8, "{name}: {equal} of {SALTS} salts, expected {expected}");
            }
            for equal in equal_bits {
                assert!(equal.abs_diff(SALTS / 2) < 6 * 256, "{name}: a bit agrees for {equal} of {SALTS} salts");
            }
        }
    }
}

/// Whole collisions, counted over families of ids with structure.
#[test]
fn families_of_like_ids_collide_no_more_than_random_ones() {
    const IDS: u32 = 1 << 15;
    const SALTS: u64 = 64;
    type Family = fn(u32) -> Id;

    let families: [(&str, Family); 4] = [
        ("random", |n| ChaCha8Rng::seed_from_u64(u64::from(n)).random()),
        ("counted in two words", |n| id([n & 0xff, 0, 0, 0, n >> 8, 0, 0, 0])),
        ("bits spread over the words", |n| id(std::array::from_fn(|i| (n >> (2 * i) & 3) << 30))),
        ("equal XOR", |n| id([n << 16, n << 16, n, n, n * 3, n * 3, 7, 7])),
    ];
    for (name, family) in families {
        let ids: Vec<Id> = (0..IDS).map(family).collect();
        let mut collisions = 0;
        for salt in 0..SALTS {
            let short = ShortIds::new(salt);
            let mut all: Vec<_> = ids.iter().map(|id| short.of(id)).collect();
            all.sort_unstable();
            collisions += all.windows(2).filter(|pair| pair[0] == pair[1]).count();
        }
        // 64 salts, 2^29 pairs each: 8 expected.
        assert!(collisions <= 30, "{name}: {collisions} collisions");
    }
}
