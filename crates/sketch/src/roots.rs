//! The roots of a polynomial that splits into different linear factors, by Berlekamp's trace algorithm.
//!
//! The trace, Tr(y) = y + y^2 + y^4 + ... + y^(2^31), is 0 for one half of the field and 1 for the other, and so is
//! Tr(b y) for every b but 0. So gcd(f, Tr(b x) mod f) has those roots r of f for which Tr(b r) = 0. Any two different
//! roots are told apart by at least one b out of a basis of the field over GF(2), so the 32 powers of two suffice:
//! no random choices, and the cost is bounded whatever f is (Berlekamp 1970, "Factoring polynomials over large finite
//! fields").
//!
//! The powers x^(2^i) mod f are computed once; then each trace takes 32 multiplications a coefficient.

use crate::field::square;
use crate::kernel::Kernel;
use crate::poly;

/// Bits of the field, so squarings that make the identity.
const BITS: usize = 32;

/// All roots of a monic polynomial of degree at least 0, in no particular order; `None` if it does not split into
/// different linear factors. O(degree^2) multiplications, about 50 a squared degree, at most 120.
pub(crate) fn find(kernel: Kernel, f: &[u32]) -> Option<Vec<u32>> {
    match f {
        [_] => return Some(Vec::new()),
        [root, _] => return Some(vec![*root]),
        _ => {}
    }
    let frobenius = Frobenius::new(kernel, f)?;
    let mut roots = Vec::with_capacity(f.len() - 1);
    let mut open = vec![f.to_vec()];
    for bit in 0..BITS {
        if open.is_empty() {
            break;
        }
        let trace = frobenius.trace(kernel, 1 << bit);
        let mut still_open = Vec::new();
        for factor in open {
            for part in split(kernel, factor, &trace) {
                match part[..] {
                    [root, _] => roots.push(root),
                    _ => still_open.push(part),
                }
            }
        }
        open = still_open;
    }
    open.is_empty().then_some(roots)
}

/// Parts the roots of `factor` by whether `trace` is zero there. The empty part is left out.
fn split(kernel: Kernel, mut factor: Vec<u32>, trace: &[u32]) -> Vec<Vec<u32>> {
    let degree = factor.len() - 1;
    let mut rest = trace.to_vec();
    poly::divide(kernel, &mut rest, &factor);
    rest.truncate(degree);
    poly::trim(&mut rest);
    if rest.len() <= 1 {
        return vec![factor];
    }
    let zeros = poly::gcd(kernel, factor.clone(), rest);
    if zeros.len() == 1 {
        return vec![factor];
    }
    poly::divide(kernel, &mut factor, &zeros);
    let ones = factor.split_off(zeros.len() - 1);
    vec![zeros, ones]
}

/// The powers x, x^2, x^4, ..., x^(2^31) modulo a polynomial f.
struct Frobenius {
    /// For each coefficient, lowest first, its values in the 32 powers.
    by_coefficient: Vec<[u32; BITS]>,
}

impl Frobenius {
    /// For f monic of degree at least 2; `None` unless x^(2^32) = x modulo f, which is so exactly if f splits into different
    /// linear factors.
    fn new(kernel: Kernel, f: &[u32]) -> Option<Self> {
        let squaring = Squaring::new(kernel, f);
        let degree = f.len() - 1;
        let mut by_coefficient = vec![[0; BITS]; degree];
        let mut power = vec![0; degree];
        power[1] = 1;
        for i in 0..BITS {
            for (values, &coefficient) in by_coefficient.iter_mut().zip(&power) {
                values[i] = coefficient;
            }
            power = squaring.apply(kernel, &power);
        }
        let is_x = power.iter().enumerate().all(|(i, &coefficient)| coefficient == u32::from(i == 1));
        is_x.then_some(Self { by_coefficient })
    }

    /// Tr(b x) modulo f.
    fn trace(&self, kernel: Kernel, b: u32) -> Vec<u32> {
        let mut conjugates = [b; BITS];
        for i in 1..BITS {
            conjugates[i] = square(conjugates[i - 1]);
        }
        self.by_coefficient.iter().map(|values| kernel.dot(&conjugates, values)).collect()
    }
}

/// Squaring modulo f: coefficients are squared and go to twice their place; what lands at x^deg(f) or above is replaced
/// by that power modulo f.
struct Squaring {
    degree: usize,
    /// Coefficients from here on land above.
    upper: usize,
    /// For each coefficient of the result, `degree - upper` factors, one for each upper coefficient.
    factors: Vec<u32>,
}

impl Squaring {
    fn new(kernel: Kernel, f: &[u32]) -> Self {
        let degree = f.len() - 1;
        let f = &f[..degree];
        let upper = degree.div_ceil(2);
        let width = degree - upper;
        let mut factors = vec![0; degree * width];
        // x^degree modulo f, then one power more each time.
        let mut power = f.to_vec();
        for exponent in degree..=2 * degree - 2 {
            if exponent % 2 == 0 {
                for (i, &coefficient) in power.iter().enumerate() {
                    factors[i * width + exponent / 2 - upper] = coefficient;
                }
            }
            power.rotate_right(1);
            let over = std::mem::take(&mut power[0]);
            kernel.add_multiple(&mut power, f, over);
        }
        Self { degree, upper, factors }
    }

    fn apply(&self, kernel: Kernel, a: &[u32]) -> Vec<u32> {
        let squares: Vec<_> = a.iter().map(|&coefficient| square(coefficient)).collect();
        let (lower, upper) = squares.split_at(self.upper);
        let mut result = vec![0; self.degree];
        for (result, factors) in result.iter_mut().zip(self.factors.chunks_exact(upper.len())) {
            *result = kernel.dot(upper, factors);
        }
        for (result, square) in result.iter_mut().step_by(2).zip(lower) {
            *result ^= square;
        }
        result
    }
}
