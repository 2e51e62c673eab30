//! What makes the tree a tree: it is what the definition says, however it came about.
//!
//! Most cases use Q = 2, 4 or 8: with caps of 16, 32 and 64 entries, over-long runs and deep trees take few keys.
#![allow(clippy::unwrap_used)]
mod common;

use std::collections::BTreeSet;

use common::{
    keys::{self, Ids, Times},
    model::{Model, STANDARD},
    visited,
};
use hearken_tree::{Id, Key, KeyRange, Snapshot, Span, Tree};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Keys of some kind, and a seed for what is done with them.
#[derive(Clone, Debug)]
struct Case {
    model: Model,
    keys: Vec<Key>,
    seed: u64,
}

fn case(most: usize) -> impl Strategy<Value = Case> {
    (1u32..4, keys::ids(), keys::times(), 0..most, any::<u64>()).prop_map(|(bits, ids, times, count, seed)| {
        let model = Model { bits };
        Case { model, keys: keys::keys(model, ids, times, count, seed), seed }
    })
}

fn sorted(keys: &[Key]) -> Vec<Key> {
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    keys
}

fn is_model(model: Model, set: &Snapshot, keys: &[Key]) {
    assert_eq!(set.len(), keys.len() as u64);
    assert_eq!(set.root().unwrap(), model.fingerprint(keys));
    let (found, expected) = (set.chunks().unwrap(), model.chunks(keys));
    assert!(found.iter().all(|(_, entries, _)| *entries <= model.cap()));
    assert_eq!(found, expected);
}

fn empty(model: Model) -> Tree {
    Tree::with_q_bits(model.bits)
}

fn built(model: Model, keys: &[Key]) -> Tree {
    empty(model).filled(keys.iter().copied()).unwrap()
}

/// A bound on a key, beside one, or anywhere.
fn bound(keys: &[Key], rng: &mut ChaCha8Rng) -> Key {
    if keys.is_empty() || rng.random_ratio(1, 8) {
        return [Key::MIN, Key::MAX, Key::at(rng.random()), Key::at(1 << rng.random_range(0..60))]
            [rng.random_range(0..4)];
    }
    let mut bytes = *keys[rng.random_range(0..keys.len())].as_bytes();
    match rng.random_range(0..4) {
        0 => bytes[39] = bytes[39].wrapping_add(1),
        1 => bytes[39] = bytes[39].wrapping_sub(1),
        2 => bytes[rng.random_range(0..40)..].fill(0),
        _ => {}
    }
    Key::from_bytes(bytes)
}

fn range(keys: &[Key], rng: &mut ChaCha8Rng) -> KeyRange {
    let (a, b) = (bound(keys, rng), bound(keys, rng));
    KeyRange::new(a.min(b), a.max(b)).unwrap()
}

fn within<'a>(keys: &'a [Key], range: &KeyRange) -> &'a [Key] {
    let start = keys.partition_point(|key| *key < range.start());
    &keys[start..keys.partition_point(|key| *key < range.end())]
}

