use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock by which windows and horizons are cut.
///
/// Deadlines do not count in it: they use tokio's monotone clock. It may jump. Any `Fn() -> u64` is one, so that a
/// demonstration can run its nodes in a time in which an old trace has just ended.
pub trait Clock: Send + Sync + 'static {
    /// Nanoseconds since the Unix epoch.
    fn unix_nanos(&self) -> u64;
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_nanos(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl<F: Fn() -> u64 + Send + Sync + 'static> Clock for F {
    fn unix_nanos(&self) -> u64 {
        self()
    }
}
