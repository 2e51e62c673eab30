//! What the tree costs, side by side with what others use for the same: `cargo bench -p hearken-tree --bench structures`.
//!
//! One thread, in memory, medians. The number of keys may be given, and which of the parts `others`, `tree` and `q` to run:
//! `... --bench structures -- 100000 tree`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod keys;
mod memory;
mod others;
mod tree;

use std::time::Duration;

/// Times are medians of so many runs.
const RUNS: usize = 3;
/// How often a short piece of work is repeated in a run.
const SHORT: u32 = 100;

/// Measures something with so many keys, and prints it.
type Part = fn(usize);

fn main() {
    let count = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(1_000_000);
    println!("{count} keys, one thread, medians of {RUNS} runs");
    let parts: [(&str, Part); 3] = [("others", others::compare), ("tree", tree::measure), ("q", tree::choose_q)];
    let wanted = |name: &str| std::env::args().any(|arg| arg == name);
    let all = !parts.iter().any(|(name, _)| wanted(name));
    for (_, part) in parts.iter().filter(|(name, _)| all || wanted(name)) {
        println!();
        part(count);
    }
}

/// The median time of `work` on what `prepare` made, which is neither timed making nor dropping.
fn median<T, R>(mut prepare: impl FnMut() -> T, mut work: impl FnMut(&mut T) -> R) -> Duration {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let mut subject = prepare();
            let start = clock();
            let result = std::hint::black_box(work(&mut subject));
            let time = clock() - start;
            drop(result);
            time
        })
        .collect();
    times.sort_unstable();
    times[RUNS / 2]
}

/// The median time of `work`, which is too short to be timed alone.
fn quick<R>(mut work: impl FnMut() -> R) -> Duration {
    median(
        || (),
        |()| {
            (0..SHORT).for_each(|_| {
                std::hint::black_box(work());
            });
        },
    ) / SHORT
}

/// The time that this thread has spent on a processor, where the system says so (Linux), so that others who use the
/// machine disturb less; else the time of day.
fn clock() -> Duration {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let spent = spent.and_then(|line| line.split(' ').next()?.parse().ok()).map(Duration::from_nanos);
    spent.unwrap_or_else(|| std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap())
}

/// Million keys per second.
fn rate(keys: usize, time: Duration) -> String {
    format!("{:.2} M/s", keys as f64 / time.as_secs_f64() / 1e6)
}

/// Microseconds each.
fn each(times: usize, time: Duration) -> String {
    format!("{:.2} us", time.as_secs_f64() * 1e6 / times as f64)
}

fn row(name: &str, cells: &[String]) {
    print!("{name:<34}");
    cells.iter().for_each(|cell| print!("{cell:>13}"));
    println!();
}
