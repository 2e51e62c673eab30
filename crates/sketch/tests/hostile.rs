//! Whatever sums come, decoding them neither panics, nor gives a set that does not have them, nor takes more memory than its
//! bound or much more time than it says beforehand.
//!
//! 100,000 cases; a million in the long test.
#![allow(unsafe_code, clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "what is measured here is time")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    time::{Duration, Instant},
};

use hearken_sketch::{ShortId, Sketch, work};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

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

/// Bytes of working memory, at most: the powers x^(2^i) modulo a polynomial are 32 words for each of its degree, four times that with
/// what is made of them, and the powers that squaring needs half a word for each of its square. No larger capacity than 256 is ever
/// decoded, so 258 KiB in all.
fn memory_bound(capacity: isize) -> isize {
    capacity * capacity * 2 + capacity * 512 + 2048
}

/// How much longer than its units, in nanoseconds, decoding may take: tests are lightly optimised and share their machine.
/// What is not bounded at all would take thousands of times as long.
const SLOWNESS: u32 = 100;

/// Sums of every kind: random ones, ones with much structure, those of sets too large, those of sets with one sum wrong.
fn sums(rng: &mut ChaCha8Rng) -> Vec<u32> {
    let capacity = if rng.random_ratio(1, 500) { rng.random_range(0..=256) } else { rng.random_range(0..12) };
    match rng.random_range(0..5) {
        0 => (0..capacity).map(|_| rng.random()).collect(),
        1 => (0..capacity).map(|_| if rng.random_ratio(1, 4) { rng.random_range(0..3) } else { 0 }).collect(),
        2 => vec![rng.random(); capacity],
        kind => {
            let elements = rng.random_range(0..2 * capacity + 2);
            let mut sums = Sketch::encode(capacity, (0..elements).filter_map(|_| ShortId::new(rng.random())));
            if kind == 3 && capacity > 0 {
                sums.toggle(ShortId::new(1).unwrap());
                let mut spoiled = sums.into_syndromes();
                spoiled[rng.random_range(0..capacity)] ^= 1 << rng.random_range(0..32);
                return spoiled;
            }
            sums.into_syndromes()
        }
    }
}

fn check(cases: u32, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let candidates: Vec<ShortId> = (0..200).filter_map(|_| ShortId::new(rng.random())).collect();
    let (mut units, mut took, mut decoded) = (0, Duration::ZERO, 0);
    for _ in 0..cases {
        let sketch = Sketch::from_syndromes(sums(&mut rng));
        let held = &candidates[..rng.random_range(0..candidates.len())];
        let (capacity, before) = (sketch.capacity(), NOW.get());
        PEAK.set(before);
        let start = Instant::now();
        let found = sketch.decode_among(held, capacity);
        took += start.elapsed();
        units += work(held.len(), capacity);
        let used = PEAK.get() - before;
        assert!(used <= memory_bound(isize::try_from(capacity).unwrap()), "{used} bytes for {sketch:?}");
        if let Ok(found) = found {
            let all = found.held.iter().map(|at| held[*at]).chain(found.lacking);
            assert_eq!(Sketch::encode(capacity, all), sketch);
            decoded += 1;
        }
    }
    assert!(decoded > cases / 20, "{decoded} of {cases}");
    let allowed = Duration::from_nanos(units) * SLOWNESS;
    assert!(took <= allowed, "{took:?} for {units} units");
}

#[test]
fn hostile_sums() {
    check(100_000, 1);
}

#[test]
#[ignore = "long: a million cases"]
fn a_million_hostile_sums() {
    check(1_000_000, 2);
}
