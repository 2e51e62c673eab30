//! Whatever bytes come, decoding neither panics nor allocates beyond its bound.
//!
//! 100,000 cases of each kind; a million in the long test.
#![allow(unsafe_code, clippy::unwrap_used)]

mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use bytes::BytesMut;
use hearken_wire::{Frame, Ihave, decode_frame, encode_frame, limits::FRAME_MAX};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use support::{Numbers, encoded, frames, ihaves};

/// Counts what the thread has allocated at the moment and at most.
struct Counting;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let now = NOW.get() + bytes;
    NOW.set(now);
    PEAK.set(PEAK.get().max(now));
}

// SAFETY: everything is passed on to the system's allocator, and nothing here allocates: the counters are constants of
// their thread without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The most bytes that were allocated at a time while `work` ran, what was there before not counted.
fn peak(work: impl FnOnce()) -> usize {
    let before = NOW.get();
    PEAK.set(before);
    work();
    (PEAK.get() - before).cast_unsigned()
}

/// The handles of the sixteen messages that the smallest frame may have; errors and the like.
const SLACK: usize = 768;

/// The frame itself is there before and stays: together with what decoding adds, it is at most twice its length.
fn bound(length: usize) -> usize {
    length + SLACK
}

fn check_frame(bytes: &[u8]) {
    let mut received = BytesMut::from(bytes);
    let used = peak(|| while let Ok(Some(_)) = decode_frame(&mut received, FRAME_MAX) {});
    assert!(used <= bound(bytes.len()), "{used} bytes for {bytes:02x?}");
}

fn check_ihave(bytes: &[u8]) {
    let used = peak(|| drop(Ihave::decode(bytes)));
    assert!(used <= bound(bytes.len()), "{used} bytes for {bytes:02x?}");
}

const CASES: u64 = 100_000;

/// Valid encodings to spoil.
fn samples<T: std::fmt::Debug>(strategy: impl Strategy<Value = T>, encode: impl Fn(&T) -> Vec<u8>) -> Vec<Vec<u8>> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..300).map(|_| encode(&strategy.new_tree(&mut runner).unwrap().current())).collect()
}

/// Cuts a valid encoding short, flips bits, overwrites bytes (often with those that make numbers large), or splices two.
fn spoil(samples: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = samples[numbers.below(samples.len())].clone();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len());
        match numbers.below(5) {
            0 => bytes.truncate(at),
            1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << numbers.below(8)),
            2 => bytes.iter_mut().skip(at).take(1 + numbers.below(10)).for_each(|byte| *byte = 0xff),
            3 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = numbers.byte()),
            _ => {
                let other = &samples[numbers.below(samples.len())];
                let end = (at + numbers.below(50)).min(bytes.len());
                let from = numbers.below(other.len());
                bytes.splice(at..end, other[from..].iter().take(numbers.below(50)).copied());
            }
        }
    }
    bytes
}

#[test]
fn arbitrary_bytes() {
    check_arbitrary_bytes(CASES, Numbers(1));
}

fn check_arbitrary_bytes(cases: u64, mut numbers: Numbers) {
    for _ in 0..cases {
        let length = numbers.below(200);
        let mut bytes = numbers.bytes(length);
        check_ihave(&bytes);
        // Half of them with a valid length and kind, so that more than the prefix is read.
        if length > 2 && numbers.below(2) == 0 {
            bytes[0] = u8::try_from((length - 1).min(127)).unwrap();
            bytes[1] = u8::try_from((1 + numbers.below(3)) << 3 | 2).unwrap();
            bytes[2] = u8::try_from((length - 3).min(125)).unwrap();
        }
        check_frame(&bytes);
    }
}

/// A request or an answer in good order but for its packed field, which is random.
#[test]
fn arbitrary_packed_fields() {
    check_arbitrary_packed_fields(CASES, Numbers(2));
}

fn check_arbitrary_packed_fields(cases: u64, mut numbers: Numbers) {
    for _ in 0..cases {
        let length = numbers.below(100);
        let mut packed = numbers.bytes(length);
        if let Some(count) = packed.first_mut() {
            *count &= 15;
        }
        let packed_field = |field: u8| [&[field << 3 | 2, u8::try_from(packed.len()).unwrap()], &packed[..]].concat();
        let group = [&[2 << 3 | 2, 16], &[7; 16][..]].concat();
        let want = [&group[..], &packed_field(5)].concat();
        let answer = packed_field(3);
        for (kind, body) in [(1, want), (2, answer)] {
            let length = u8::try_from(body.len()).unwrap();
            check_frame(&[&[length + 2, kind << 3 | 2, length], &body[..]].concat());
        }
        let digest = [&[5 << 3 | 2, 8], &[7; 8][..]].concat();
        check_ihave(&[&[1 << 3 | 2, 16], &[7; 16][..], &digest, &packed_field(6)].concat());
    }
}

