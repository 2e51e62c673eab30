//! A line that shows how far a long run is.

use std::{
    io::{IsTerminal as _, Write as _, stderr},
    time::{Duration, Instant},
};

use super::{
    outcome::{grouped, time},
    sim::Sim,
};
use crate::net::{real, seconds, whole};

/// Shown so often.
const EVERY: Duration = Duration::from_millis(500);

/// On a terminal only.
pub(crate) struct Progress {
    on: bool,
    began: Instant,
    shown: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(on: bool) -> Progress {
        Progress { on: on && stderr().is_terminal(), began: Instant::now(), shown: None }
    }

    pub(crate) fn show(&mut self, sim: &Sim<'_>) {
        let since = self.shown.unwrap_or(self.began);
        if self.on && since.elapsed() >= EVERY {
            self.shown = Some(Instant::now());
            let rate = whole(real(sim.events) / self.began.elapsed().as_secs_f64());
            let (now, end) = (time(seconds(sim.now)), time(seconds(sim.end)));
            let missing = grouped(sim.missing());
            eprint!("\r\x1b[2K{now} of {end} virtual, {} events/s, {missing} missing", grouped(rate));
            let _ = stderr().flush();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            eprint!("\r\x1b[2K");
        }
    }
}
