//! CPU time of the current thread.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time that this thread has used so far: CLOCK_THREAD_CPUTIME_ID of POSIX.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Adds up the CPU time of the pieces of work that it runs.
#[derive(Debug, Default)]
pub struct Stopwatch {
    total: Duration,
}

impl Stopwatch {
    /// Runs `work` and adds its time.
    pub fn run<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = thread_time();
        let result = work();
        self.total += thread_time().saturating_sub(start);
        result
    }

    /// The sum so far, in milliseconds.
    pub fn milliseconds(&self) -> f64 {
        self.total.as_secs_f64() * 1e3
    }
}
