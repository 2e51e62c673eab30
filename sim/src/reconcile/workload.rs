//! The two sets that are reconciled.

use std::{collections::BTreeSet, str::FromStr};

use hearken_tree::{Id, Key};
use rand::{RngExt as _, SeedableRng as _, seq::index};
use rand_chacha::ChaCha12Rng;

/// Time between two messages of a made-up set: 100 ms.
const SPACING: u64 = 100_000_000;
/// Where made-up sets begin: 2026-01-01, in nanoseconds since the Unix epoch.
const EPOCH: u64 = 1_767_225_600_000_000_000;

/// Which messages the requester lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Any, independently.
    Scatter,
    /// The newest.
    GapNewest,
    /// The oldest.
    GapOldest,
    /// A stretch around the middle.
    GapMiddle,
    /// Any, and the provider lacks as many others: half of the number each.
    TwoWay,
    /// All of them.
    Empty,
}

impl Shape {
    /// The shapes by the names that the command line knows.
    pub const NAMES: [(&'static str, Shape); 6] = [
        ("scatter", Shape::Scatter),
        ("gap-newest", Shape::GapNewest),
        ("gap-oldest", Shape::GapOldest),
        ("gap-middle", Shape::GapMiddle),
        ("two-way", Shape::TwoWay),
        ("empty", Shape::Empty),
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        Shape::NAMES.iter().find(|(_, shape)| *shape == self).map_or("", |(name, _)| name)
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(name: &str) -> Result<Shape, String> {
        Shape::NAMES.iter().find(|(known, _)| *known == name).map(|(_, shape)| *shape).ok_or_else(|| {
            let names: Vec<_> = Shape::NAMES.iter().map(|(name, _)| *name).collect();
            format!("expected one of {}", names.join(", "))
        })
    }
}

/// Two sets, sorted, and what the first lacks of the second.
pub struct Workload {
    /// What the requester holds.
    pub requester: Vec<Key>,
    /// What the provider holds.
    pub provider: Vec<Key>,
    /// What the requester lacks.
    pub missing: BTreeSet<Key>,
    /// When both sets have settled: just after the newest key, in nanoseconds since the Unix epoch.
    pub end: u64,
    /// Just before the oldest key.
    pub start: u64,
}

/// `items` keys 100 ms apart, with jitter and random ids.
pub fn made_up(items: usize, seed: u64) -> Vec<Key> {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    (0..items as u64)
        .map(|at| Key::new(EPOCH + at * SPACING + rng.random_range(0..SPACING), Id(rng.random())))
        .collect()
}

impl Workload {
    /// Takes `missing` of `keys` (sorted, distinct) away in the given shape.
    pub fn new(keys: Vec<Key>, missing: usize, shape: Shape, seed: u64) -> Workload {
        let mut rng = ChaCha12Rng::seed_from_u64(seed ^ 0x6d69_7373_696e_6721);
        let items = keys.len();
        let missing = if shape == Shape::Empty { items } else { missing.min(items) };
        let mut lacked = vec![Side::Both; items];
        let gap = |start: usize| start..start + missing;
        match shape {
            Shape::Scatter | Shape::TwoWay => {
                for (turn, at) in index::sample(&mut rng, items, missing).into_iter().enumerate() {
                    let away_from_provider = shape == Shape::TwoWay && turn % 2 == 1;
                    lacked[at] = if away_from_provider { Side::Requester } else { Side::Provider };
                }
            }
            Shape::GapNewest => lacked[gap(items - missing)].fill(Side::Provider),
            Shape::GapOldest | Shape::Empty => lacked[gap(0)].fill(Side::Provider),
            Shape::GapMiddle => lacked[gap((items - missing) / 2)].fill(Side::Provider),
        }
        let held_by = |other: Side| {
            let held = keys.iter().zip(&lacked).filter(move |(_, side)| **side != other);
            held.map(|(key, _)| *key).collect::<Vec<_>>()
        };
        let missing = keys.iter().zip(&lacked).filter(|(_, side)| **side == Side::Provider).map(|(key, _)| *key);
        Workload {
            requester: held_by(Side::Provider),
            provider: held_by(Side::Requester),
            missing: missing.collect(),
            start: keys.first().map_or(EPOCH, Key::timestamp),
            end: keys.last().map_or(EPOCH, Key::timestamp) + 1,
        }
    }
}

/// Who holds a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Both,
    Requester,
    Provider,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_take_away_what_they_say() {
        let keys = made_up(1_000, 7);
        for (name, shape) in Shape::NAMES {
            let work = Workload::new(keys.clone(), 100, shape, 3);
            let (missing, extra) = match shape {
                Shape::TwoWay => (50, 50),
                Shape::Empty => (1_000, 0),
                _ => (100, 0),
            };
            assert_eq!(work.missing.len(), missing, "{name}");
            assert_eq!(work.requester.len(), 1_000 - missing, "{name}");
            assert_eq!(work.provider.len(), 1_000 - extra, "{name}");
            assert!(work.missing.iter().all(|key| work.provider.contains(key) && !work.requester.contains(key)));
        }
        let newest = Workload::new(keys.clone(), 10, Shape::GapNewest, 1);
        assert_eq!(newest.missing.first(), keys.get(990));
    }
}
