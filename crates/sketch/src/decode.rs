//! From power sums to the set: Berlekamp-Massey finds the polynomial whose roots are the elements.

use crate::field::square;
use crate::kernel::Kernel;
use crate::short_id::ShortId;
use crate::sketch::Sketch;
use crate::{poly, roots};

/// Why a sketch gave no set. The remedy is the same for all: narrower ranges, or a higher capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Undecodable {
    /// No set as small as was asked for has these sums.
    #[error("the sketch holds more than {limit} differences: split the range, or send a sketch of higher capacity")]
    TooMany {
        /// How many were looked for.
        limit: usize,
    },
    /// The sums look like those of few elements and are of no set: there are far more, or someone made the sums up.
    #[error("the sketch is not that of a set of up to {limit} differences: split the range, or send a higher capacity")]
    NoSet {
        /// How many were looked for.
        limit: usize,
    },
}

/// The differences between two sets, seen from the one that the candidates came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Where among the candidates those are that only this side has, ascending. If several candidates share a short id
    /// that was found, all of them are here.
    pub held: Vec<usize>,
    /// What only the other side has: short ids that no candidate has, ascending.
    pub lacking: Vec<ShortId>,
    /// How many different short ids `held` stands for.
    pub held_distinct: usize,
}

impl Decoded {
    /// Found minus lacking. Unless short ids collided, it is the number of elements on this side minus that on the other;
    /// where it is not, the caller must not believe the result.
    pub fn balance(&self) -> i64 {
        let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        signed(self.held_distinct) - signed(self.lacking.len())
    }

    /// How many differences there are on both sides together.
    pub fn differences(&self) -> usize {
        self.held_distinct + self.lacking.len()
    }
}

pub(crate) fn decode(kernel: Kernel, sketch: &Sketch, max: usize) -> Result<Vec<ShortId>, Undecodable> {
    decode_with(kernel, sketch, max.min(sketch.max_differences()), &[])
}

pub(crate) fn decode_among(
    kernel: Kernel,
    sketch: &Sketch,
    candidates: &[ShortId],
    max: usize,
) -> Result<Decoded, Undecodable> {
    let found = decode_with(kernel, sketch, max.min(sketch.max_differences()), candidates)?;
    let places = Places::new(&found);
    let mut is_held = vec![false; found.len()];
    let mut held = Vec::new();
    for (start, block) in (0..).step_by(BLOCK).zip(candidates.chunks(BLOCK)) {
        // Comparing a block with a few is quicker than looking each up.
        if found.len() <= FEW && !found.iter().any(|id| contains(block, *id)) {
            continue;
        }
        for (i, candidate) in (start..).zip(block) {
            if let Some(place) = places.find(*candidate) {
                is_held[place] = true;
                held.push(i);
            }
        }
    }
    let lacking: Vec<_> = found.iter().zip(&is_held).filter(|(_, held)| !**held).map(|(id, _)| *id).collect();
    Ok(Decoded { held, held_distinct: found.len() - lacking.len(), lacking })
}

/// How many candidates are looked at together.
const BLOCK: usize = 64;
/// Found elements up to which they are compared with all candidates.
const FEW: usize = 4;

/// Whether `id` is in the block: without a way out before its end, so that vectors are compared.
fn contains(block: &[ShortId], id: ShortId) -> bool {
    block.iter().fold(false, |found, other| found | (*other == id))
}

/// The elements, ascending; no more than `limit`, which may take up the whole capacity so that nothing verifies.
fn decode_with(
    kernel: Kernel,
    sketch: &Sketch,
    limit: usize,
    candidates: &[ShortId],
) -> Result<Vec<ShortId>, Undecodable> {
    if sketch.capacity() == 0 {
        return Err(Undecodable::TooMany { limit });
    }
    let locator = locator(kernel, sketch.syndromes(), limit)?;
    let mut found = Vec::new();
    let mut rest = locator;
    if worth_trying(candidates.len(), rest.len() - 1) {
        found = divide_out(kernel, &mut rest, candidates);
    }
    found.extend(roots::find(kernel, &rest).ok_or(Undecodable::NoSet { limit })?);
    found.sort_unstable();
    found.dedup();
    let found: Option<Vec<_>> = found.into_iter().map(ShortId::new).collect();
    // A double root or one that is zero would show here as well: nothing is believed that does not give all the sums.
    found.filter(|found| is_sketch_of(kernel, sketch, found)).ok_or(Undecodable::NoSet { limit })
}

/// Whether evaluating the locator at all candidates pays: it saves factoring that part of it whose roots are found. The
/// limit lies between what was measured with one lane and with four.
fn worth_trying(candidates: usize, degree: usize) -> bool {
    degree > 2 && candidates <= 1_000 + 24 * degree
}

fn is_sketch_of(kernel: Kernel, sketch: &Sketch, elements: &[ShortId]) -> bool {
    let values: Vec<_> = elements.iter().map(|id| id.get()).collect();
    let mut sums = vec![0; sketch.capacity()];
    kernel.add_odd_powers(&values, &mut sums);
    sums == sketch.syndromes()
}

