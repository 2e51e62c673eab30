//! Encode, fold, decode: against sets, and against the slow model.
#![allow(clippy::unwrap_used)]

mod model;

use std::collections::BTreeSet;

use hearken_sketch::{ShortId, Sketch, Undecodable};
use model::GF_32;
use proptest::{
    collection::{btree_set, vec},
    prelude::*,
    sample::subsequence,
};

fn id(value: u32) -> ShortId {
    ShortId::new(value).unwrap()
}

fn ids(values: &[u32]) -> Vec<ShortId> {
    values.iter().copied().map(id).collect()
}

fn short_id() -> impl Strategy<Value = u32> {
    // Small ones too: they are in subfields and subspaces, where things go wrong first.
    prop_oneof![4 => 1..=u32::MAX, 1 => 1..300_u32]
}

/// Different values, in an order that says nothing.
fn distinct(sizes: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u32>> {
    btree_set(short_id(), sizes).prop_map(|set| set.into_iter().collect::<Vec<_>>()).prop_shuffle()
}

proptest! {
    #[test]
    fn two_sets_learn_their_differences(
        values in distinct(0..400),
        (ours, theirs) in (0_usize..40, 0_usize..40),
        spare in 1_usize..4,
    ) {
        let ours = &values[..ours.min(values.len())];
        let theirs = &values[ours.len()..(ours.len() + theirs).min(values.len())];
        let common = &values[ours.len() + theirs.len()..];
        let held = ids(&[common, ours].concat());
        let capacity = ours.len() + theirs.len() + spare;

        let mut sketch = Sketch::encode(capacity, held.iter().copied());
        sketch.fold(&Sketch::encode(capacity, ids(&[theirs, common].concat())));
        let found = sketch.decode_among(&held, capacity - spare).unwrap();

        let places: Vec<_> = (common.len()..held.len()).collect();
        prop_assert_eq!(&found.held, &places);
        prop_assert_eq!(found.held_distinct, ours.len());
        let mut lacking = ids(theirs);
        lacking.sort_unstable();
        prop_assert_eq!(&found.lacking, &lacking);
        prop_assert_eq!(found.balance(), ours.len() as i64 - theirs.len() as i64);
        prop_assert_eq!(found.differences(), ours.len() + theirs.len());

        let mut all = ids(&[ours, theirs].concat());
        all.sort_unstable();
        prop_assert_eq!(sketch.decode(capacity - spare).unwrap(), all);
    }

    #[test]
    fn an_overfull_sketch_is_told(values in distinct(3..60), short in 1_usize..20) {
        let capacity = values.len().saturating_sub(short);
        let sketch = Sketch::encode(capacity, ids(&values));
        prop_assert!(sketch.decode(capacity).is_err());
        prop_assert!(sketch.decode_among(&ids(&values), capacity).is_err());
        // One more than is left after verification, too.
        let sketch = Sketch::encode(values.len(), ids(&values));
        prop_assert!(sketch.decode(usize::MAX).is_err());
        // And what is within the capacity, but not within the limit.
        let sketch = Sketch::encode(values.len() + 5, ids(&values));
        let limit = values.len() - 1;
        prop_assert_eq!(sketch.decode(limit), Err(Undecodable::TooMany { limit }));
    }

    #[test]
    fn elements_given_twice_cancel(values in vec(1_u32..20, 0..60), capacity in 20_usize..30) {
        let mut odd = BTreeSet::new();
        for value in &values {
            if !odd.remove(value) {
                odd.insert(*value);
            }
        }
        let sketch = Sketch::encode(capacity, ids(&values));
        prop_assert_eq!(sketch.decode(capacity).unwrap(), ids(&odd.iter().copied().collect::<Vec<_>>()));
        // Candidates that share a short id are all named, and counted once.
        let found = sketch.decode_among(&ids(&values), capacity).unwrap();
        let places: Vec<_> = (0..values.len()).filter(|i| odd.contains(&values[*i])).collect();
        prop_assert_eq!(found.held, places);
        prop_assert_eq!(found.held_distinct, odd.len());
        prop_assert!(found.lacking.is_empty());
    }

    #[test]
    fn encoding_is_toggling_and_smaller_capacities_are_prefixes(
        values in vec(short_id(), 0..600),
        (capacity, other) in (0_usize..40, 0_usize..40),
    ) {
        let sketch = Sketch::encode(capacity, ids(&values));
        let mut toggled = Sketch::new(capacity);
        for id in ids(&values) {
            toggled.toggle(id);
        }
        prop_assert_eq!(&sketch, &toggled);
        let mut smaller = sketch.clone();
        smaller.fold(&Sketch::new(other));
        prop_assert_eq!(&smaller, &Sketch::encode(capacity.min(other), ids(&values)));
        prop_assert_eq!(Sketch::from_syndromes(sketch.syndromes().to_vec()), sketch);
    }

    #[test]
    fn sums_are_those_of_the_model(values in vec(short_id(), 0..40), capacity in 0_usize..12) {
        let wide: Vec<_> = values.iter().map(|&v| u64::from(v)).collect();
        let sums: Vec<_> = Sketch::encode(capacity, ids(&values)).syndromes().iter().map(|&s| u64::from(s)).collect();
        prop_assert_eq!(sums, GF_32.sketch(capacity, &wide));
    }

    #[test]
    fn decoding_finds_what_brute_force_finds(
        (universe, members) in distinct(1..11).prop_flat_map(|u| (Just(u.clone()), subsequence(u.clone(), 0..=u.len()))),
        capacity in 1_usize..9,
        error in prop_oneof![3 => Just(0_u32), 1 => any::<u32>()],
    ) {
        let mut sums = Sketch::encode(capacity, ids(&members)).into_syndromes();
        sums[capacity - 1] ^= error;
        let wide = |values: &[u32]| values.iter().map(|&v| u64::from(v)).collect::<Vec<_>>();
        let expected = GF_32.search(&wide(&sums), &wide(&universe), capacity - 1);
        prop_assert!(expected.len() <= 1, "at most one set has these sums");
        // A set beyond the universe could have them, at a chance of one in 2^32 and less.
        let decoded = Sketch::from_syndromes(sums).decode(capacity).ok();
        let decoded = decoded.map(|ids| ids.iter().map(|id| u64::from(id.get())).collect::<BTreeSet<_>>());
        prop_assert_eq!(decoded, expected.first().map(|set| set.iter().copied().collect()));
    }

    #[test]
    fn garbage_is_refused_quietly(
        sums in vec(prop_oneof![any::<u32>(), 0..4_u32, Just(0)], 0..70),
        candidates in vec(short_id(), 0..300),
        limit in 0_usize..80,
    ) {
        let sketch = Sketch::from_syndromes(sums);
        let found = sketch.decode(limit);
        let among = sketch.decode_among(&ids(&candidates), limit);
        prop_assert_eq!(found.is_ok(), among.is_ok());
        if let Ok(found) = found {
            prop_assert!(found.len() <= limit && found.len() < sketch.capacity());
            prop_assert_eq!(Sketch::encode(sketch.capacity(), found), sketch);
        }
    }

    #[test]
    fn sums_of_a_made_up_locator_are_refused_or_true(
        locator in vec(prop_oneof![3 => any::<u32>(), 1 => 0..4_u32], 1..10),
        spare in 1_usize..4,
    ) {
        // What an attacker would send to have a locator factored that has no roots here: by Newton's identities, the sums
        // over its roots wherever they lie. One polynomial of degree d in d! splits.
        let capacity = locator.len() + spare;
        let mut sums: Vec<u64> = Vec::new();
        for power in 1..2 * capacity {
            let own = locator.get(power - 1).filter(|_| power % 2 == 1).map_or(0, |&e| u64::from(e));
            let earlier = locator.iter().zip(sums.iter().rev());
            sums.push(earlier.fold(own, |sum, (&e, &s)| sum ^ GF_32.mul(u64::from(e), s)));
        }
        let odd: Vec<_> = sums.into_iter().step_by(2).map(|sum| u32::try_from(sum).unwrap()).collect();
        let sketch = Sketch::from_syndromes(odd);
        match sketch.decode(capacity) {
            Ok(found) => {
                prop_assert!(found.len() <= locator.len());
                prop_assert_eq!(Sketch::encode(capacity, found), sketch);
            }
            Err(error) => prop_assert!(matches!(error, Undecodable::NoSet { .. }), "{:?}", error),
        }
    }
}

#[test]
fn the_smallest_sketches() {
    assert!(Sketch::new(0).decode(0).is_err(), "nothing verifies it");
    assert_eq!(Sketch::new(1).decode(9), Ok(vec![]));
    assert!(Sketch::encode(1, [id(5)]).decode(9).is_err(), "nothing is left to verify");
    assert_eq!(Sketch::encode(2, [id(5)]).decode(9), Ok(vec![id(5)]));
}

#[test]
fn elements_whose_sum_is_zero_are_found() {
    let set = [id(0x1234_5678), id(0x9abc_def0), id(0x1234_5678 ^ 0x9abc_def0)];
    let sketch = Sketch::encode(4, set);
    assert_eq!(sketch.syndromes()[0], 0);
    assert_eq!(
        sketch.decode(3),
        Ok(set.to_vec()).map(|mut set: Vec<_>| {
            set.sort_unstable();
            set
        })
    );
}
