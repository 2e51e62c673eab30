//! The inner loops in plain integers: what runs where no carry-less multiplication was found, and what the others are
//! checked against.

use std::iter::zip;

use crate::field::{Factor, reduce, square};
use crate::{ShortId, ShortIds};

pub(super) fn short_ids(hash: &ShortIds, rows: (&[u8], usize), short: &mut [ShortId]) {
    hash.of_rows(rows, short);
}

pub(super) fn add_odd_powers(elements: &[u32], sums: &mut [u32]) {
    for &element in elements {
        let step = Factor::new(square(element));
        let mut power = element;
        for sum in sums.iter_mut() {
            *sum ^= power;
            power = reduce(step.times(power));
        }
    }
}

pub(super) fn evaluate(polynomial: &[u32], points: &[u32], values: &mut [u32]) {
    for (&point, value) in zip(points, values) {
        let point = Factor::new(point);
        *value = polynomial.iter().rev().fold(0, |v, &coefficient| reduce(point.times(v)) ^ coefficient);
    }
}

pub(super) fn dot(a: &[u32], b: &[u32]) -> u32 {
    reduce(zip(a, b).fold(0, |sum, (&a, &b)| sum ^ Factor::new(a).times(b)))
}

pub(super) fn weigh_rows(weights: &[u32], rows: &[u32], sums: &mut [u32]) {
    sums.fill(0);
    let width = sums.len();
    for (i, &weight) in weights.iter().enumerate() {
        add_multiple(sums, &rows[i * width..(i + 1) * width], weight);
    }
}

pub(super) fn combine(a: &mut [u32], p: u32, b: &[u32], q: u32) {
    let (p, q) = (Factor::new(p), Factor::new(q));
    for (a, &b) in zip(a, b) {
        *a = reduce(p.times(*a) ^ q.times(b));
    }
}

pub(super) fn add_multiple(a: &mut [u32], b: &[u32], q: u32) {
    let q = Factor::new(q);
    for (a, &b) in zip(a, b) {
        *a ^= reduce(q.times(b));
    }
}

pub(super) fn scale(a: &mut [u32], p: u32) {
    let p = Factor::new(p);
    for a in a {
        *a = reduce(p.times(*a));
    }
}
