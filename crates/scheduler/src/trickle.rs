//! When to announce: Trickle (RFC 6206) with the random backoff of RFC 5401, section 3.3.1, instead of uniform timers.
//!
//! All nodes of a network hear the same topic, so the first to announce in an interval suppresses all others that have
//! not announced by the time they hear it. With uniform timers that is many; with truncated-exponential ones the first
//! is usually alone, whatever the size of the network. For that the intervals have to be in phase: an interval in which
//! enough was heard ends a fixed time after that, at all nodes at about the same time.
//!
//! While all is equal, chance need not decide anew each time: of those that announced in an interval the one with the lowest
//! salt leads the next, and goes before any other timer can fire. If it is gone, the timers choose again. With timers alone,
//! 1,000 nodes make 1.46 announcements in an interval, 10,000 nodes 1.91, and more than 4 in 0.3 % and 1.8 % of the intervals;
//! with one that leads there are 1 or 2, as intervals are a little shorter than 30 s (`hearken-sim run equal-10000`).
//!
//! LISTEN and REST were chosen by simulation, 100 ms a hop, interval 30 s, 6,000 intervals each.
use std::time::Duration;

use hearken_wire::Salt;
use rand::{Rng, RngExt};

use crate::Config;

/// The part of an interval that only listens. (RFC 6206, section 4.2, rule 2, has a half, which with exponential timers makes
/// more of them fire within the time that an announcement travels.)
const LISTEN: f64 = 0.25;
/// The part of an interval that is left when enough was heard.
const REST: f64 = 0.35;
/// The same where everything that is heard is equal, and so one node leads: LEAD and this make 0.85 of an interval, so that
/// none goes by without an announcement.
const CALM_REST: f64 = 0.7;
/// The part of an interval after which one announcement fewer is enough.
const LATE: f64 = 0.8;
/// When the node that leads announces: earlier than any other by more than an announcement travels.
const LEAD: f64 = 0.15;

/// A group's announcement timer.
#[derive(Clone, Debug)]
pub(crate) struct Trickle {
    interval: Duration,
    end: Duration,
    fire: Option<Duration>,
    /// From when on one announcement fewer is enough: who has missed one of them would add another each time.
    late: Duration,
    equal: u32,
    any: u32,
    suppressed: u64,
    /// The announcement of this interval that has the lowest salt, and whether it is one's own.
    lowest: Option<(Salt, bool)>,
    /// Nothing that was heard in the last interval was different.
    calm: bool,
}

/// What an announcement timer says when it fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fired {
    Announce,
    Suppressed,
}

