//! Carry-less multiplication on AArch64: PMULL, part of the cryptography extension (`aes`).
//!
//! This module may use `unsafe`: the intrinsic needs it, being undefined where the processor lacks it. It is sound
//! because a [`Pmull`] can only come out of `detect`, which asked for exactly the features that are enabled below.
#![allow(unsafe_code)]

use std::arch::aarch64::vmull_p64;

use super::lanes::{self, Lanes};
use crate::{ShortId, ShortIds};

/// Proof that PMULL is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pmull(());

impl Pmull {
    pub(super) fn detect() -> Option<Self> {
        (std::arch::is_aarch64_feature_detected!("neon") && std::arch::is_aarch64_feature_detected!("aes"))
            .then_some(Self(()))
    }
}

/// Functions of `lanes` with the target features switched on, so that all inlines into one loop.
macro_rules! enable {
    ($(fn $function:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        impl Pmull {
            $(pub(super) fn $function(self, $($argument: $type),*) $(-> $result)? {
                #[target_feature(enable = "neon,aes")]
                fn enabled(proof: Pmull, $($argument: $type),*) $(-> $result)? {
                    lanes::$function(proof, $($argument),*)
                }
                // SAFETY: `self` proves that the features were detected.
                unsafe { enabled(self, $($argument),*) }
            })*
        }
    };
}

enable! {
    fn short_ids(hash: &ShortIds, rows: (&[u8], usize), short: &mut [ShortId]);
    fn add_odd_powers(elements: &[u32], sums: &mut [u32]);
    fn evaluate(polynomial: &[u32], points: &[u32], values: &mut [u32]);
    fn dot(a: &[u32], b: &[u32]) -> u32;
    fn weigh_rows(weights: &[u32], rows: &[u32], sums: &mut [u32]);
    fn combine(a: &mut [u32], p: u32, b: &[u32], q: u32);
    fn add_multiple(a: &mut [u32], b: &[u32], q: u32);
    fn scale(a: &mut [u32], p: u32);
}

impl Lanes for Pmull {
    type Wide = u128;
    const WIDTH: usize = 1;

    #[inline(always)]
    fn load(self, elements: &[u32]) -> u128 {
        u128::from(elements[0])
    }
    #[inline(always)]
    fn splat(self, element: u32) -> u128 {
        u128::from(element)
    }
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the lower halves are what is multiplied")]
    // It is inlined all the same, once this function is into `enabled`.
    #[allow(unknown_lints, inline_always_mismatching_target_features)]
    fn mul(self, a: u128, b: u128) -> u128 {
        // SAFETY: `self` proves that the features were detected.
        unsafe { vmull_p64(a as u64, b as u64) }
    }
    #[inline(always)]
    fn mul_upper(self, a: u128, b: u128) -> u128 {
        self.mul(a >> 64, b)
    }
    #[inline(always)]
    fn mul_uppers(self, a: u128, b: u128) -> u128 {
        self.mul(a >> 64, b >> 64)
    }
    #[inline(always)]
    fn add(self, a: u128, b: u128) -> u128 {
        a ^ b
    }
    #[inline(always)]
    fn over_32(self, a: u128) -> u128 {
        a >> 32 & 0xffff_ffff_0000_0000_ffff_ffff
    }
    #[inline(always)]
    fn under_32(self, a: u128) -> u128 {
        a & 0xffff_ffff_0000_0000_ffff_ffff
    }
    #[inline(always)]
    fn times_fold_32(self, a: u128) -> u128 {
        a ^ a << 2 ^ a << 3 ^ a << 7
    }
    #[inline(always)]
    fn store(self, a: u128, lanes: &mut [u128]) {
        lanes[0] = a;
    }

    #[inline(always)]
    fn load_halves(self, elements: &[u32]) -> u128 {
        let upper = elements.get(1).map_or(0, |&upper| u128::from(upper));
        u128::from(elements[0]) | upper << 64
    }
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the lower 32 bits are what is stored")]
    fn store_halves(self, a: u128, elements: &mut [u32]) {
        elements[0] = a as u32;
        if let Some(upper) = elements.get_mut(1) {
            *upper = (a >> 64) as u32;
        }
    }
    #[inline(always)]
    fn join(self, a: u128, b: u128) -> u128 {
        a & 0xffff_ffff_ffff_ffff | b << 64
    }
    #[inline(always)]
    fn lower(self, a: u128) -> u128 {
        a & 0xffff_ffff_ffff_ffff
    }
    #[inline(always)]
    fn upper(self, a: u128) -> u128 {
        a >> 64
    }
    #[inline(always)]
    fn squares(self, a: u128) -> u128 {
        let both = a | a >> 32;
        self.mul(both, both)
    }
}