/// The monic polynomial of least degree whose roots could be the elements, lowest coefficient first; an error if its
/// degree is above `limit`. Its degree is the number of elements, if there is a set at all.
///
/// Berlekamp-Massey (Massey 1969) over s1, s2, ..., s2c, where the even sums are squares, since (a + b)^2 = a^2 + b^2
/// here. For such sequences every second discrepancy is zero (Berlekamp 1968, section 7.6) and is skipped. Divisions
/// are avoided: instead of C - (d / b) x^m B it keeps b C - d x^m B, the same up to a factor.
fn locator(kernel: Kernel, syndromes: &[u32], limit: usize) -> Result<Vec<u32>, Undecodable> {
    let sums = all_sums_reversed(syndromes);
    let mut connection = vec![1];
    let mut previous = vec![1];
    let mut previous_discrepancy = 1;
    let mut length = 0;
    let mut shift = 1;
    for n in (0..sums.len()).step_by(2) {
        // The sum over i of C[i] times the sum n - i.
        let discrepancy = kernel.dot(&connection, &sums[sums.len() - 1 - n..]);
        if discrepancy != 0 {
            let before = (2 * length <= n).then(|| connection.clone());
            poly::cross(kernel, &mut connection, previous_discrepancy, &previous, discrepancy, shift);
            if let Some(before) = before {
                length = n + 1 - length;
                if length > limit {
                    return Err(Undecodable::TooMany { limit });
                }
                (previous, previous_discrepancy, shift) = (before, discrepancy, 0);
            }
        }
        shift += 2;
    }
    poly::trim(&mut connection);
    if connection.len() != length + 1 {
        return Err(Undecodable::NoSet { limit });
    }
    // Its roots are the inverses of the elements; reversed, they are the elements.
    connection.reverse();
    poly::make_monic(kernel, &mut connection);
    Ok(connection)
}

/// The sums of the powers 2c, ..., 2, 1.
fn all_sums_reversed(syndromes: &[u32]) -> Vec<u32> {
    let mut sums = vec![0; 2 * syndromes.len()];
    for power in 1..=sums.len() {
        sums[power - 1] = if power % 2 == 1 { syndromes[power / 2] } else { square(sums[power / 2 - 1]) };
    }
    sums.reverse();
    sums
}

/// Finds those candidates that are roots, and divides the polynomial by them.
fn divide_out(kernel: Kernel, polynomial: &mut Vec<u32>, candidates: &[ShortId]) -> Vec<u32> {
    let mut found = Vec::new();
    let (mut points, mut values) = ([0; BLOCK], [0; BLOCK]);
    for block in candidates.chunks(BLOCK) {
        if polynomial.len() == 1 {
            break;
        }
        for (point, candidate) in points.iter_mut().zip(block) {
            *point = candidate.get();
        }
        kernel.evaluate(polynomial, &points[..block.len()], &mut values[..block.len()]);
        for (&point, _) in points.iter().zip(&values[..block.len()]).filter(|(_, value)| **value == 0) {
            // The same short id twice in a block is a root once.
            if !found.contains(&point) {
                poly::divide_by_root(kernel, polynomial, point);
                found.push(point);
            }
        }
    }
    found
}

/// A sorted list with a filter before it, since nearly all that is looked up is not there.
struct Places<'a> {
    sorted: &'a [ShortId],
    filter: [u64; 32],
}

impl<'a> Places<'a> {
    fn new(sorted: &'a [ShortId]) -> Self {
        let mut filter = [0; 32];
        for id in sorted {
            let (word, bit) = Self::spot(*id);
            filter[word] |= bit;
        }
        Self { sorted, filter }
    }

    fn find(&self, id: ShortId) -> Option<usize> {
        let (word, bit) = Self::spot(id);
        if self.filter[word] & bit == 0 { None } else { self.sorted.binary_search(&id).ok() }
    }

    fn spot(id: ShortId) -> (usize, u64) {
        let value = id.get();
        ((value >> 6 & 31) as usize, 1 << (value & 63))
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// The reason for the sum that only verifies: see `tests/false_decodes.rs` for the same by enumeration.
    #[test]
    fn overfull_sketches_decode_falsely_one_time_in_c_factorial_unless_verified() {
        const TRIALS: u32 = 3_000;
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let kernel = Kernel::best();
        for (capacity, one_in) in [(1, 1), (2, 2), (3, 6), (4, 24), (5, 120)] {
            let mut unverified = 0;
            let mut verified = 0;
            for _ in 0..TRIALS {
                let elements = capacity + rng.random_range(1..30);
                let sketch = Sketch::encode(capacity, (0..elements).filter_map(|_| ShortId::new(rng.random())));
                unverified += u32::from(decode_with(kernel, &sketch, capacity, &[]).is_ok());
                verified += u32::from(decode(kernel, &sketch, capacity).is_ok());
            }
            let expected = TRIALS / one_in;
            let deviation = expected.isqrt() + 1;
            assert!(unverified.abs_diff(expected) < 5 * deviation, "capacity {capacity}: {unverified} of {TRIALS}");
            assert_eq!(verified, 0, "capacity {capacity}");
        }
    }

    #[test]
    fn all_kernels_and_both_ways_decode_alike() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        for differences in [0, 1, 2, 3, 7, 20, 63] {
            let ids: Vec<_> = (0..differences + 5).filter_map(|_| ShortId::new(rng.random())).collect();
            let sketch = Sketch::encode(differences + 1, ids[..differences].iter().copied());
            let expected = decode(Kernel::Portable, &sketch, differences).map_err(|e| e.to_string());
            assert_eq!(expected.as_ref().map(Vec::len), Ok(differences));
            for kernel in Kernel::all() {
                // Few candidates are tried first, many are not: the same comes out.
                for held in [&ids[..], &ids[differences / 2..]] {
                    let many = held.iter().cycle().take(held.len() * 2_000).copied().collect::<Vec<_>>();
                    for candidates in [held, &many] {
                        let found = decode_with(kernel, &sketch, differences, candidates).map_err(|e| e.to_string());
                        assert_eq!(found, expected);
                    }
                }
            }
        }
    }
}
