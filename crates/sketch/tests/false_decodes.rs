//! How often a sketch of too much decodes as something small, and what a verifying sum does about it.
//!
//! Here by enumeration over small fields, in the model; `src/decode.rs` counts the same in the real field, where sums
//! that verify can be left out.
#![allow(clippy::unwrap_used)]

mod model;

use std::collections::BTreeSet;

use model::Field;

/// The sketches of all sets of at most `max` non-zero elements.
fn sketches(field: Field, capacity: usize, max: usize) -> Vec<Vec<u64>> {
    let each: Vec<_> = (1..1 << field.bits).map(|element| field.sketch(capacity, &[element])).collect();
    let mut all = vec![(0, vec![0; capacity])];
    let mut largest = all.clone();
    for _ in 0..max {
        largest = largest
            .iter()
            .flat_map(|(next, sums)| (*next..each.len()).map(|i| (i + 1, add(sums, &each[i]))).collect::<Vec<_>>())
            .collect();
        all.extend(largest.iter().cloned());
    }
    all.into_iter().map(|(_, sums)| sums).collect()
}

fn add(a: &[u64], b: &[u64]) -> Vec<u64> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

fn factorial(n: usize) -> f64 {
    (1..=n).map(|i| i as f64).product()
}

#[test]
fn one_sketch_in_c_factorial_decodes_and_a_verifying_sum_makes_it_rare() {
    let cases = [(4, 0x3, 2), (5, 0x5, 2), (5, 0x5, 3), (6, 0x3, 3), (8, 0x1b, 2)];
    for (bits, modulus, capacity) in cases {
        let field = Field { bits, modulus };
        let possible = 2_f64.powi(i32::try_from(bits as usize * capacity).unwrap());

        // Sets up to the capacity never share a sketch.
        let all = sketches(field, capacity, capacity);
        let distinct: BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "{bits} bits, capacity {capacity}");

        // So that is how many of all possible sums decode: about one in c!.
        let share = all.len() as f64 / possible;
        let ratio = share * factorial(capacity);
        assert!((0.75..1.25).contains(&ratio), "{bits} bits, capacity {capacity}: {ratio} of 1/c!");

        // With one sum that verifies: about one in (c - 1)! 2^bits.
        let verified = sketches(field, capacity, capacity - 1).len() as f64 / possible;
        let ratio = verified * factorial(capacity - 1) * 2_f64.powi(bits.cast_signed());
        assert!((0.75..1.25).contains(&ratio), "{bits} bits, capacity {capacity}: {ratio} of the expected");
    }
}