proptest! {
    #![proptest_config(common::config(120))]

    #[test]
    fn bulk_build_is_the_model(case in case(600)) {
        let keys = sorted(&case.keys);
        is_model(case.model, &built(case.model, &keys).snapshot(), &keys);
    }

    #[test]
    fn inserts_in_any_order_are_the_model(case in case(400)) {
        let mut tree = empty(case.model);
        let mut set = BTreeSet::new();
        for (i, key) in case.keys.iter().enumerate() {
            prop_assert!(tree.insert(*key).unwrap());
            prop_assert!(!tree.insert(*key).unwrap());
            set.insert(*key);
            if i % 16 == 0 {
                is_model(case.model, &tree.snapshot(), &set.iter().copied().collect::<Vec<_>>());
            }
        }
        is_model(case.model, &tree.snapshot(), &sorted(&case.keys));
        let mut at_once = empty(case.model);
        prop_assert_eq!(at_once.insert_all(case.keys.iter().chain(&case.keys).copied()).unwrap(), set.len() as u64);
        prop_assert_eq!(at_once.snapshot().chunks().unwrap(), tree.snapshot().chunks().unwrap());
    }

    #[test]
    fn batches_behind_all_others_are_the_model(case in case(600)) {
        let mut rng = ChaCha8Rng::seed_from_u64(case.seed);
        let all = sorted(&case.keys);
        let mut tree = empty(case.model);
        let mut done = 0;
        while done < all.len() {
            // Some are there already, and some come twice.
            let (from, to) = (rng.random_range(done / 2..=done), rng.random_range(done..all.len()) + 1);
            let batch = all[from..to].iter().chain(&all[done..to]).copied();
            prop_assert_eq!(tree.insert_all(batch).unwrap(), (to - done) as u64);
            is_model(case.model, &tree.snapshot(), &all[..to]);
            done = to;
        }
    }

    #[test]
    fn removals_in_any_order_are_the_model(case in case(400)) {
        let mut tree = built(case.model, &sorted(&case.keys));
        let mut set: BTreeSet<Key> = case.keys.iter().copied().collect();
        for (i, key) in case.keys.iter().enumerate() {
            prop_assert!(tree.remove(key).unwrap());
            prop_assert!(!tree.remove(key).unwrap());
            set.remove(key);
            if i % 16 == 0 || set.len() < 3 {
                is_model(case.model, &tree.snapshot(), &set.iter().copied().collect::<Vec<_>>());
            }
        }
        prop_assert!(tree.snapshot().is_empty());
    }

    /// Around a few places, so that runs grow past the cap and shrink below it again and again.
    #[test]
    fn inserts_and_removals_mixed_are_the_model(case in case(300)) {
        let mut rng = ChaCha8Rng::seed_from_u64(case.seed);
        let mut tree = empty(case.model);
        let mut set = BTreeSet::new();
        let all = sorted(&case.keys);
        let mut snapshots = Vec::new();
        for turn in 0..all.len() {
            let from = rng.random_range(0..all.len());
            let some = &all[from..(from + rng.random_range(1..40)).min(all.len())];
            let insert = rng.random_ratio(3, 5);
            for key in some {
                let changed = if insert { tree.insert(*key).unwrap() } else { tree.remove(key).unwrap() };
                prop_assert_eq!(changed, if insert { set.insert(*key) } else { set.remove(key) });
            }
            if turn % 8 == 0 {
                let keys: Vec<Key> = set.iter().copied().collect();
                is_model(case.model, &tree.snapshot(), &keys);
                snapshots.push((tree.snapshot(), keys));
            }
        }
        for (snapshot, keys) in snapshots {
            is_model(case.model, &snapshot, &keys);
        }
    }

    /// Roots read now and then while keys come at the end, and some elsewhere: saved hashers must know what changed.
    #[test]
    fn roots_read_between_appends_are_the_model(case in case(300)) {
        let mut rng = ChaCha8Rng::seed_from_u64(case.seed);
        let mut tree = empty(case.model);
        let mut set = BTreeSet::new();
        let reads = rng.random_range(1..6);
        let mut held = tree.snapshot();
        for key in sorted(&case.keys) {
            if !rng.random_ratio(1, 10) {
                tree.insert(key).unwrap();
                set.insert(key);
            }
            if rng.random_ratio(1, 10) {
                let other = case.keys[rng.random_range(0..case.keys.len())];
                let changed = if rng.random() { tree.insert(other).unwrap() == set.insert(other) } else { tree.remove(&other).unwrap() == set.remove(&other) };
                prop_assert!(changed);
            }
            if rng.random_ratio(1, reads) {
                let keys: Vec<Key> = set.iter().copied().collect();
                prop_assert_eq!(tree.snapshot().root().unwrap(), case.model.fingerprint(&keys));
            }
            if rng.random_ratio(1, 20) {
                held = tree.snapshot();
            }
        }
        prop_assert!(held.len() <= case.keys.len() as u64);
        is_model(case.model, &tree.snapshot(), &set.iter().copied().collect::<Vec<_>>());
    }

    #[test]
    fn dropping_a_prefix_is_the_model(case in case(600)) {
        let keys = sorted(&case.keys);
        let mut rng = ChaCha8Rng::seed_from_u64(case.seed);
        let mut tree = built(case.model, &keys);
        let mut left = keys.as_slice();
        for _ in 0..6 {
            let bound = bound(left, &mut rng);
            let dropped = left.partition_point(|key| *key < bound);
            prop_assert_eq!(tree.drop_before(&bound).unwrap(), dropped as u64);
            left = &left[dropped..];
            is_model(case.model, &tree.snapshot(), left);
        }
    }

    #[test]
    fn the_fingerprint_of_a_range_is_that_of_its_keys(case in case(600)) {
        let keys = sorted(&case.keys);
        let mut rng = ChaCha8Rng::seed_from_u64(case.seed);
        let set = built(case.model, &keys).snapshot();
        for _ in 0..50 {
            let range = range(&keys, &mut rng);
            let expected = within(&keys, &range);
            prop_assert_eq!(set.fingerprint(&range).unwrap(), case.model.fingerprint(expected));
            prop_assert_eq!(set.count(&range).unwrap(), expected.len() as u64);
            prop_assert_eq!(&set.keys(&range).collect::<Result<Vec<_>, _>>().unwrap(), expected);
            prop_assert_eq!(&visited(&set, &range).unwrap(), expected);
        }
    }

    #[test]
    fn a_chunk_has_the_fingerprint_of_its_range(case in case(600)) {
        let keys = sorted(&case.keys);
        let set = built(case.model, &keys).snapshot();
        for (page, _, fingerprint) in set.chunks().unwrap() {
            let start = keys.partition_point(|key| *key < page.first);
            let end = start + usize::try_from(fingerprint.count).unwrap();
            let range = KeyRange::new(page.first, keys.get(end).copied().unwrap_or(Key::MAX)).unwrap();
            prop_assert_eq!(set.fingerprint(&range).unwrap(), fingerprint);
        }
    }

    #[test]
    fn one_key_more_shows_in_every_range_that_holds_it(case in case(400)) {
        prop_assume!(!case.keys.is_empty());
        let mut rng = ChaCha8Rng::seed_from_u64(case.seed);
        let keys = sorted(&case.keys);
        let mut tree = built(case.model, &keys);
        let with = tree.snapshot();
        let key = case.keys[0];
        tree.remove(&key).unwrap();
        let without = tree.snapshot();
        let differing = with.differing(&without.summary(&KeyRange::ALL, 10).unwrap()).unwrap();
        prop_assert_eq!(differing.len(), 1);
        prop_assert!(differing[0].range.contains(&key));
        for _ in 0..30 {
            let range = range(&keys, &mut rng);
            let same = with.fingerprint(&range).unwrap() == without.fingerprint(&range).unwrap();
            prop_assert_eq!(same, !range.contains(&key));
        }
    }

    /// Whatever is lacking, on either side, beside cuts too; and wherever the spans were cut.
    #[test]
    fn differing_spans_are_those_whose_fingerprints_differ(case in case(500)) {
        let mut rng = ChaCha8Rng::seed_from_u64(case.seed);
        let keys = sorted(&case.keys);
        let one_in = [2, 10, 50, 1_000][rng.random_range(0..4)];
        let mut part = || -> Vec<Key> { keys.iter().filter(|_| !rng.random_ratio(1, one_in)).copied().collect() };
        let (mine, theirs) = (part(), part());
        let (set, other) = (built(case.model, &mine).snapshot(), built(case.model, &theirs).snapshot());
        for parts in [3, 20] {
            let window = range(&keys, &mut rng);
            let mut cuts: Vec<Key> = (0..parts).map(|_| bound(&keys, &mut rng)).filter(|cut| window.contains(cut)).collect();
            cuts.extend([window.start(), window.end()]);
            cuts.sort_unstable();
            let anywhere = cuts.windows(2).map(|pair| {
                let range = KeyRange::new(pair[0], pair[1]).unwrap();
                Span { range, fingerprint: other.fingerprint(&range).unwrap() }
            });
            for spans in [other.summary(&window, parts).unwrap(), other.split(&window, parts).unwrap(), anywhere.collect()] {
                let mut expected = Vec::new();
                for span in &spans {
                    let fingerprint = case.model.fingerprint(within(&mine, &span.range));
                    if fingerprint != span.fingerprint {
                        expected.push(Span { range: span.range, fingerprint });
                    }
                }
                prop_assert_eq!(set.differing(&spans).unwrap(), expected);
            }
        }
    }

    #[test]
    fn splits_and_summaries_cover_their_range(case in case(600)) {
        let keys = sorted(&case.keys);
        let mut rng = ChaCha8Rng::seed_from_u64(case.seed);
        let set = built(case.model, &keys).snapshot();
        for _ in 0..4 {
            let range = range(&keys, &mut rng);
            let parts = rng.random_range(1..40);
            let inside = within(&keys, &range).len();
            let split = set.split(&range, parts).unwrap();
            prop_assert!(inside < 2 || parts < 2 || split.len() >= 2);
            prop_assert!(inside < 2 || split.iter().all(|span| span.fingerprint.count > 0));
            prop_assert!(split.iter().all(|span| span.fingerprint.count <= (inside.div_ceil(parts) * 2 + 2) as u64));
            let summary = set.summary(&range, parts).unwrap();
            let counts: Vec<_> = summary.iter().map(|span| (span.range, span.fingerprint.count)).collect();
            let told = set.summary_if(&range, parts, |told| usize::from(told != counts)).unwrap();
            prop_assert_eq!(told.as_ref(), Some(&summary));
            prop_assert_eq!(set.summary_if(&range, parts, |_| parts + 1).unwrap(), None);
            let shorter = set.summary_if(&range, parts, |told| usize::from(told.len() == summary.len())).unwrap();
            // One in eight cuts, with those at the two ends.
            prop_assert_eq!(shorter.is_some(), summary.len() >= 7);
            let shorter = shorter.unwrap_or_else(|| summary.clone());
            prop_assert_eq!(shorter.len() + usize::from(summary.len() >= 7), summary.len());
            for spans in [split, summary, shorter] {
                prop_assert!(spans.len() <= parts);
                prop_assert_eq!(spans[0].range.start(), range.start());
                prop_assert_eq!(spans[spans.len() - 1].range.end(), range.end());
                prop_assert!(spans.windows(2).all(|pair| pair[0].range.end() == pair[1].range.start()));
                for span in spans {
                    let expected = case.model.fingerprint(within(&keys, &span.range));
                    prop_assert_eq!(span.fingerprint, expected);
                }
            }
        }
    }

    #[test]
    fn rank_and_nth_are_each_others_inverse(case in case(300)) {
        let keys = sorted(&case.keys);
        let set = built(case.model, &keys).snapshot();
        for (rank, key) in (0..).zip(&keys) {
            prop_assert_eq!(set.rank(key).unwrap(), rank);
            prop_assert_eq!(set.nth(rank).unwrap(), Some(*key));
            prop_assert!(set.contains(key).unwrap());
        }
        prop_assert_eq!(set.nth(keys.len() as u64).unwrap(), None);
        prop_assert_eq!(set.rank(&Key::MAX).unwrap(), keys.len() as u64);
        prop_assert_eq!(set.key_from(&Key::MIN).unwrap(), keys.first().copied());
    }
}

