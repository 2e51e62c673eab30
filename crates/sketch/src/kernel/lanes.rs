//! The inner loops over carry-less multiplication in vector lanes, whatever the processor.
//!
//! A lane holds a polynomial of degree below 128. Everything here is lazy about reduction, since a product is one
//! instruction and a reduction several: a running power keeps 64 bits in the lower half of its lane (the upper half
//! is rubbish that nobody reads), a multiplier at most 39, so a product has at most 102. One more multiplication, by
//! x^64 reduced, brings that back to 64. Sums stay wide and are reduced once at the end.
//!
//! All is `inline(always)`, so that it takes on the target features of whoever calls it. For the same reason there are
//! plain loops where iterators with closures would be shorter.

use crate::field::{FOLD_64, reduce_wide};
use crate::{ShortId, ShortIds};

/// Vectors of one or more 128-bit lanes.
pub(super) trait Lanes: Copy {
    /// One polynomial a lane.
    type Wide: Copy;
    /// Lanes in a vector.
    const WIDTH: usize;

    /// One element a lane; `elements` holds exactly `WIDTH`.
    fn load(self, elements: &[u32]) -> Self::Wide;
    /// The same element in every lane.
    fn splat(self, element: u32) -> Self::Wide;
    /// The product of the lower halves.
    fn mul(self, a: Self::Wide, b: Self::Wide) -> Self::Wide;
    /// The product of the upper half of `a` and the lower half of `b`.
    fn mul_upper(self, a: Self::Wide, b: Self::Wide) -> Self::Wide;
    /// The product of the upper halves.
    fn mul_uppers(self, a: Self::Wide, b: Self::Wide) -> Self::Wide;
    fn add(self, a: Self::Wide, b: Self::Wide) -> Self::Wide;
    /// In each half, bits 32 to 63 moved to its start.
    fn over_32(self, a: Self::Wide) -> Self::Wide;
    /// In each half, bits 0 to 31.
    fn under_32(self, a: Self::Wide) -> Self::Wide;
    /// In each half, what has at most 32 bits times x^32 reduced: 39 bits.
    fn times_fold_32(self, a: Self::Wide) -> Self::Wide;
    /// The lanes, one after the other, into exactly `WIDTH` places.
    fn store(self, a: Self::Wide, lanes: &mut [u128]);

    /// One element a half, two a lane; `elements` holds from 1 to `2 WIDTH`, the rest is zero.
    fn load_halves(self, elements: &[u32]) -> Self::Wide;
    /// The lower 32 bits of each half into `elements`: from 1 to `2 WIDTH`.
    fn store_halves(self, a: Self::Wide, elements: &mut [u32]);
    /// The lower halves of both, `a` below.
    fn join(self, a: Self::Wide, b: Self::Wide) -> Self::Wide;
    /// The lower half, zeros above.
    fn lower(self, a: Self::Wide) -> Self::Wide;
    /// The upper half moved to the lower one, zeros above.
    fn upper(self, a: Self::Wide) -> Self::Wide;
    /// In each half, the square of what has at most 32 bits: one product does for both, since (a + b x^32)^2 is a^2 + b^2 x^64.
    fn squares(self, a: Self::Wide) -> Self::Wide;
}

/// How many vectors go through the loop side by side: a step waits for two multiplications of about 4 cycles each, and
/// issues three.
const CHAINS: usize = 4;
/// Vectors for as many elements with one in either half.
const PAIRS: usize = CHAINS / 2;

/// Sums from which on it pays to make more powers to step by.
const MANY_SUMS: usize = 20;

/// The most lanes that any processor has.
const MAX_WIDTH: usize = 4;

#[inline(always)]
pub(super) fn short_ids<L: Lanes>(_: L, hash: &ShortIds, rows: (&[u8], usize), short: &mut [ShortId]) {
    hash.of_rows(rows, short);
}

#[inline(always)]
pub(super) fn add_odd_powers<L: Lanes>(l: L, elements: &[u32], sums: &mut [u32]) {
    let mut wide_sums = vec![l.splat(0); sums.len()];
    let mut groups = elements.chunks_exact(L::WIDTH * CHAINS);
    for group in &mut groups {
        add_group(l, group, &mut wide_sums);
    }
    // Zero adds nothing to any sum of powers, so it can fill up the last group.
    let rest = groups.remainder();
    if !rest.is_empty() {
        let mut padded = [0; MAX_WIDTH * CHAINS];
        padded[..rest.len()].copy_from_slice(rest);
        add_group(l, &padded[..L::WIDTH * CHAINS], &mut wide_sums);
    }
    for (sum, &wide) in sums.iter_mut().zip(&wide_sums) {
        let mut lanes = [0; MAX_WIDTH];
        l.store(wide, &mut lanes[..L::WIDTH]);
        *sum ^= reduce_wide(lanes.iter().fold(0, |a, b| a ^ b));
    }
}

