//! Carry-less multiplication on x86-64: PCLMULQDQ (Intel since 2010, AMD since 2011), VPCLMULQDQ over AVX2 (AMD since Zen 3,
//! Intel's small cores), and over AVX-512.
//!
//! This module may use `unsafe`: the intrinsics need it, being undefined where the processor lacks them. It is sound
//! because a [`Pclmul`], [`Vpclmul256`] or [`Vpclmul`] can only come out of `detect`, which asked the processor for exactly
//! the features that the functions below enable; and the transmutes are between plain integers of the same size.
#![allow(unsafe_code)]

use std::arch::x86_64::*;
use std::mem::transmute;

use super::lanes::{self, Lanes};
use crate::{ShortId, ShortIds};

/// Proof that PCLMULQDQ and SSE 4.1 are there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pclmul(());

/// Proof that VPCLMULQDQ and AVX2 are there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vpclmul256(());

/// Proof that VPCLMULQDQ and AVX-512 F, VL and DQ are there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vpclmul(());

impl Pclmul {
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("pclmulqdq") && is_x86_feature_detected!("sse4.1")).then_some(Self(()))
    }
}

impl Vpclmul256 {
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("vpclmulqdq") && is_x86_feature_detected!("avx2")).then_some(Self(()))
    }

    pub(super) fn short_ids(self, hash: &ShortIds, rows: (&[u8], usize), short: &mut [ShortId]) {
        // SAFETY: `self` proves that the features were detected.
        unsafe { short_ids_256(hash, rows, short) }
    }
}

impl Vpclmul {
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("vpclmulqdq")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq"))
        .then_some(Self(()))
    }

    pub(super) fn short_ids(self, hash: &ShortIds, rows: (&[u8], usize), short: &mut [ShortId]) {
        // SAFETY: `self` proves that the features were detected.
        unsafe { short_ids_512(hash, rows, short) }
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
    fn short_ids(hash: &ShortIds, rows: (&[u8], usize), short: &mut [ShortId]);
    fn add_odd_powers(elements: &[u32], sums: &mut [u32]);
    fn evaluate(polynomial: &[u32], points: &[u32], values: &mut [u32]);
    fn dot(a: &[u32], b: &[u32]) -> u32;
    fn weigh_rows(weights: &[u32], rows: &[u32], sums: &mut [u32]);
    fn combine(a: &mut [u32], p: u32, b: &[u32], q: u32);
    fn add_multiple(a: &mut [u32], b: &[u32], q: u32);
    fn scale(a: &mut [u32], p: u32);
}

enable! { Vpclmul256, "vpclmulqdq,avx2",
    fn add_odd_powers(elements: &[u32], sums: &mut [u32]);
    fn evaluate(polynomial: &[u32], points: &[u32], values: &mut [u32]);
    fn dot(a: &[u32], b: &[u32]) -> u32;
    fn weigh_rows(weights: &[u32], rows: &[u32], sums: &mut [u32]);
    fn combine(a: &mut [u32], p: u32, b: &[u32], q: u32);
    fn add_multiple(a: &mut [u32], b: &[u32], q: u32);
    fn scale(a: &mut [u32], p: u32);
}

enable! { Vpclmul, "vpclmulqdq,avx512f,avx512vl,avx512dq",
    fn add_odd_powers(elements: &[u32], sums: &mut [u32]);
    fn evaluate(polynomial: &[u32], points: &[u32], values: &mut [u32]);
    fn dot(a: &[u32], b: &[u32]) -> u32;
    fn weigh_rows(weights: &[u32], rows: &[u32], sums: &mut [u32]);
    fn combine(a: &mut [u32], p: u32, b: &[u32], q: u32);
    fn add_multiple(a: &mut [u32], b: &[u32], q: u32);
    fn scale(a: &mut [u32], p: u32);
}

/// Has memory fetched that lies some way behind `rows`: what follows, there or in the next chunk of a tree, which lies close behind as long
/// as it was built at one go. Rows that no cache holds take a fifth less time so; elsewhere it makes no difference.
fn fetch_ahead(rows: &[u8]) {
    const AHEAD: usize = 2048;
    for line in (0..rows.len()).step_by(64) {
        // SAFETY: every x86-64 has SSE, and a prefetch may be given any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(rows.as_ptr().wrapping_add(AHEAD + line).cast()) };
    }
}

