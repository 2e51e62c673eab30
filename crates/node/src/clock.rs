//! The wall clock a node lives by.

use std::time::{SystemTime, UNIX_EPOCH};

/// Wall-clock time, in nanoseconds since the Unix epoch, shifted by a fixed amount: a demo lets its nodes live in the time in
/// which a trace has just ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    offset: i64,
}

impl Clock {
    /// The system's time.
    pub const SYSTEM: Clock = Clock { offset: 0 };

    /// A clock that shows `unix` (nanoseconds) now.
    pub fn showing(unix: u64) -> Clock {
        Clock { offset: unix.wrapping_sub(Clock::SYSTEM.now()).cast_signed() }
    }

    /// Nanoseconds since the Unix epoch.
    pub fn now(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).wrapping_add_signed(self.offset)
    }
}
