//! Honest keys, and what an attacker would grind.
use hearken_tree::{Id, Key};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Honest,
    NoBoundary,
    AllAtLevel1,
    AllAtEveryLevel,
    SharedTime,
    PowersOfTwo,
}

/// Those that an attacker would grind, or choose, each with a name and how many times the memory it may take.
pub(crate) const GROUND: [(&str, Kind, f64); 5] = [
    ("no boundary", Kind::NoBoundary, 2.0),
    ("all at level 1", Kind::AllAtLevel1, 2.0),
    ("all at every level", Kind::AllAtEveryLevel, 3.0),
    ("one timestamp", Kind::SharedTime, 2.0),
    ("powers of two", Kind::PowersOfTwo, 2.0),
];

/// Distinct keys in order.
pub(crate) fn keys(kind: Kind, count: usize, seed: u64) -> Vec<Key> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let start = 1_700_000_000_000_000_000;
    let mut keys: Vec<Key> = (0..count as u64)
        .map(|i| {
            let time = match kind {
                Kind::SharedTime => start,
                Kind::PowersOfTwo => 1 << (i % 63),
                _ => start + i * 100_000_000,
            };
            Key::new(time, id(kind, &mut rng))
        })
        .collect();
    keys.sort_unstable();
    keys
}

pub(crate) fn shuffled(keys: &[Key]) -> Vec<Key> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut keys = keys.to_vec();
    for i in (1..keys.len()).rev() {
        keys.swap(i, rng.random_range(0..=i));
    }
    keys
}

fn id(kind: Kind, rng: &mut ChaCha8Rng) -> Id {
    let mut id = [0; 32];
    rng.fill_bytes(&mut id);
    match kind {
        Kind::NoBoundary => {
            while mix(&id).trailing_zeros() >= 6 {
                rng.fill_bytes(&mut id[..8]);
            }
        }
        Kind::AllAtLevel1 => {
            while !(7..14).contains(&mix(&id).trailing_zeros()) {
                let next = u64::from_le_bytes(id[..8].try_into().unwrap()).wrapping_add(1);
                id[..8].copy_from_slice(&next.to_le_bytes());
            }
        }
        Kind::AllAtEveryLevel => {
            // The finaliser of the mix maps 0 to 0: make the words cancel out.
            let first = words(&id) ^ u64::from_le_bytes(id[..8].try_into().unwrap());
            id[..8].copy_from_slice(&first.to_le_bytes());
        }
        Kind::Honest | Kind::SharedTime | Kind::PowersOfTwo => {}
    }
    Id(id)
}

fn words(id: &[u8; 32]) -> u64 {
    (0u32..)
        .zip(id.chunks_exact(8))
        .fold(0, |all, (i, word)| all ^ u64::from_le_bytes(word.try_into().unwrap()).rotate_left(16 * i))
}

/// The mix whose trailing zeros make a key's level.
fn mix(id: &[u8; 32]) -> u64 {
    let mut mix = words(id);
    mix ^= mix >> 33;
    mix = mix.wrapping_mul(0xff51_afd7_ed55_8ccd);
    mix ^= mix >> 33;
    mix = mix.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mix ^ (mix >> 33)
}
