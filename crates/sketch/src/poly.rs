//! Polynomials over the field, as vectors of coefficients, lowest first. Zero is the empty vector.

use crate::kernel::Kernel;

/// Drops leading zeros.
pub(crate) fn trim(a: &mut Vec<u32>) {
    while a.last() == Some(&0) {
        a.pop();
    }
}

/// a := p a + q x^shift b.
pub(crate) fn cross(kernel: Kernel, a: &mut Vec<u32>, p: u32, b: &[u32], q: u32, shift: usize) {
    a.resize(a.len().max(shift + b.len()), 0);
    let (low, rest) = a.split_at_mut(shift);
    let (middle, high) = rest.split_at_mut(b.len());
    kernel.scale(low, p);
    kernel.combine(middle, p, b, q);
    kernel.scale(high, p);
}

/// Divides by the leading coefficient, which is not zero.
pub(crate) fn make_monic(kernel: Kernel, a: &mut [u32]) {
    if let Some(&lead) = a.last()
        && lead != 1
    {
        kernel.scale(a, kernel.invert(lead));
    }
}

/// a := a mod b, for monic b of degree at least 1; the quotient stays above: a[deg b..] afterwards is it.
pub(crate) fn divide(kernel: Kernel, a: &mut [u32], b: &[u32]) {
    let degree = b.len() - 1;
    for i in (degree..a.len()).rev() {
        let (below, from) = a.split_at_mut(i);
        if from[0] != 0 {
            kernel.add_multiple(&mut below[i - degree..], &b[..degree], from[0]);
        }
    }
}

/// a := a / (x - root), for one of its roots.
pub(crate) fn divide_by_root(kernel: Kernel, a: &mut Vec<u32>, root: u32) {
    divide(kernel, a, &[root, 1]);
    a.remove(0);
}

/// The greatest common divisor, monic, of two that are not zero, by Euclid's algorithm. Instead of dividing coefficients
/// it multiplies crosswise, since a division costs dozens of multiplications.
pub(crate) fn gcd(kernel: Kernel, mut a: Vec<u32>, mut b: Vec<u32>) -> Vec<u32> {
    if a.len() < b.len() {
        std::mem::swap(&mut a, &mut b);
    }
    while let Some(&lead_b) = b.last() {
        while a.len() >= b.len() {
            let lead_a = a[a.len() - 1];
            let shift = a.len() - b.len();
            cross(kernel, &mut a, lead_b, &b, lead_a, shift);
            trim(&mut a);
        }
        std::mem::swap(&mut a, &mut b);
    }
    make_monic(kernel, &mut a);
    a
}