impl Trickle {
    pub(crate) fn new(config: &Config, now: Duration, rng: &mut impl Rng) -> Trickle {
        let mut trickle = Trickle {
            interval: config.interval_min,
            end: now,
            fire: None,
            late: now,
            equal: 0,
            any: 0,
            suppressed: 0,
            lowest: None,
            calm: false,
        };
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

    /// Announcements left out since start, because enough was heard.
    pub(crate) fn suppressed(&self) -> u64 {
        self.suppressed
    }

    pub(crate) fn tick(&mut self, config: &Config, now: Duration, rng: &mut impl Rng) -> Option<Fired> {
        if self.fire.is_some_and(|fire| fire <= now) {
            self.fire = None;
            let nearly = now >= self.late && self.any + 1 >= config.redundancy_any.max(2);
            if self.enough(config) || nearly {
                self.suppressed += 1;
                return Some(Fired::Suppressed);
            }
            // One's own counts as heard.
            self.count(config, now, true);
            return Some(Fired::Announce);
        }
        if self.end <= now {
            self.interval = (self.interval * 2).min(config.interval_max);
            self.begin(config, now, rng);
        }
        None
    }

    /// A valid announcement came in; `equal` if it says what this node would.
    pub(crate) fn heard(&mut self, config: &Config, now: Duration, equal: bool, salt: Salt) {
        self.note(salt, false);
        self.count(config, now, equal);
    }

    /// One's own announcement has left.
    pub(crate) fn announced(&mut self, salt: Salt) {
        self.note(salt, true);
    }

    fn note(&mut self, salt: Salt, own: bool) {
        if self.lowest.is_none_or(|(lowest, _)| salt.0 < lowest.0) {
            self.lowest = Some((salt, own));
        }
    }

    fn count(&mut self, config: &Config, now: Duration, equal: bool) {
        let before = self.enough(config);
        self.any = self.any.saturating_add(1);
        self.equal = self.equal.saturating_add(u32::from(equal));
        if !before && self.enough(config) {
            let rest = if self.calm && self.differed() == 0 { CALM_REST } else { REST };
            self.end = now + self.interval.mul_f64(rest);
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

    /// Other settings are in force: a new interval, as long as the present one if they allow it.
    pub(crate) fn reconfigured(&mut self, config: &Config, now: Duration, rng: &mut impl Rng) {
        self.interval = self.interval.clamp(config.interval_min, config.interval_max);
        self.begin(config, now, rng);
    }

    fn enough(&self, config: &Config) -> bool {
        self.equal >= config.redundancy || self.any >= config.redundancy_any
    }

    fn differed(&self) -> u32 {
        self.any - self.equal
    }

    fn begin(&mut self, config: &Config, now: Duration, rng: &mut impl Rng) {
        let backoff = (1.0 - LISTEN) * truncated_exponential(config.network_size, rng);
        self.calm = self.any > 0 && self.differed() == 0;
        let leads = self.calm && self.lowest.take().is_some_and(|(_, own)| own);
        self.fire = Some(now + self.interval.mul_f64(if leads { LEAD } else { LISTEN + backoff }));
        self.late = now + self.interval.mul_f64(LATE);
        self.end = now + self.interval;
        self.lowest = None;
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

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const START: Duration = Duration::from_secs(100);

    fn run_to_end(trickle: &mut Trickle, config: &Config, rng: &mut ChaCha8Rng) {
        while trickle.fire.is_some() {
            trickle.tick(config, trickle.deadline(), rng);
        }
        trickle.tick(config, trickle.end, rng);
    }

    #[test]
    fn intervals_double_up_to_the_longest_and_a_reset_starts_over() {
        let (config, mut rng) = (Config::default(), ChaCha8Rng::seed_from_u64(1));
        let mut trickle = Trickle::new(&config, START, &mut rng);
        for expected in [30, 60, 120, 240, 240] {
            assert_eq!(trickle.interval(), Duration::from_secs(expected));
            run_to_end(&mut trickle, &config, &mut rng);
        }
        trickle.reset(&config, START * 10, &mut rng);
        assert_eq!(trickle.interval(), config.interval_min);
        assert!(trickle.deadline() > START * 10, "it never announces at once");
    }

    #[test]
    fn enough_heard_suppresses() {
        let (config, mut rng) = (Config::default(), ChaCha8Rng::seed_from_u64(2));
        for (equal, different, expected) in
            [(0, 0, Fired::Announce), (1, 0, Fired::Suppressed), (0, 1, Fired::Announce), (0, 3, Fired::Suppressed)]
        {
            let mut trickle = Trickle::new(&config, START, &mut rng);
            (0..equal).for_each(|_| trickle.heard(&config, START, true, Salt(1)));
            (0..different).for_each(|_| trickle.heard(&config, START, false, Salt(2)));
            let fired = trickle.fire.and_then(|fire| trickle.tick(&config, fire, &mut rng));
            assert_eq!(fired, Some(expected));
        }
    }

    /// Runs through an interval in which one's own announcement has this salt, and others' these; when the next one's fires.
    fn next_fire(own: Salt, others: &[(bool, Salt)]) -> f64 {
        let (config, mut rng) = (Config::default(), ChaCha8Rng::seed_from_u64(4));
        let mut trickle = Trickle::new(&config, START, &mut rng);
        let fire = trickle.deadline();
        assert_eq!(trickle.tick(&config, fire, &mut rng), Some(Fired::Announce));
        trickle.announced(own);
        others.iter().for_each(|(equal, salt)| trickle.heard(&config, fire, *equal, *salt));
        let end = trickle.deadline();
        assert_eq!(trickle.tick(&config, end, &mut rng), None);
        (trickle.deadline() - end).div_duration_f64(trickle.interval())
    }

    #[test]
    fn one_of_those_that_announced_goes_first_while_all_is_equal() {
        let leads = |own: u64, others: &[(bool, Salt)]| (next_fire(Salt(own), others) - LEAD).abs() < 1e-9;
        assert!(leads(5, &[]) && leads(5, &[(true, Salt(6)), (true, Salt(7))]));
        assert!(!leads(5, &[(true, Salt(4))]), "another has the lowest salt");
        assert!(!leads(5, &[(false, Salt(6))]), "something differs");
        assert!(next_fire(Salt(5), &[(true, Salt(4))]) >= LISTEN);
    }

    #[test]
    fn late_in_an_interval_one_fewer_is_enough() {
        let (config, mut rng) = (Config::default(), ChaCha8Rng::seed_from_u64(5));
        let mut trickle = Trickle::new(&config, START, &mut rng);
        (0..2).for_each(|salt| trickle.heard(&config, START, false, Salt(salt)));
        let (early, late) = (trickle.late - Duration::from_millis(1), trickle.late);
        trickle.fire = Some(early);
        assert_eq!(trickle.clone().tick(&config, early, &mut rng), Some(Fired::Announce));
        assert_eq!(trickle.tick(&config, late, &mut rng), Some(Fired::Suppressed));
    }

    #[test]
    fn most_timers_are_late() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let drawn: Vec<f64> = (0..10_000).map(|_| truncated_exponential(10_000, &mut rng)).collect();
        assert!(drawn.iter().all(|x| (0.0..=1.0).contains(x)));
        // By RFC 5401 one in 10,000 is in the first tenth, or two; half are in the last fifteenth.
        assert!(drawn.iter().filter(|x| **x < 0.1).count() <= 8);
        assert!(drawn.iter().filter(|x| **x > 1.0 - 1.0 / 15.0).count() > 4500);
    }
}