/// Adds the odd powers of `WIDTH * CHAINS` elements.
#[inline(always)]
fn add_group<L: Lanes>(l: L, group: &[u32], sums: &mut [L::Wide]) {
    let mut elements = [l.splat(0); PAIRS];
    for i in 0..PAIRS {
        elements[i] = l.load_halves(&group[i * 2 * L::WIDTH..(i + 1) * 2 * L::WIDTH]);
    }
    let Some((first, rest)) = sums.split_first_mut() else { return };
    for x in elements {
        *first = l.add(*first, l.add(l.lower(x), l.upper(x)));
    }
    match rest {
        [] => {}
        [third] => {
            for x in elements {
                add_products(l, third, (x, l.upper(x)), l.squares(x));
            }
        }
        [third, fifth] => {
            let fold_64 = l.splat(FOLD_64);
            for x in elements {
                let step = shorten(l, l.squares(x));
                let cubes = add_products(l, third, (x, l.upper(x)), step);
                add_products(l, fifth, (fold(l, cubes.0, fold_64), fold(l, cubes.1, fold_64)), step);
            }
        }
        rest if rest.len() < MANY_SUMS => add_steps::<L, 2>(l, elements, rest),
        rest => add_steps::<L, 4>(l, elements, rest),
    }
}

/// Adds the powers from 3 on, `STEPS` at a time: x^k times x^2, x^4 and so on. Only the last of them is reduced, to go on from.
#[inline(always)]
fn add_steps<L: Lanes, const STEPS: usize>(l: L, elements: [L::Wide; PAIRS], sums: &mut [L::Wide]) {
    let fold_64 = l.splat(FOLD_64);
    let (mut low, mut high) = (elements, elements);
    let mut steps = [elements; STEPS];
    for i in 0..PAIRS {
        high[i] = l.upper(elements[i]);
        steps[0][i] = shorten(l, l.squares(elements[i]));
        for step in 1..STEPS {
            let (last, square) = (steps[step - 1][i], steps[0][i]);
            let (low, high) = (fold(l, l.mul(last, square), fold_64), fold(l, l.mul_uppers(last, square), fold_64));
            steps[step][i] = shorten(l, l.join(low, high));
        }
    }
    let mut some = sums.chunks_exact_mut(STEPS);
    for sums in &mut some {
        for (step, sum) in sums.iter_mut().enumerate() {
            for i in 0..PAIRS {
                let products = add_products(l, sum, (low[i], high[i]), steps[step][i]);
                if step == STEPS - 1 {
                    (low[i], high[i]) = (fold(l, products.0, fold_64), fold(l, products.1, fold_64));
                }
            }
        }
    }
    for (step, sum) in some.into_remainder().iter_mut().enumerate() {
        for i in 0..PAIRS {
            add_products(l, sum, (low[i], high[i]), steps[step][i]);
        }
    }
}

/// Adds to `sum` what is in the lower halves of `low` and `high`, times the lower and the upper half of `step`; both products.
#[inline(always)]
fn add_products<L: Lanes>(
    l: L,
    sum: &mut L::Wide,
    (low, high): (L::Wide, L::Wide),
    step: L::Wide,
) -> (L::Wide, L::Wide) {
    let products = (l.mul(low, step), l.mul_upper(step, high));
    *sum = l.add(*sum, l.add(products.0, products.1));
    products
}

#[inline(always)]
pub(super) fn evaluate<L: Lanes>(l: L, polynomial: &[u32], points: &[u32], values: &mut [u32]) {
    let mut padded = [0; MAX_WIDTH * CHAINS];
    let group = L::WIDTH * CHAINS;
    for (points, values) in points.chunks(group).zip(values.chunks_mut(group)) {
        padded[..points.len()].copy_from_slice(points);
        let mut lanes = [0; MAX_WIDTH * CHAINS];
        evaluate_group(l, polynomial, &padded[..group], &mut lanes[..group]);
        for (value, &lane) in values.iter_mut().zip(&lanes) {
            *value = reduce_wide(lane & 0xffff_ffff_ffff_ffff);
        }
    }
}

