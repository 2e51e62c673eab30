//! The inner loops, once for every kind of processor, with the same results.
//!
//! [`Kernel::best`] looks at the processor once; everything above passes the answer down. The loops are written once
//! over carry-less multiplication in vector lanes ([`lanes`]), to which `x86` and `aarch64` give the instructions, and
//! once in plain integers ([`portable`]).

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod lanes;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::{ShortId, ShortIds};

/// How this processor multiplies polynomials over GF(2). The hardware variants can be had only where their instructions
/// were found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kernel {
    /// Table lookups and shifts; anywhere.
    Portable,
    /// PCLMULQDQ: one product an instruction.
    #[cfg(target_arch = "x86_64")]
    Pclmul(x86::Pclmul),
    /// VPCLMULQDQ with AVX2: two products an instruction.
    #[cfg(target_arch = "x86_64")]
    Vpclmul256(x86::Vpclmul256),
    /// VPCLMULQDQ with AVX-512: four products an instruction.
    #[cfg(target_arch = "x86_64")]
    Vpclmul(x86::Vpclmul),
    /// PMULL: one product an instruction.
    #[cfg(target_arch = "aarch64")]
    Pmull(aarch64::Pmull),
}

/// Calls the same function of whichever kernel it is.
macro_rules! dispatch {
    ($kernel:expr, $function:ident($($argument:expr),*)) => {
        match $kernel {
            Self::Portable => portable::$function($($argument),*),
            #[cfg(target_arch = "x86_64")]
            Self::Pclmul(narrow) => narrow.$function($($argument),*),
            #[cfg(target_arch = "x86_64")]
            Self::Vpclmul256(wide) => wide.$function($($argument),*),
            #[cfg(target_arch = "x86_64")]
            Self::Vpclmul(wide) => wide.$function($($argument),*),
            #[cfg(target_arch = "aarch64")]
            Self::Pmull(narrow) => narrow.$function($($argument),*),
        }
    };
}

impl Kernel {
    /// The fastest one that this processor can run.
    pub(crate) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(wide) = x86::Vpclmul::detect() {
            return Self::Vpclmul(wide);
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(wide) = x86::Vpclmul256::detect() {
            return Self::Vpclmul256(wide);
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(narrow) = x86::Pclmul::detect() {
            return Self::Pclmul(narrow);
        }
        #[cfg(target_arch = "aarch64")]
        if let Some(narrow) = aarch64::Pmull::detect() {
            return Self::Pmull(narrow);
        }
        Self::Portable
    }

    /// All that this processor can run, for tests that compare them.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        let kernels = std::iter::once(Self::Portable);
        #[cfg(target_arch = "x86_64")]
        let kernels = kernels
            .chain(x86::Pclmul::detect().map(Self::Pclmul))
            .chain(x86::Vpclmul256::detect().map(Self::Vpclmul256))
            .chain(x86::Vpclmul::detect().map(Self::Vpclmul));
        #[cfg(target_arch = "aarch64")]
        let kernels = kernels.chain(aarch64::Pmull::detect().map(Self::Pmull));
        kernels.collect()
    }

    /// The short ids of what each of `rows` (all of the same length) ends with, into `short`: as many as there are rows.
    pub(crate) fn short_ids(self, hash: &ShortIds, rows: (&[u8], usize), short: &mut [ShortId]) {
        dispatch!(self, short_ids(hash, rows, short));
    }

    /// Adds the odd powers of each of `elements` to `sums`: the k-th sum gets the power 2k + 1.
    pub(crate) fn add_odd_powers(self, elements: &[u32], sums: &mut [u32]) {
        dispatch!(self, add_odd_powers(elements, sums));
    }

    /// The values of a polynomial (lowest coefficient first) at `points`, into `values` of the same length.
    pub(crate) fn evaluate(self, polynomial: &[u32], points: &[u32], values: &mut [u32]) {
        debug_assert_eq!(points.len(), values.len());
        dispatch!(self, evaluate(polynomial, points, values));
    }

    /// The sum of the products of what stands at the same place, up to the end of the shorter.
    pub(crate) fn dot(self, a: &[u32], b: &[u32]) -> u32 {
        dispatch!(self, dot(a, b))
    }

    /// The sum of `rows` (as many as there are weights, each as long as `sums`), each times its weight.
    pub(crate) fn weigh_rows(self, weights: &[u32], rows: &[u32], sums: &mut [u32]) {
        debug_assert_eq!(rows.len(), weights.len() * sums.len());
        dispatch!(self, weigh_rows(weights, rows, sums));
    }

    /// a := p a + q b, element by element; both of the same length.
    pub(crate) fn combine(self, a: &mut [u32], p: u32, b: &[u32], q: u32) {
        debug_assert_eq!(a.len(), b.len());
        dispatch!(self, combine(a, p, b, q));
    }

    /// a := a + q b, element by element; both of the same length.
    pub(crate) fn add_multiple(self, a: &mut [u32], b: &[u32], q: u32) {
        debug_assert_eq!(a.len(), b.len());
        dispatch!(self, add_multiple(a, b, q));
    }

    /// a := p a, element by element.
    pub(crate) fn scale(self, a: &mut [u32], p: u32) {
        dispatch!(self, scale(a, p));
    }

    pub(crate) fn mul(self, a: u32, b: u32) -> u32 {
        self.dot(&[a], &[b])
    }

    pub(crate) fn invert(self, value: u32) -> u32 {
        crate::field::invert(value, |a, b| self.mul(a, b))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn all_kernels_make_the_same_short_ids(salt: u64, rows in vec(any::<[u8; 32]>(), 0..40), before in 0_usize..9) {
            let hash = ShortIds::new(salt);
            let expected: Vec<_> = rows.iter().map(|id| hash.of(id)).collect();
            let long: Vec<u8> = rows.iter().flat_map(|id| [vec![7; before], id.to_vec()].concat()).collect();
            for kernel in Kernel::all() {
                let mut short = vec![ShortId::new(9).unwrap(); rows.len()];
                kernel.short_ids(&hash, (&long, before + 32), &mut short);
                prop_assert_eq!(&short, &expected, "{:?}", kernel);
            }
        }

        #[test]
        fn all_kernels_agree(
            a in vec(any::<u32>(), 0..70),
            b in vec(any::<u32>(), 70),
            p: u32,
            q: u32,
            capacity in 0_usize..20,
        ) {
            let results = |kernel: Kernel| {
                let b = &b[..a.len()];
                let mut sums = b.iter().copied().chain(0..).take(capacity).collect::<Vec<_>>();
                kernel.add_odd_powers(&a, &mut sums);
                let mut values = vec![0; a.len()];
                kernel.evaluate(&b[..capacity.min(b.len())], &a, &mut values);
                let (mut combined, mut added, mut scaled) = (a.clone(), a.clone(), a.clone());
                kernel.combine(&mut combined, p, b, q);
                kernel.add_multiple(&mut added, b, q);
                kernel.scale(&mut scaled, p);
                let width = a.len().min(capacity);
                let mut weighed = vec![p; width];
                let weights = &b[..a.len().checked_div(width).unwrap_or(0)];
                kernel.weigh_rows(weights, &a[..weights.len() * width], &mut weighed);
                (sums, values, kernel.dot(&a, b), weighed, combined, added, scaled, kernel.invert(p))
            };
            let expected = results(Kernel::Portable);
            for kernel in Kernel::all() {
                prop_assert_eq!(&results(kernel), &expected, "{:?}", kernel);
            }
        }
    }
}