/// The multipliers of the words at even places, and of those at odd ones.
#[target_feature(enable = "avx2")]
fn multipliers(hash: &ShortIds) -> [__m256i; 2] {
    let m = hash.multipliers().map(u64::cast_signed);
    [_mm256_setr_epi64x(m[0], m[2], m[4], m[6]), _mm256_setr_epi64x(m[1], m[3], m[5], m[7])]
}

/// The id with which a row ends.
#[target_feature(enable = "avx2")]
fn id(row: &[u8]) -> __m256i {
    // SAFETY: plain integers of the same size.
    unsafe { transmute::<[u8; 32], __m256i>(*row.last_chunk().unwrap_or(&[0; 32])) }
}

/// Four ids at a time. AVX2 multiplies 32 bits by 32: the lower and the upper half of each multiplier by themselves, and words at
/// even and at odd places, of which a shift brings the latter to where the instruction looks.
#[target_feature(enable = "avx2")]
fn short_ids_256(hash: &ShortIds, (rows, length): (&[u8], usize), short: &mut [ShortId]) {
    let low = multipliers(hash);
    let high = low.map(|low| _mm256_srli_epi64::<32>(low));
    let offset = _mm256_set1_epi64x(hash.offset().cast_signed());
    let sums = |row: &[u8]| {
        let id = id(row);
        let words = [id, _mm256_srli_epi64::<32>(id)];
        let of = |halves: [__m256i; 2]| {
            _mm256_add_epi64(_mm256_mul_epu32(words[0], halves[0]), _mm256_mul_epu32(words[1], halves[1]))
        };
        _mm256_add_epi64(of(low), _mm256_slli_epi64::<32>(of(high)))
    };
    let pairs = |a, b| _mm256_add_epi64(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
    let whole = rows.len() / length / 4 * 4;
    let (fours, rest) = rows.split_at(whole * length);
    let (short, short_rest) = short.split_at_mut(whole);
    for (four, short) in fours.chunks_exact(4 * length).zip(short.as_chunks_mut::<4>().0) {
        fetch_ahead(four);
        let row = |at: usize| sums(&four[at * length..(at + 1) * length]);
        let (ab, cd) = (pairs(row(0), row(1)), pairs(row(2), row(3)));
        let halves =
            _mm256_add_epi64(_mm256_permute2x128_si256::<0x20>(ab, cd), _mm256_permute2x128_si256::<0x31>(ab, cd));
        // SAFETY: plain integers of the same size.
        let all = unsafe { transmute::<__m256i, [u64; 4]>(_mm256_add_epi64(halves, offset)) };
        *short = all.map(ShortId::of_sum);
    }
    hash.of_rows((rest, length), short_rest);
}

/// Eight ids at a time, two in each register, multiplied as in [`short_ids_256`].
#[target_feature(enable = "avx512f,avx512dq")]
fn short_ids_512(hash: &ShortIds, (rows, length): (&[u8], usize), short: &mut [ShortId]) {
    let low = multipliers(hash).map(|m| _mm512_broadcast_i64x4(m));
    let high = low.map(|low| _mm512_srli_epi64::<32>(low));
    let offset = _mm512_set1_epi64(hash.offset().cast_signed());
    let sums = |a: &[u8], b: &[u8]| {
        let ids = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(id(a)), id(b));
        let words = [ids, _mm512_srli_epi64::<32>(ids)];
        let of = |halves: [__m512i; 2]| {
            _mm512_add_epi64(_mm512_mul_epu32(words[0], halves[0]), _mm512_mul_epu32(words[1], halves[1]))
        };
        _mm512_add_epi64(of(low), _mm512_slli_epi64::<32>(of(high)))
    };
    let pairs = |a, b| _mm512_add_epi64(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    let whole = rows.len() / length / 8 * 8;
    let (eights, rest) = rows.split_at(whole * length);
    let (short, short_rest) = short.split_at_mut(whole);
    for (eight, short) in eights.chunks_exact(8 * length).zip(short.as_chunks_mut::<8>().0) {
        fetch_ahead(eight);
        let two =
            |at: usize| sums(&eight[at * length..(at + 1) * length], &eight[(at + 2) * length..(at + 3) * length]);
        let (ab, cd) = (pairs(two(0), two(1)), pairs(two(4), two(5)));
        let halves = _mm512_add_epi64(_mm512_shuffle_i64x2::<0x88>(ab, cd), _mm512_shuffle_i64x2::<0xdd>(ab, cd));
        let upper = _mm512_cvtepi64_epi32(_mm512_srli_epi64::<32>(_mm512_add_epi64(halves, offset)));
        // SAFETY: a short id is an integer that is not zero, and these are at least 1.
        *short = unsafe { transmute::<__m256i, [ShortId; 8]>(_mm256_max_epu32(upper, _mm256_set1_epi32(1))) };
    }
    hash.of_rows((rest, length), short_rest);
}

// SAFETY of every block in the three impls: `self` proves that the features were detected.
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
    fn mul_uppers(self, a: __m128i, b: __m128i) -> __m128i {
        unsafe { _mm_clmulepi64_si128::<0x11>(a, b) }
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
        unsafe { _mm_and_si128(a, _mm_set1_epi64x(0xffff_ffff)) }
    }
    #[inline(always)]
    fn times_fold_32(self, a: __m128i) -> __m128i {
        unsafe {
            let (two, three, seven) = (_mm_slli_epi64::<2>(a), _mm_slli_epi64::<3>(a), _mm_slli_epi64::<7>(a));
            _mm_xor_si128(_mm_xor_si128(a, two), _mm_xor_si128(three, seven))
        }
    }
    #[inline(always)]
    fn store(self, a: __m128i, lanes: &mut [u128]) {
        lanes[0] = unsafe { transmute::<__m128i, u128>(a) };
    }

    #[inline(always)]
    fn load_halves(self, elements: &[u32]) -> __m128i {
        let upper = elements.get(1).map_or(0, |&upper| i64::from(upper));
        unsafe { _mm_set_epi64x(upper, i64::from(elements[0])) }
    }
    #[inline(always)]
    fn store_halves(self, a: __m128i, elements: &mut [u32]) {
        elements[0] = unsafe { _mm_cvtsi128_si32(a) }.cast_unsigned();
        if let Some(upper) = elements.get_mut(1) {
            *upper = unsafe { _mm_extract_epi32::<2>(a) }.cast_unsigned();
        }
    }
    #[inline(always)]
    fn join(self, a: __m128i, b: __m128i) -> __m128i {
        unsafe { _mm_unpacklo_epi64(a, b) }
    }
    #[inline(always)]
    fn lower(self, a: __m128i) -> __m128i {
        unsafe { _mm_move_epi64(a) }
    }
    #[inline(always)]
    fn upper(self, a: __m128i) -> __m128i {
        unsafe { _mm_srli_si128::<8>(a) }
    }
    #[inline(always)]
    fn squares(self, a: __m128i) -> __m128i {
        unsafe {
            let both = _mm_shuffle_epi32::<0b1000>(a);
            _mm_clmulepi64_si128::<0x00>(both, both)
        }
    }
}