proptest! {
    #![proptest_config(common::config(16))]

    /// The same with Q = 128, as it is used.
    #[test]
    fn the_standard_tree_is_the_model(ids in keys::ids(), times in keys::times(), count in 0usize..8_000, seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let keys = keys::keys(STANDARD, ids, times, count, seed);
        let mut tree = Tree::new();
        for key in &keys {
            tree.insert(*key).unwrap();
        }
        let keys = sorted(&keys);
        is_model(STANDARD, &tree.snapshot(), &keys);
        prop_assert_eq!(tree.snapshot().chunks().unwrap(), Tree::from_sorted(keys.iter().copied()).unwrap().snapshot().chunks().unwrap());
        for _ in 0..10 {
            let range = range(&keys, &mut rng);
            prop_assert_eq!(tree.snapshot().fingerprint(&range).unwrap(), STANDARD.fingerprint(within(&keys, &range)));
        }
    }
}

#[test]
fn a_bulk_build_refuses_what_is_not_in_order() {
    let (a, b) = (Key::new(1, Id([1; 32])), Key::new(2, Id([1; 32])));
    assert!(Tree::from_sorted([a, b]).is_ok());
    assert_eq!(Tree::from_sorted([b, a]).err().unwrap().key, a);
    assert_eq!(Tree::from_sorted([a, a]).err().unwrap().key, a);
    assert_eq!(Tree::from_sorted([a, Key::MAX]).err().unwrap().key, Key::MAX);
}

