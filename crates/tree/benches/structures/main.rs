//! What the tree costs, side by side with what others use for the same: `cargo bench -p hearken-tree --bench structures`.
//!
//! One thread, in memory, medians. The number of keys may be given, and which of the parts `others`, `ground` and `q` to run:
//! `... --bench structures -- 100000 others`. On a machine that others use, `busy` counts the time that the thread had of a processor
//! instead of the time that passed.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod figures;
mod keys;
mod memory;
mod others;
mod tree;

use std::{sync::LazyLock, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// Times are medians of so many runs.
const RUNS: usize = 3;

/// What times are read from.
static CLOCK: LazyLock<ClockId> = LazyLock::new(|| {
    let busy = std::env::args().any(|arg| arg == "busy");
    if busy { ClockId::ThreadCPUTime } else { ClockId::Monotonic }
});

/// Measures something with so many keys, and prints it.
type Part = fn(usize);

fn main() {
    let count = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(1_000_000);
    println!("{count} keys, one thread, medians of {RUNS} runs, by the clock {:?}", *CLOCK);
    let parts: [(&str, Part); 3] = [("others", others::compare), ("ground", tree::ground), ("q", tree::choose_q)];
    let wanted = |name: &str| std::env::args().any(|arg| arg == name);
    let all = !parts.iter().any(|(name, _)| wanted(name));
    for (_, part) in parts.iter().filter(|(name, _)| all || wanted(name)) {
        println!();
        part(count);
    }
}

/// The median time of `work` on what `prepare` made, which is neither timed making nor dropping.
fn median<T, R>(prepare: impl FnMut() -> T, work: impl FnMut(&mut T) -> R) -> Duration {
    median_of(RUNS, prepare, work)
}

fn median_of<T, R>(runs: usize, mut prepare: impl FnMut() -> T, mut work: impl FnMut(&mut T) -> R) -> Duration {
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let mut subject = prepare();
            let start = now();
            let result = std::hint::black_box(work(&mut subject));
            let time = now() - start;
            drop(result);
            time
        })
        .collect();
    times.sort_unstable();
    times[runs / 2]
}

fn now() -> Duration {
    let time = clock_gettime(*CLOCK);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// Million keys per second.
fn rate(keys: usize, time: Duration) -> f64 {
    keys as f64 / time.as_secs_f64() / 1e6
}

/// Microseconds each.
fn each(times: usize, time: Duration) -> f64 {
    time.as_secs_f64() * 1e6 / times as f64
}

fn row(name: &str, cells: &[String]) {
    print!("{name:<36}");
    cells.iter().for_each(|cell| print!("{cell:>20}"));
    println!();
}