impl Lanes for Vpclmul256 {
    type Wide = __m256i;
    const WIDTH: usize = 2;

    #[inline(always)]
    fn load(self, elements: &[u32]) -> __m256i {
        let [a, b] = [elements[0], elements[1]].map(i64::from);
        unsafe { _mm256_set_epi64x(0, b, 0, a) }
    }
    #[inline(always)]
    fn splat(self, element: u32) -> __m256i {
        let element = i64::from(element);
        unsafe { _mm256_set_epi64x(0, element, 0, element) }
    }
    #[inline(always)]
    fn mul(self, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_clmulepi64_epi128::<0x00>(a, b) }
    }
    #[inline(always)]
    fn mul_upper(self, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_clmulepi64_epi128::<0x01>(a, b) }
    }
    #[inline(always)]
    fn mul_uppers(self, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_clmulepi64_epi128::<0x11>(a, b) }
    }
    #[inline(always)]
    fn add(self, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_xor_si256(a, b) }
    }
    #[inline(always)]
    fn over_32(self, a: __m256i) -> __m256i {
        unsafe { _mm256_srli_epi64::<32>(a) }
    }
    #[inline(always)]
    fn under_32(self, a: __m256i) -> __m256i {
        unsafe { _mm256_and_si256(a, _mm256_set1_epi64x(0xffff_ffff)) }
    }
    #[inline(always)]
    fn times_fold_32(self, a: __m256i) -> __m256i {
        unsafe {
            let (two, three, seven) = (_mm256_slli_epi64::<2>(a), _mm256_slli_epi64::<3>(a), _mm256_slli_epi64::<7>(a));
            _mm256_xor_si256(_mm256_xor_si256(a, two), _mm256_xor_si256(three, seven))
        }
    }
    #[inline(always)]
    fn store(self, a: __m256i, lanes: &mut [u128]) {
        lanes.copy_from_slice(&unsafe { transmute::<__m256i, [u128; 2]>(a) });
    }

    #[inline(always)]
    fn load_halves(self, elements: &[u32]) -> __m256i {
        let elements = elements.first_chunk().copied().unwrap_or_else(|| {
            let mut padded = [0; 4];
            padded[..elements.len()].copy_from_slice(elements);
            padded
        });
        unsafe { _mm256_cvtepu32_epi64(transmute::<[u32; 4], __m128i>(elements)) }
    }
    #[inline(always)]
    fn store_halves(self, a: __m256i, elements: &mut [u32]) {
        let halves = unsafe { transmute::<__m256i, [u64; 4]>(a) };
        for (element, half) in elements.iter_mut().zip(halves) {
            *element = crate::field::low32(half);
        }
    }
    #[inline(always)]
    fn join(self, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_unpacklo_epi64(a, b) }
    }
    #[inline(always)]
    fn lower(self, a: __m256i) -> __m256i {
        unsafe { _mm256_unpacklo_epi64(a, _mm256_setzero_si256()) }
    }
    #[inline(always)]
    fn upper(self, a: __m256i) -> __m256i {
        unsafe { _mm256_unpackhi_epi64(a, _mm256_setzero_si256()) }
    }
    #[inline(always)]
    fn squares(self, a: __m256i) -> __m256i {
        unsafe {
            let both = _mm256_shuffle_epi32::<0b1000>(a);
            _mm256_clmulepi64_epi128::<0x00>(both, both)
        }
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
    fn mul_uppers(self, a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_clmulepi64_epi128::<0x11>(a, b) }
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
        unsafe { _mm512_maskz_mov_epi32(0b0101_0101_0101_0101, a) }
    }
    #[inline(always)]
    fn times_fold_32(self, a: __m512i) -> __m512i {
        unsafe {
            let (two, three, seven) = (_mm512_slli_epi64::<2>(a), _mm512_slli_epi64::<3>(a), _mm512_slli_epi64::<7>(a));
            _mm512_xor_si512(_mm512_xor_si512(a, two), _mm512_xor_si512(three, seven))
        }
    }
    #[inline(always)]
    fn store(self, a: __m512i, lanes: &mut [u128]) {
        lanes.copy_from_slice(&unsafe { transmute::<__m512i, [u128; 4]>(a) });
    }

    #[inline(always)]
    fn load_halves(self, elements: &[u32]) -> __m512i {
        // SAFETY: the mask lets through as many elements as there are, so nothing beyond them is read.
        unsafe { _mm512_cvtepu32_epi64(_mm256_maskz_loadu_epi32(first(elements.len()), elements.as_ptr().cast())) }
    }
    #[inline(always)]
    fn store_halves(self, a: __m512i, elements: &mut [u32]) {
        // SAFETY: the mask lets through as many elements as there are, so nothing beyond them is written.
        unsafe {
            let lower = _mm512_cvtepi64_epi32(a);
            _mm256_mask_storeu_epi32(elements.as_mut_ptr().cast(), first(elements.len()), lower);
        }
    }
    #[inline(always)]
    fn join(self, a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_unpacklo_epi64(a, b) }
    }
    #[inline(always)]
    fn lower(self, a: __m512i) -> __m512i {
        unsafe { _mm512_maskz_mov_epi64(0b0101_0101, a) }
    }
    #[inline(always)]
    fn upper(self, a: __m512i) -> __m512i {
        unsafe { _mm512_maskz_unpackhi_epi64(0b0101_0101, a, a) }
    }
    #[inline(always)]
    fn squares(self, a: __m512i) -> __m512i {
        unsafe {
            let both = _mm512_shuffle_epi32::<0b1000>(a);
            _mm512_clmulepi64_epi128::<0x00>(both, both)
        }
    }
}

/// A mask of eight places of which the first `count` are set: all of them from 8 on.
#[inline(always)]
fn first(count: usize) -> __mmask8 {
    let [mask, _] = (!(u16::MAX << count.min(8))).to_le_bytes();
    mask
}