#[test]
fn spoiled_frames() {
    check_spoiled_frames(CASES, Numbers(3));
}

fn check_spoiled_frames(cases: u64, mut numbers: Numbers) {
    let samples = samples(frames(), |frame| encoded(frame).to_vec());
    for _ in 0..cases {
        check_frame(&spoil(&samples, &mut numbers));
    }
}

#[test]
fn spoiled_ihaves() {
    check_spoiled_ihaves(CASES, Numbers(4));
}

fn check_spoiled_ihaves(cases: u64, mut numbers: Numbers) {
    let samples = samples(ihaves(), |ihave| ihave.encode().unwrap());
    for _ in 0..cases {
        check_ihave(&spoil(&samples, &mut numbers));
    }
}

#[test]
#[ignore = "long: a million cases of each kind"]
fn a_million_of_each() {
    let cases = 1_000_000;
    check_arbitrary_bytes(cases, Numbers(11));
    check_arbitrary_packed_fields(cases, Numbers(12));
    check_spoiled_frames(cases, Numbers(13));
    check_spoiled_ihaves(cases, Numbers(14));
}

/// What decodes can be sent on, and then decodes to the same.
#[test]
fn what_is_accepted_is_valid() {
    let frame_samples = samples(frames(), |frame| encoded(frame).to_vec());
    let ihave_samples = samples(ihaves(), |ihave| ihave.encode().unwrap());
    let (mut numbers, mut accepted) = (Numbers(5), 0_u64);
    for _ in 0..CASES / 10 {
        if let Ok(Some(frame)) = decode_frame(&mut spoil(&frame_samples, &mut numbers)[..].into(), FRAME_MAX) {
            let mut again = BytesMut::new();
            encode_frame(&frame, &mut again).unwrap();
            assert_eq!(decode_frame(&mut again, FRAME_MAX), Ok(Some(frame)));
            accepted += 1;
        }
        if let Ok(ihave) = Ihave::decode(&spoil(&ihave_samples, &mut numbers)) {
            assert_eq!(Ihave::decode(&ihave.encode().unwrap()), Ok(ihave));
            accepted += 1;
        }
    }
    assert!(accepted > CASES / 100, "{accepted}");
}

/// The frames that cost most: as many of the smallest items as the limits allow.
#[test]
fn the_worst_frames_stay_within_the_bound() {
    use bytes::Bytes;
    use hearken_tree::{GroupId, Key, KeyRange};
    use hearken_wire::{
        Answer, Ask, RangeWant, RequestId, Salt, SaltedSpan, ShortDigest, ShortFingerprint, Summary, Verdict, Want,
        Window,
        limits::{MESSAGES_MAX, RANGES_MAX, SPANS_MAX},
    };
    let (request, holds, group) = (RequestId(1), Window { from: 0, to: 1 << 40 }, GroupId([0; 16]));
    let time = |i: usize| Key::at((i as u64) << 20);
    let range = |i| KeyRange::new(time(i), time(i + 1)).unwrap();
    let ranges = (0..RANGES_MAX).map(|i| RangeWant { range: range(i), ask: Ask::All }).collect();
    check_frame(&encoded(&Frame::Want(Want { request, group, salt: Salt(0), holds, ranges })));

    let fingerprint = ShortFingerprint { digest: ShortDigest([0; 8]), count: 0 };
    let span = |i| SaltedSpan { range: range(i), fingerprint };
    let finer = |i| Verdict::Finer(Summary::new(vec![span(i)]).unwrap());
    let verdicts = (0..SPANS_MAX.min(RANGES_MAX)).map(finer).collect();
    check_frame(&encoded(&Frame::Answer(Answer { request, holds, verdicts })));

    check_frame(&encoded(&Frame::Messages { request, messages: vec![Bytes::from_static(&[0; 30]); MESSAGES_MAX] }));

    // More than allowed: refused before they are collected.
    let too_many = [&[0x83, 0x80, 0x20, 3 << 3 | 2, 0x80, 0x80, 0x20][..], &[2 << 3 | 2, 0].repeat(1 << 18)].concat();
    let used = peak(|| drop(decode_frame(&mut BytesMut::from(&too_many[..]), FRAME_MAX)));
    assert!(used < too_many.len() + SLACK, "{used}");

    let summary = Summary::new((0..SPANS_MAX).map(span).collect()).unwrap();
    let window = Window { from: 0, to: (SPANS_MAX as u64) << 20 };
    let ihave = Ihave { group, window, salt: Salt(0), root: fingerprint, summary };
    check_ihave(&ihave.encode().unwrap());
}
