//! Keys of all kinds: honest ones, and what an attacker would grind.
use hearken_tree::{Id, Key};
use proptest::prelude::*;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::model::{Model, mix};

/// What the ids are like.
#[derive(Clone, Copy, Debug)]
pub enum Ids {
    Honest,
    /// None bounds any level.
    NoBoundary,
    /// All bound level 0 and none level 1.
    AllAtLevel1,
    /// All bound every level.
    AllAtEveryLevel,
    /// The first half of each is the same.
    Clustered,
    /// Each kind now and then.
    Mixed,
}

/// What the timestamps are like.
#[derive(Clone, Copy, Debug)]
pub enum Times {
    /// So many different ones.
    Below(u64),
    /// One after the other.
    Ascending,
    Shared,
    PowersOfTwo,
}

pub fn ids() -> impl Strategy<Value = Ids> {
    prop_oneof![
        Just(Ids::Honest),
        Just(Ids::NoBoundary),
        Just(Ids::AllAtLevel1),
        Just(Ids::AllAtEveryLevel),
        Just(Ids::Clustered),
        Just(Ids::Mixed),
    ]
}

pub fn times() -> impl Strategy<Value = Times> {
    prop_oneof![
        Just(Times::Below(50)),
        Just(Times::Below(1 << 40)),
        Just(Times::Ascending),
        Just(Times::Shared),
        Just(Times::PowersOfTwo),
    ]
}

/// Distinct keys in random order.
pub fn keys(model: Model, ids: Ids, times: Times, count: usize, seed: u64) -> Vec<Key> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut keys: Vec<Key> =
        (0..count as u64).map(|i| Key::new(time(times, i, &mut rng), id(model, ids, &mut rng))).collect();
    keys.sort_unstable();
    keys.dedup();
    shuffle(&mut keys, &mut rng);
    keys
}

pub fn shuffle(keys: &mut [Key], rng: &mut ChaCha8Rng) {
    for i in (1..keys.len()).rev() {
        keys.swap(i, rng.random_range(0..=i));
    }
}

fn time(times: Times, i: u64, rng: &mut ChaCha8Rng) -> u64 {
    match times {
        Times::Below(bound) => rng.random_range(0..bound),
        Times::Ascending => 1_700_000_000_000_000_000 + i * 100_000_000,
        Times::Shared => 1_700_000_000_000_000_000,
        Times::PowersOfTwo => 1 << rng.random_range(0..64),
    }
}

fn id(model: Model, ids: Ids, rng: &mut ChaCha8Rng) -> Id {
    let mut id = [0; 32];
    rng.fill_bytes(&mut id);
    let level = |id: &[u8; 32]| model.level(&Key::new(0, Id(*id)));
    match ids {
        Ids::Honest => {}
        Ids::NoBoundary => {
            while level(&id) > 0 {
                rng.fill_bytes(&mut id[..8]);
            }
        }
        Ids::AllAtLevel1 => {
            while level(&id) != 1 {
                rng.fill_bytes(&mut id[..8]);
            }
        }
        Ids::AllAtEveryLevel => {
            // The finaliser maps 0 to 0, and the first word is not rotated: make the words cancel out.
            id[..8].fill(0);
            let others = (1u32..).zip(id[8..].chunks_exact(8));
            let first =
                others.fold(0, |mix, (i, word)| mix ^ u64::from_le_bytes(word.try_into().unwrap()).rotate_left(16 * i));
            id[..8].copy_from_slice(&first.to_le_bytes());
            assert_eq!(mix(&Key::new(0, Id(id))), 0);
        }
        Ids::Clustered => id[..16].fill(7),
        Ids::Mixed => {
            let kinds = [Ids::Honest, Ids::NoBoundary, Ids::AllAtLevel1, Ids::AllAtEveryLevel, Ids::Clustered];
            return self::id(model, kinds[rng.random_range(0..kinds.len())], rng);
        }
    }
    Id(id)
}
