//! What a peer's behaviour costs it.
use std::time::Duration;

use crate::{Limits, Offence};

/// Points from which a peer is muted.
const MUTE_AT: u32 = 8;
/// One point is forgiven each so long. An honest peer collects none but by stalling, and then few.
const FORGIVE: Duration = Duration::from_secs(600);
/// First rest after something failed that nobody need be blamed for; doubles each time.
const FIRST_REST: Duration = Duration::from_secs(1);
/// Longest rest.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// A peer's record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Penalty {
    points: u32,
    since: Duration,
    failures: u32,
    /// Deliveries that stalled in the middle since the last one that was complete.
    stalls: u32,
    rest_until: Duration,
    muted_until: Duration,
}

impl Penalty {
    /// Counts an offence; true if it mutes the peer.
    pub(crate) fn offend(&mut self, offence: Offence, limits: &Limits, now: Duration) -> bool {
        self.forgive(now);
        self.points += weight(offence);
        self.rest(now);
        let muted = self.points >= MUTE_AT;
        if muted {
            self.points = 0;
            self.muted_until = now + limits.mute;
        }
        muted
    }

    /// Something failed: leave the peer alone for a while. What was asked before that and fails as well does not make it longer.
    pub(crate) fn fail(&mut self, now: Duration) {
        if now >= self.rest_until {
            self.rest(now);
        }
    }

    fn rest(&mut self, now: Duration) {
        let rest = FIRST_REST.saturating_mul(1 << self.failures.min(6)).min(LONGEST_REST);
        self.failures = self.failures.saturating_add(1);
        self.rest_until = self.rest_until.max(now + rest);
    }

    /// A promised delivery stalled in the middle; true if that is a promise broken: once it may be overload, but who does it
    /// again before it has kept one keeps ranges from being asked elsewhere.
    pub(crate) fn stalled(&mut self) -> bool {
        self.stalls += 1;
        let broken = self.stalls > 1;
        if broken {
            self.stalls = 0;
        }
        broken
    }

    /// A promised delivery came completely.
    pub(crate) fn kept(&mut self) {
        self.stalls = 0;
    }

    /// Something went well.
    pub(crate) fn succeed(&mut self) {
        self.failures = 0;
    }

    pub(crate) fn muted(&self, now: Duration) -> bool {
        now < self.muted_until
    }

    /// Whether the peer may be asked.
    pub(crate) fn may_ask(&self, now: Duration) -> bool {
        !self.muted(now) && now >= self.rest_until
    }

    /// When the mute ends, if it is on.
    pub(crate) fn muted_until(&self, now: Duration) -> Option<Duration> {
        self.muted(now).then_some(self.muted_until)
    }

    pub(crate) fn points(&self) -> u32 {
        self.points
    }

    /// Nothing left worth remembering.
    pub(crate) fn clean(&self, now: Duration) -> bool {
        self.points == 0 && !self.muted(now)
    }

    fn forgive(&mut self, now: Duration) {
        let forgiven = now.saturating_sub(self.since).as_secs() / FORGIVE.as_secs();
        if forgiven > 0 {
            self.points = self.points.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
            self.since = now;
        }
        if self.points == 0 {
            self.since = now;
        }
    }
}

/// What cannot happen to an honest peer weighs most. One that lost what was not durable breaks a promise or two.
fn weight(offence: Offence) -> u32 {
    match offence {
        Offence::Garbage | Offence::Nonsense | Offence::Unasked => 4,
        Offence::BrokenPromise => 3,
        Offence::Flood => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lies_mute_for_a_while() {
        let (limits, mut now) = (Limits::default(), Duration::from_secs(10));
        let mut penalty = Penalty::default();
        assert!(!penalty.offend(Offence::Nonsense, &limits, now));
        assert!(!penalty.may_ask(now) && !penalty.muted(now));
        now += Duration::from_secs(300);
        assert!(penalty.may_ask(now));
        assert!(penalty.offend(Offence::Unasked, &limits, now));
        assert!(penalty.muted(now) && !penalty.muted(now + limits.mute));
    }

    #[test]
    fn points_are_forgiven_and_failures_only_rest() {
        let limits = Limits::default();
        let mut penalty = Penalty::default();
        for hour in 0..20 {
            assert!(!penalty.offend(Offence::BrokenPromise, &limits, Duration::from_secs(hour * 3600)));
        }
        let now = Duration::from_secs(100_000);
        for minute in 0..20 {
            penalty.fail(now + minute * LONGEST_REST);
        }
        let now = now + 19 * LONGEST_REST;
        assert!(!penalty.muted(now) && !penalty.may_ask(now + LONGEST_REST / 2) && penalty.may_ask(now + LONGEST_REST));
    }

    #[test]
    fn what_fails_together_is_one_failure() {
        let mut penalty = Penalty::default();
        let now = Duration::from_secs(10);
        for _ in 0..40 {
            penalty.fail(now);
        }
        assert!(!penalty.may_ask(now) && penalty.may_ask(now + FIRST_REST));
        penalty.fail(now + FIRST_REST);
        assert!(!penalty.may_ask(now + FIRST_REST * 2) && penalty.may_ask(now + FIRST_REST * 3));
    }
}
