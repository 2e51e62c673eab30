//! When to announce: Trickle (RFC 6206) with the random backoff of RFC 5401, section 3.3.1, instead of uniform timers.
//!
//! All nodes of a network hear the same topic, so the first to announce in an interval suppresses all others that have
//! not announced by the time they hear it. With uniform timers that is many; with truncated-exponential ones the first
//! is usually alone, whatever the size of the network. For that the intervals have to be in phase: an interval in which
//! enough was heard ends a quarter of its length after that, at all nodes at about the same time.
use std::time::Duration;

use rand::{Rng, RngExt};

use crate::Config;

/// A group's announcement timer.
#[derive(Clone, Debug)]
pub(crate) struct Trickle {
    interval: Duration,
    end: Duration,
    fire: Option<Duration>,
    equal: u32,
    any: u32,
}

/// What an announcement timer says when it fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fired {
    Announce,
    Suppressed,
}

impl Trickle {
    pub(crate) fn new(config: &Config, now: Duration, rng: &mut impl Rng) -> Trickle {
        let mut trickle = Trickle { interval: config.interval_min, end: now, fire: None, equal: 0, any: 0 };
        trickle.begin(config, now, rng);
        trickle
    }

    /// When [`Trickle::tick`] has to be called next.
    pub(crate) fn deadline(&self) -> Duration {
        self.fire.map_or(self.end, |fire| fire.min(self.end))
    }

    /// The current interval's length.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    pub(crate) fn tick(&mut self, config: &Config, now: Duration, rng: &mut impl Rng) -> Option<Fired> {
        if self.fire.is_some_and(|fire| fire <= now) {
            self.fire = None;
            if self.enough(config) {
                return Some(Fired::Suppressed);
            }
            // One's own counts as heard.
            self.heard(config, now, true);
            return Some(Fired::Announce);
        }
        if self.end <= now {
            self.interval = (self.interval * 2).min(config.interval_max);
            self.begin(config, now, rng);
        }
        None
    }

    /// A valid announcement came in; `equal` if it says what this node would.
    pub(crate) fn heard(&mut self, config: &Config, now: Duration, equal: bool) {
        let before = self.enough(config);
        self.any = self.any.saturating_add(1);
        self.equal = self.equal.saturating_add(u32::from(equal));
        if !before && self.enough(config) {
            self.end = now + self.interval / 4;
        }
    }

    /// A neighbour confirmed a difference, or something was repaired: back to the shortest interval (RFC 6206, section
    /// 4.2, rule 6). Never announces at once.
    pub(crate) fn reset(&mut self, config: &Config, now: Duration, rng: &mut impl Rng) {
        if self.interval > config.interval_min {
            self.interval = config.interval_min;
            self.begin(config, now, rng);
        }
    }

    fn enough(&self, config: &Config) -> bool {
        self.equal >= config.redundancy || self.any >= config.redundancy_any
    }

    /// Rule 2 of RFC 6206: the first half of an interval only listens.
    fn begin(&mut self, config: &Config, now: Duration, rng: &mut impl Rng) {
        let half = self.interval / 2;
        self.fire = Some(now + half + half.mul_f64(truncated_exponential(config.network_size, rng)));
        self.end = now + self.interval;
        self.equal = 0;
        self.any = 0;
    }
}

/// The random backoff of RFC 5401, section 3.3.1, as a part of the longest: mostly near 1.
fn truncated_exponential(network_size: u32, rng: &mut impl Rng) -> f64 {
    let lambda = f64::from(network_size).ln() + 1.0;
    let uniform: f64 = rng.random();
    (uniform * lambda.exp_m1()).ln_1p() / lambda
}
