//! The wall clock a node lives by.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Wall-clock time, in nanoseconds since the Unix epoch, shifted by a fixed amount: a demo lets its nodes live in the time in
/// which a trace has just ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    offset: i64,
    /// How far it has jumped, for tests.
    jump: Option<&'static AtomicI64>,
}

impl Clock {
    /// The system's time.
    pub const SYSTEM: Clock = Clock { offset: 0, jump: None };

    /// A clock that shows `unix` (nanoseconds) now.
    pub fn showing(unix: u64) -> Clock {
        Clock { offset: unix.wrapping_sub(Clock::SYSTEM.now()).cast_signed(), jump: None }
    }

    /// The same clock, which jumps by as many seconds as a file says, whenever that changes: for tests. A thread watches the file for
    /// as long as the program runs.
    pub fn jumping(self, file: PathBuf) -> Clock {
        let jump: &'static AtomicI64 = Box::leak(Box::default());
        std::thread::spawn(move || {
            loop {
                let seconds = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse::<i64>().ok());
                if let Some(seconds) = seconds {
                    jump.store(seconds.saturating_mul(1_000_000_000), Relaxed);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Clock { jump: Some(jump), ..self }
    }

    /// Nanoseconds since the Unix epoch.
    pub fn now(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos())
            .unwrap_or(u64::MAX)
            .wrapping_add_signed(self.offset + self.jump.map_or(0, |jump| jump.load(Relaxed)))
    }
}
