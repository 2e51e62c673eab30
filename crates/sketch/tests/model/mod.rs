//! The same sketches, written once more from the definition: bit by bit, by brute force, for fields of any size.
#![allow(dead_code, reason = "each test uses a part")]

/// GF(2^bits), with the modulus less its leading term.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    pub(crate) bits: u32,
    pub(crate) modulus: u64,
}

pub(crate) const GF_32: Field = Field { bits: 32, modulus: 0x8d };

impl Field {
    /// Long multiplication, then long division.
    pub(crate) fn mul(self, a: u64, b: u64) -> u64 {
        let mut product = 0;
        for bit in 0..self.bits {
            if b >> bit & 1 == 1 {
                product ^= a << bit;
            }
        }
        let modulus = 1 << self.bits | self.modulus;
        for bit in (self.bits..2 * self.bits).rev() {
            if product >> bit & 1 == 1 {
                product ^= modulus << (bit - self.bits);
            }
        }
        product
    }

    pub(crate) fn power(self, a: u64, exponent: usize) -> u64 {
        (0..exponent).fold(1, |product, _| self.mul(product, a))
    }

    /// The sums of the powers 1, 3, ..., 2 capacity - 1.
    pub(crate) fn sketch(self, capacity: usize, elements: &[u64]) -> Vec<u64> {
        let sum = |k| elements.iter().fold(0, |sum, &element| sum ^ self.power(element, 2 * k + 1));
        (0..capacity).map(sum).collect()
    }

    /// Every set of at most `max` elements of `universe` that has these sums.
    pub(crate) fn search(self, sketch: &[u64], universe: &[u64], max: usize) -> Vec<Vec<u64>> {
        let each: Vec<_> = universe.iter().map(|&element| self.sketch(sketch.len(), &[element])).collect();
        let mut found = Vec::new();
        for subset in 0_u32..1 << universe.len() {
            if subset.count_ones() as usize > max {
                continue;
            }
            let members = (0..universe.len()).filter(|i| subset >> i & 1 == 1);
            let sums = members.clone().fold(vec![0; sketch.len()], |sums: Vec<u64>, i| {
                sums.iter().zip(&each[i]).map(|(a, b)| a ^ b).collect()
            });
            if sums == sketch {
                found.push(members.map(|i| universe[i]).collect());
            }
        }
        found
    }
}
