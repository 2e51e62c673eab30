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

/// How this processor multiplies polynomials over GF(2). The hardware variants can be had only where their instructions
/// were found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kernel {
    /// Table lookups and shifts; anywhere.
    Portable,
    /// PCLMULQDQ: one product an instruction.
    #[cfg(target_arch = "x86_64")]
    Pclmul(x86::Pclmul),
    /// VPCLMULQDQ with AVX-512: four products an instruction for encoding and evaluation, otherwise as PCLMULQDQ.
    #[cfg(target_arch = "x86_64")]
    Vpclmul(x86::Pclmul, x86::Vpclmul),
    /// PMULL: one product an instruction.
    #[cfg(target_arch = "aarch64")]
    Pmull(aarch64::Pmull),
}

/// Calls the same function of whichever kernel it is; `wide` names those that have a version with four lanes.
macro_rules! dispatch {
    ($kernel:expr, $function:ident($($argument:expr),*)) => {
        match $kernel {
            Self::Portable => portable::$function($($argument),*),
            #[cfg(target_arch = "x86_64")]
            Self::Pclmul(narrow) | Self::Vpclmul(narrow, _) => narrow.$function($($argument),*),
            #[cfg(target_arch = "aarch64")]
            Self::Pmull(narrow) => narrow.$function($($argument),*),
        }
    };
    ($kernel:expr, wide $function:ident($($argument:expr),*)) => {
        match $kernel {
            #[cfg(target_arch = "x86_64")]
            Self::Vpclmul(_, wide) => wide.$function($($argument),*),
            other => dispatch!(other, $function($($argument),*)),
        }
    };
}

impl Kernel {
    /// The fastest one that this processor can run.
    pub(crate) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(narrow) = x86::Pclmul::detect() {
            return x86::Vpclmul::detect().map_or(Self::Pclmul(narrow), |wide| Self::Vpclmul(narrow, wide));
        }
        #[cfg(target_arch = "aarch64")]
        if let Some(pmull) = aarch64::Pmull::detect() {
            return Self::Pmull(pmull);
        }
        Self::Portable
    }

    /// All that this processor can run, for tests that compare them.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        match Self::best() {
            Self::Portable => vec![Self::Portable],
            #[cfg(target_arch = "x86_64")]
            Self::Vpclmul(narrow, _) => vec![Self::Portable, Self::Pclmul(narrow), Self::best()],
            #[allow(unreachable_patterns)]
            narrow => vec![Self::Portable, narrow],
        }
    }

    /// Adds the odd powers of each of `elements` to `sums`: the k-th sum gets the power 2k + 1.
    pub(crate) fn add_odd_powers(self, elements: &[u32], sums: &mut [u32]) {
        dispatch!(self, wide add_odd_powers(elements, sums));
    }

    /// The values of a polynomial (lowest coefficient first) at `points`, into `values` of the same length.
    pub(crate) fn evaluate(self, polynomial: &[u32], points: &[u32], values: &mut [u32]) {
        debug_assert_eq!(points.len(), values.len());
        dispatch!(self, wide evaluate(polynomial, points, values));
    }

    /// The sum of the products of what stands at the same place, up to the end of the shorter.
    pub(crate) fn dot(self, a: &[u32], b: &[u32]) -> u32 {
        dispatch!(self, dot(a, b))
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

    pub(crate) fn invert(self, value: u32) -> u32 {
        crate::field::invert(value, |a, b| self.dot(&[a], &[b]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

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
                (sums, values, kernel.dot(&a, b), combined, added, scaled, kernel.invert(p))
            };
            let expected = results(Kernel::Portable);
            for kernel in Kernel::all() {
                prop_assert_eq!(&results(kernel), &expected, "{:?}", kernel);
            }
        }
    }
}