#[test]
fn the_end_of_all_ranges_is_no_key() {
    let mut tree = Tree::new();
    assert!(!tree.insert(Key::MAX).unwrap());
    assert!(!tree.remove(&Key::MAX).unwrap());
    assert!(tree.snapshot().is_empty());
}

/// A summary cuts the young finely, near multiples of 2^k minutes, where chunks start.
#[test]
fn a_summary_is_finer_the_younger() {
    const MINUTE: u64 = 60_000_000_000;
    let keys = sorted(&keys::keys(STANDARD, Ids::Honest, Times::Below(10_000 * MINUTE), 500_000, 1));
    let set = Tree::from_sorted(keys.iter().copied()).unwrap().snapshot();
    let spans = set.summary(&KeyRange::ALL, 64).unwrap();
    assert!((48..=64).contains(&spans.len()), "{}", spans.len());
    let cuts: Vec<Key> = spans.iter().skip(1).map(|span| span.range.start()).collect();
    let at_chunks = cuts.iter().filter(|cut| STANDARD.level(&set.key_from(cut).unwrap().unwrap()) > 0).count();
    assert!(at_chunks * 4 > cuts.len() * 3, "{at_chunks} of {}", cuts.len());
    let gaps: Vec<u64> = cuts.windows(2).map(|pair| pair[1].timestamp() - pair[0].timestamp()).collect();
    assert!(gaps[0] > 20 * gaps[gaps.len() - 1], "{gaps:?}");
}
