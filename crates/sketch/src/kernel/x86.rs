//! Carry-less multiplication on x86-64: PCLMULQDQ (Intel since 2010, AMD since 2011), and VPCLMULQDQ over AVX-512.
//!
//! This module may use `unsafe`: the intrinsics need it, being undefined where the processor lacks them. It is sound
//! because a [`Pclmul`] or [`Vpclmul`] can only come out of `detect`, which asked the processor for exactly the
//! features that the functions below enable; and the two transmutes are between plain integers of the same size.
#![allow(unsafe_code)]

use std::arch::x86_64::*;
use std::mem::transmute;

use super::lanes::{self, Lanes};

/// Proof that PCLMULQDQ and SSE 4.1 are there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pclmul(());

/// Proof that VPCLMULQDQ and AVX-512 F are there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vpclmul(());

impl Pclmul {
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("pclmulqdq") && is_x86_feature_detected!("sse4.1")).then_some(Self(()))
    }
}

impl Vpclmul {
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("vpclmulqdq") && is_x86_feature_detected!("avx512f")).then_some(Self(()))
    }
}

/// Functions of `lanes` with the target features switched on, so that all inlines into one loop.
macro_rules! enable {
    ($proof:ty, $features:literal, $(fn $function:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        impl $proof {
            $(pub(super) fn $function(self, $($argument: $type),*) $(-> $result)? {
                #[target_feature(enable = $features)]
                fn enabled(proof: $proof, $($argument: $type),*) $(-> $result)? {
                    lanes::$function(proof, $($argument),*)
                }
                // SAFETY: `self` proves that the features were detected.
                unsafe { enabled(self, $($argument),*) }
            })*
        }
    };
}

enable! { Pclmul, "pclmulqdq,sse4.1",
    fn add_odd_powers(elements: &[u32], sums: &mut [u32]);
    fn evaluate(polynomial: &[u32], points: &[u32], values: &mut [u32]);
    fn dot(a: &[u32], b: &[u32]) -> u32;
    fn combine(a: &mut [u32], p: u32, b: &[u32], q: u32);
    fn add_multiple(a: &mut [u32], b: &[u32], q: u32);
    fn scale(a: &mut [u32], p: u32);
}

enable! { Vpclmul, "vpclmulqdq,avx512f",
    fn add_odd_powers(elements: &[u32], sums: &mut [u32]);
    fn evaluate(polynomial: &[u32], points: &[u32], values: &mut [u32]);
}

// SAFETY of every block in the two impls: `self` proves that the features were detected.
impl Lanes for Pclmul {
    type Wide = __m128i;
    const WIDTH: usize = 1;

    #[inline(always)]
    fn load(self, elements: &[u32]) -> __m128i {
        self.splat(elements[0])
    }
    #[inline(always)]
    fn splat(self, element: u32) -> __m128i {
        unsafe { _mm_cvtsi32_si128(element.cast_signed()) }
    }
    #[inline(always)]
    fn mul(self, a: __m128i, b: __m128i) -> __m128i {
        unsafe { _mm_clmulepi64_si128::<0x00>(a, b) }
    }
    #[inline(always)]
    fn mul_upper(self, a: __m128i, b: __m128i) -> __m128i {
        unsafe { _mm_clmulepi64_si128::<0x01>(a, b) }
    }
    #[inline(always)]
    fn add(self, a: __m128i, b: __m128i) -> __m128i {
        unsafe { _mm_xor_si128(a, b) }
    }
    #[inline(always)]
    fn over_32(self, a: __m128i) -> __m128i {
        unsafe { _mm_srli_epi64::<32>(a) }
    }
    #[inline(always)]
    fn under_32(self, a: __m128i) -> __m128i {
        unsafe { _mm_and_si128(a, _mm_cvtsi32_si128(-1)) }
    }
    #[inline(always)]
    fn store(self, a: __m128i, lanes: &mut [u128]) {
        lanes[0] = unsafe { transmute::<__m128i, u128>(a) };
    }
}

impl Lanes for Vpclmul {
    type Wide = __m512i;
    const WIDTH: usize = 4;

    #[inline(always)]
    fn load(self, elements: &[u32]) -> __m512i {
        let [a, b, c, d] = [elements[0], elements[1], elements[2], elements[3]].map(i64::from);
        unsafe { _mm512_set_epi64(0, d, 0, c, 0, b, 0, a) }
    }
    #[inline(always)]
    fn splat(self, element: u32) -> __m512i {
        let element = i64::from(element);
        unsafe { _mm512_maskz_set1_epi64(0b0101_0101, element) }
    }
    #[inline(always)]
    fn mul(self, a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_clmulepi64_epi128::<0x00>(a, b) }
    }
    #[inline(always)]
    fn mul_upper(self, a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_clmulepi64_epi128::<0x01>(a, b) }
    }
    #[inline(always)]
    fn add(self, a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_xor_si512(a, b) }
    }
    #[inline(always)]
    fn over_32(self, a: __m512i) -> __m512i {
        unsafe { _mm512_srli_epi64::<32>(a) }
    }
    #[inline(always)]
    fn under_32(self, a: __m512i) -> __m512i {
        unsafe { _mm512_maskz_mov_epi32(0b0001_0001_0001_0001, a) }
    }
    #[inline(always)]
    fn store(self, a: __m512i, lanes: &mut [u128]) {
        lanes.copy_from_slice(&unsafe { transmute::<__m512i, [u128; 4]>(a) });
    }
}