/// Horner's rule by two coefficients a step: v := v x^2 + c1 x + c0.
#[inline(always)]
fn evaluate_group<L: Lanes>(l: L, polynomial: &[u32], points: &[u32], lanes: &mut [u128]) {
    let fold_64 = l.splat(FOLD_64);
    let mut x = [l.splat(0); CHAINS];
    let (mut x_2, mut value) = (x, x);
    for i in 0..CHAINS {
        x[i] = l.load(&points[i * L::WIDTH..(i + 1) * L::WIDTH]);
        x_2[i] = shorten(l, l.mul(x[i], x[i]));
    }
    let pairs = polynomial.chunks_exact(2);
    if let [top] = pairs.remainder() {
        value = [l.splat(*top); CHAINS];
    }
    for pair in pairs.rev() {
        let (c_0, c_1) = (l.splat(pair[0]), l.splat(pair[1]));
        for i in 0..CHAINS {
            let low = l.add(l.mul(x[i], c_1), c_0);
            value[i] = fold(l, l.add(l.mul(value[i], x_2[i]), low), fold_64);
        }
    }
    for i in 0..CHAINS {
        l.store(value[i], &mut lanes[i * L::WIDTH..(i + 1) * L::WIDTH]);
    }
}

#[inline(always)]
pub(super) fn dot<L: Lanes>(l: L, a: &[u32], b: &[u32]) -> u32 {
    let (mut low, mut high) = (l.splat(0), l.splat(0));
    for (a, b) in a.chunks(2 * L::WIDTH).zip(b.chunks(2 * L::WIDTH)) {
        let (a, b) = (l.load_halves(a), l.load_halves(b));
        low = l.add(low, l.mul(a, b));
        high = l.add(high, l.mul_uppers(a, b));
    }
    let mut lanes = [0; MAX_WIDTH];
    l.store(l.add(low, high), &mut lanes[..L::WIDTH]);
    reduce_wide(lanes.iter().fold(0, |a, b| a ^ b))
}

#[inline(always)]
pub(super) fn weigh_rows<L: Lanes>(l: L, weights: &[u32], rows: &[u32], sums: &mut [u32]) {
    let width = sums.len();
    for (i, sums) in sums.chunks_mut(2 * L::WIDTH).enumerate() {
        let mut start = i * 2 * L::WIDTH;
        let (mut low, mut high) = (l.splat(0), l.splat(0));
        for &weight in weights {
            let (row, weight) = (l.load_halves(&rows[start..start + sums.len()]), l.splat(weight));
            low = l.add(low, l.mul(row, weight));
            high = l.add(high, l.mul_upper(row, weight));
            start += width;
        }
        l.store_halves(join_reduced(l, low, high), sums);
    }
}

#[inline(always)]
pub(super) fn combine<L: Lanes>(l: L, a: &mut [u32], p: u32, b: &[u32], q: u32) {
    let (p, q) = (l.splat(p), l.splat(q));
    for (a, b) in a.chunks_mut(2 * L::WIDTH).zip(b.chunks(2 * L::WIDTH)) {
        let (x, y) = (l.load_halves(a), l.load_halves(b));
        let low = l.add(l.mul(x, p), l.mul(y, q));
        let high = l.add(l.mul_upper(x, p), l.mul_upper(y, q));
        l.store_halves(join_reduced(l, low, high), a);
    }
}

#[inline(always)]
pub(super) fn add_multiple<L: Lanes>(l: L, a: &mut [u32], b: &[u32], q: u32) {
    let q = l.splat(q);
    for (a, b) in a.chunks_mut(2 * L::WIDTH).zip(b.chunks(2 * L::WIDTH)) {
        let (x, y) = (l.load_halves(a), l.load_halves(b));
        l.store_halves(l.add(x, join_reduced(l, l.mul(y, q), l.mul_upper(y, q))), a);
    }
}

#[inline(always)]
pub(super) fn scale<L: Lanes>(l: L, a: &mut [u32], p: u32) {
    let p = l.splat(p);
    for a in a.chunks_mut(2 * L::WIDTH) {
        let x = l.load_halves(a);
        l.store_halves(join_reduced(l, l.mul(x, p), l.mul_upper(x, p)), a);
    }
}

/// From at most 102 bits to 64, in the lower half; the upper half is rubbish.
#[inline(always)]
fn fold<L: Lanes>(l: L, a: L::Wide, fold_64: L::Wide) -> L::Wide {
    l.add(a, l.mul_upper(a, fold_64))
}

/// From 64 bits in each half to 39.
#[inline(always)]
fn shorten<L: Lanes>(l: L, a: L::Wide) -> L::Wide {
    l.add(l.under_32(a), l.times_fold_32(l.over_32(a)))
}

/// Two vectors with 64 bits in each lower half, into one with 32 in each half and rubbish above them.
#[inline(always)]
fn join_reduced<L: Lanes>(l: L, low: L::Wide, high: L::Wide) -> L::Wide {
    let both = l.join(low, high);
    let over = l.times_fold_32(l.over_32(both));
    l.add(l.add(both, over), l.times_fold_32(l.over_32(over)))
}
