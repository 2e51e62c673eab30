//! The roots of a polynomial that splits into different linear factors, by Berlekamp's trace algorithm.
//!
//! The trace, Tr(y) = y + y^2 + y^4 + ... + y^(2^31), is 0 for one half of the field and 1 for the other, and so is
//! Tr(b y) for every b but 0. So gcd(f, Tr(b x) mod f) has those roots r of f for which Tr(b r) = 0. Any two different
//! roots are told apart by at least one b out of a basis of the field over GF(2), so the 32 powers of two suffice:
//! no random choices, and the cost is bounded whatever f is (Berlekamp 1970, "Factoring polynomials over large finite
//! fields").
//!
//! The powers x^(2^i) mod f are computed once; then each trace takes 32 multiplications a coefficient. Factors of degree 2
//! are solved directly.

use crate::field::square;
use crate::kernel::Kernel;
use crate::{poly, quadratic};

/// Bits of the field, so squarings that make the identity.
const BITS: usize = 32;

/// All roots of a monic polynomial of degree at least 0, in no particular order; `None` if it does not split into
/// different linear factors. O(degree^2) multiplications.
pub(crate) fn find(kernel: Kernel, f: &[u32]) -> Option<Vec<u32>> {
    let mut roots = Vec::with_capacity(f.len() - 1);
    match f {
        [_] => return Some(roots),
        [_, _] | [_, _, _] => return solve_small(kernel, f, &mut roots).then_some(roots),
        _ => {}
    }
    let frobenius = Frobenius::new(kernel, f)?;
    let mut open = Some(Factor { polynomial: f.to_vec(), parts: Vec::new() });
    for conjugates in &CONJUGATES {
        let Some(factor) = open else { break };
        open = factor.refine(kernel, &frobenius.trace(kernel, conjugates), &mut roots);
    }
    (roots.len() == f.len() - 1).then_some(roots)
}

/// Adds the roots of a polynomial of degree 1 or 2. False if it has a higher degree, or not two different roots.
fn solve_small(kernel: Kernel, f: &[u32], roots: &mut Vec<u32>) -> bool {
    match *f {
        [root, 1] => roots.push(root),
        [b, a, 1] => match quadratic::solve(kernel, a, b) {
            Some(both) => roots.extend(both),
            None => return false,
        },
        _ => return false,
    }
    true
}

/// A factor some of whose roots are not known yet.
struct Factor {
    polynomial: Vec<u32>,
    /// Two factors of this one, if it was split. They make it cheaper to reduce a trace modulo all of them: first modulo
    /// their product.
    parts: Vec<Factor>,
}

impl Factor {
    /// Splits by whether a trace (modulo a multiple of this factor) is zero at the roots, collecting the roots that this
    /// isolates. What is left, if anything is.
    fn refine(mut self, kernel: Kernel, trace: &[u32], roots: &mut Vec<u32>) -> Option<Self> {
        let mut rest = trace.to_vec();
        poly::divide(kernel, &mut rest, &self.polynomial);
        rest.truncate(self.polynomial.len() - 1);
        poly::trim(&mut rest);
        if rest.len() <= 1 {
            // It is the same at all roots.
            return Some(self);
        }
        if self.parts.is_empty() {
            let (zeros, ones) = split(kernel, self.polynomial.clone(), rest);
            for polynomial in [zeros, ones] {
                if !solve_small(kernel, &polynomial, roots) {
                    self.parts.push(Factor { polynomial, parts: Vec::new() });
                }
            }
        } else {
            let parts = self.parts.into_iter();
            self.parts = parts.filter_map(|part| part.refine(kernel, &rest, roots)).collect();
        }
        if self.parts.len() == 2 { Some(self) } else { self.parts.pop() }
    }
}

/// Parts the roots of a factor by whether a trace modulo it, which is no constant, is zero there.
fn split(kernel: Kernel, mut factor: Vec<u32>, trace: Vec<u32>) -> (Vec<u32>, Vec<u32>) {
    let zeros = poly::gcd(kernel, factor.clone(), trace);
    poly::divide(kernel, &mut factor, &zeros);
    let ones = factor.split_off(zeros.len() - 1);
    (zeros, ones)
}

/// For each power of two b, the conjugates b, b^2, b^4, ..., b^(2^31).
const CONJUGATES: [[u32; BITS]; BITS] = {
    let mut all = [[0; BITS]; BITS];
    let mut bit = 0;
    while bit < BITS {
        all[bit][0] = 1 << bit;
        let mut i = 1;
        while i < BITS {
            all[bit][i] = square(all[bit][i - 1]);
            i += 1;
        }
        bit += 1;
    }
    all
};

/// The powers x, x^2, x^4, ..., x^(2^31) modulo a polynomial f.
struct Frobenius {
    degree: usize,
    /// One after the other, `degree` coefficients each.
    powers: Vec<u32>,
}

