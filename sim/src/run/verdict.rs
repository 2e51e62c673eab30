//! Whether what was expected came true.

use std::time::Duration;

use serde::Serialize;

use super::{
    measure::Quantiles,
    outcome::{BesideHonest, Outcome, grouped, time},
};
use crate::{net::real, scenario::Expect};

/// One expectation.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Its key in `[expect]`.
    pub name: &'static str,
    /// What was expected.
    pub expected: String,
    /// What came.
    pub found: String,
    /// Whether they fit.
    pub ok: bool,
}

impl Outcome {
    /// As multiples of what comes where all behave.
    pub(crate) fn beside(&self, honest: &Outcome) -> BesideHonest {
        let ratio = |one: f64, other: f64| if other > 0.0 { one / other } else { 1.0 };
        let ([bytes, late], [honest_bytes, honest_late]) = (self.background_mean, honest.background_mean);
        BesideHonest {
            recovery: if self.recovering_at_end > 0 {
                f64::INFINITY
            } else {
                ratio(self.recovery_s.max, honest.recovery_s.max)
            },
            bytes: ratio(bytes, honest_bytes),
            late_bytes: ratio(late, honest_late),
        }
    }

    /// How long it took.
    pub(crate) fn timed(mut self, wall_s: f64) -> Outcome {
        (self.wall_s, self.events_per_s) = (wall_s, real(self.events) / wall_s.max(1e-9));
        self
    }

    /// Checks what was expected.
    pub(crate) fn check(mut self, expect: &Expect) -> Outcome {
        let mut checks = Checks(Vec::new());
        let found =
            if self.converged { "equal".to_owned() } else { format!("{} missing", grouped(self.missing_at_end)) };
        let expected = if expect.converged { "equal" } else { "something missing" };
        checks.add("converged", expected.to_owned(), found, self.converged == expect.converged);
        checks.within("converged_within", expect.converged_within, self.converged_after_event_s);
        let complete = self.completed_by(0.99);
        checks.within("completeness_p99", expect.completeness_p99, complete);
        checks.within("completeness_max", expect.completeness_max, self.completed_by(1.0));
        let recovered = (self.recovering_at_end == 0).then_some(self.recovery_s.max);
        checks.within("recovery_max", expect.recovery_max, recovered);
        checks.at_most("background_bytes_per_s", expect.background_bytes_per_s, self.background_bytes_per_s.p99);
        if let Some([least, most]) = expect.ihaves_per_interval {
            let ihaves = &self.ihaves_per_interval;
            let ok = least <= ihaves.min && ihaves.max <= most;
            let found = format!("{} to {}", ihaves.min, ihaves.max);
            checks.add("ihaves_per_interval", format!("{least} to {most}"), found, ok);
        }
        checks.at_most("round_trips_p99", expect.round_trips_p99.map(real), self.round_trips.p99);
        checks.at_most("bytes_per_repair", expect.bytes_per_repair, self.bytes_per_repair);
        checks.at_most("busiest_share", expect.busiest_share, self.providers.busiest_share);
        checks.at_most("busiest_over_median", expect.busiest_over_median, self.providers.busiest_over_median);
        checks.at_most("redundancy", expect.redundancy, self.redundancy);
        if let Some(least) = expect.repaired_min {
            let expected = format!("at least {}", grouped(least));
            checks.add("repaired_min", expected, grouped(self.repaired), self.repaired >= least);
        }
        checks.at_most("muted", expect.muted.map(real), real(self.muted));
        checks.at_most("liars_unmuted", expect.liars_unmuted.map(real), real(self.lies.unmuted));
        checks.at_most("refused_again", expect.refused_again.map(real), real(self.refused_again));
        if let Some(beside) = self.beside_honest {
            checks.at_most("recovery_over_honest", expect.recovery_over_honest, beside.recovery);
            checks.at_most("bytes_over_honest", expect.bytes_over_honest, beside.bytes);
            checks.at_most("late_bytes_over_honest", expect.late_bytes_over_honest, beside.late_bytes);
        }
        checks.at_most("wall_s", expect.wall_s, self.wall_s);
        // No scenario has to say that nobody fetches what its window does not cover.
        checks.at_most("outside_window", Some(0.0), real(self.outside_window));
        self.checks = checks.0;
        self.passed = self.checks.iter().all(|check| check.ok);
        self
    }

    /// Within how many seconds this share of all messages was everywhere; `None` where it never was.
    fn completed_by(&self, share: f64) -> Option<f64> {
        let Quantiles { p99, max, .. } = self.completeness_s;
        let enough = self.converged && self.expired_missing == 0;
        enough.then_some(if share < 1.0 { p99 } else { max })
    }

    /// The verdict in a sentence.
    pub fn sentence(&self) -> String {
        let nodes = grouped(self.nodes as u64);
        let messages = grouped(self.messages);
        let state = match (self.converged, self.repaired) {
            (true, 0) => format!("All {nodes} nodes hold the same {messages} messages"),
            (true, repaired) => {
                let trips = match self.round_trips.p50 {
                    // Real nodes do not say which request led to which.
                    _ if self.mode == "real" => String::new(),
                    1.0 => ", most in 1 round trip".to_owned(),
                    trips => format!(", most in {trips:.0} round trips"),
                };
                format!(
                    "All {nodes} nodes ended with the same {messages} messages; {} copies that gossip had not brought were repaired{trips}",
                    grouped(repaired),
                )
            }
            (false, _) => {
                format!(
                    "{} copies of settled messages are still missing among {nodes} nodes",
                    grouped(self.missing_at_end)
                )
            }
        };
        let failed = self.checks.iter().filter(|check| !check.ok).count();
        let cost = format!("at {:.0} B/s of background traffic a node", self.background_bytes_per_s.p50);
        match failed {
            0 => format!("{state}, {cost}."),
            1 => format!("{state}, {cost}. One expectation was not met."),
            _ => format!("{state}, {cost}. {failed} expectations were not met."),
        }
    }
}

struct Checks(Vec<Check>);

impl Checks {
    fn add(&mut self, name: &'static str, expected: String, found: String, ok: bool) {
        self.0.push(Check { name, expected, found, ok });
    }

    fn within(&mut self, name: &'static str, limit: Option<Duration>, found: Option<f64>) {
        let Some(limit) = limit.map(|limit| limit.as_secs_f64()) else { return };
        let ok = found.is_some_and(|found| found <= limit);
        self.add(name, format!("within {}", time(limit)), found.map_or("never".to_owned(), time), ok);
    }

    fn at_most(&mut self, name: &'static str, limit: Option<f64>, found: f64) {
        let Some(limit) = limit else { return };
        self.add(name, format!("at most {}", short(limit)), short(found), found <= limit);
    }
}

fn short(value: f64) -> String {
    if value.fract() == 0.0 || value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