impl Frobenius {
    /// For f monic of degree at least 2; `None` unless x^(2^32) = x modulo f, which is so exactly if f splits into different
    /// linear factors.
    fn new(kernel: Kernel, f: &[u32]) -> Option<Self> {
        let squaring = Squaring::new(kernel, f);
        let degree = f.len() - 1;
        let mut x = vec![0; degree];
        x[1] = 1;
        let mut powers = Vec::with_capacity(degree * BITS);
        let mut power = x.clone();
        for _ in 0..BITS {
            powers.extend_from_slice(&power);
            squaring.apply(kernel, &mut power);
        }
        (power == x).then_some(Self { degree, powers })
    }

    /// Tr(b x) modulo f, given the conjugates of b.
    fn trace(&self, kernel: Kernel, conjugates: &[u32; BITS]) -> Vec<u32> {
        let mut trace = vec![0; self.degree];
        kernel.weigh_rows(conjugates, &self.powers, &mut trace);
        trace
    }
}

/// Squaring modulo f: coefficients are squared and go to twice their place; what lands at x^deg(f) or above is replaced
/// by that power modulo f.
struct Squaring {
    /// Those powers, even ones from the first that is not below f, `degree` coefficients each.
    powers: Vec<u32>,
}

impl Squaring {
    fn new(kernel: Kernel, f: &[u32]) -> Self {
        let degree = f.len() - 1;
        let f = &f[..degree];
        let mut powers = Vec::with_capacity(degree * (degree / 2));
        // x^degree modulo f, then one power more each time.
        let mut power = f.to_vec();
        for exponent in degree..=2 * degree - 2 {
            if exponent % 2 == 0 {
                powers.extend_from_slice(&power);
            }
            power.rotate_right(1);
            let over = std::mem::take(&mut power[0]);
            kernel.add_multiple(&mut power, f, over);
        }
        Self { powers }
    }

    /// a := a^2.
    fn apply(&self, kernel: Kernel, a: &mut [u32]) {
        let squares: Vec<_> = a.iter().map(|&coefficient| square(coefficient)).collect();
        let (lower, upper) = squares.split_at(a.len().div_ceil(2));
        kernel.weigh_rows(upper, &self.powers, a);
        for (sum, square) in a.iter_mut().step_by(2).zip(lower) {
            *sum ^= square;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Whether Tr(2^i y) = 1, for each bit i.
    fn traces(y: u32) -> u32 {
        let kernel = Kernel::best();
        CONJUGATES.iter().enumerate().fold(0, |all, (i, conjugates)| {
            let powers: Vec<_> = (0..BITS).scan(y, |power, _| Some(std::mem::replace(power, square(*power)))).collect();
            all | kernel.dot(conjugates, &powers) << i
        })
    }

    /// For each bit i, the element whose traces are all zero but that with 2^i, by Gauss-Jordan elimination.
    fn dual_basis() -> Vec<u32> {
        let mut rows: Vec<(u32, u32)> = (0..BITS).map(|i| (1 << i, traces(1 << i))).collect();
        for bit in 0..BITS {
            let pivot = (bit..BITS).find(|&i| rows[i].1 >> bit & 1 == 1).unwrap();
            rows.swap(bit, pivot);
            let (argument, value) = rows[bit];
            for (i, row) in rows.iter_mut().enumerate() {
                if i != bit && row.1 >> bit & 1 == 1 {
                    *row = (row.0 ^ argument, row.1 ^ value);
                }
            }
        }
        rows.into_iter().map(|(argument, _)| argument).collect()
    }

    /// The dearest input: each trace but the last few isolates one root, so the tree is as deep as can be.
    #[test]
    fn roots_that_part_one_by_one_are_found() {
        let kernel = Kernel::best();
        let basis = dual_basis();
        assert!(basis.iter().enumerate().all(|(i, &y)| traces(y) == 1 << i));
        let last = (1..32_u32).map(|subset| (0..5).fold(0, |sum, i| sum ^ ((subset >> i & 1) * basis[27 + i])));
        let mut expected: Vec<_> = basis[..27].iter().copied().chain(last).collect();

        let mut polynomial = vec![1];
        for &root in &expected {
            let before = polynomial.clone();
            poly::cross(kernel, &mut polynomial, root, &before, 1, 1);
        }
        let mut found = find(kernel, &polynomial).unwrap();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_does_not_split_into_different_factors_is_refused() {
        let kernel = Kernel::best();
        // (x + 1)^2 (x + 2), x^3 + x + 1 (whose roots are in GF(8), which is no subfield), and the square of that.
        for f in [&[2, 1, 2, 1][..], &[1, 1, 0, 1], &[1, 0, 1, 0, 0, 0, 1], &[1, 0, 1], &[0, 0, 1]] {
            assert_eq!(find(kernel, f), None, "{f:?}");
        }
    }
}
