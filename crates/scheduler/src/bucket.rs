//! Token buckets: so much a second, with a burst.
use std::time::Duration;

/// A token bucket. Starts full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    level: f64,
    at: Duration,
}

/// What a bucket is filled with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Tokens a second.
    pub(crate) per_second: f64,
    /// Tokens at most.
    pub(crate) burst: f64,
}

impl Bucket {
    pub(crate) fn full(rate: Rate, now: Duration) -> Bucket {
        Bucket { level: rate.burst, at: now }
    }

    /// What is in it now; negative while in debt.
    pub(crate) fn level(&mut self, rate: Rate, now: Duration) -> f64 {
        let elapsed = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.level = (self.level + elapsed * rate.per_second).min(rate.burst);
        self.level
    }

    /// Takes `tokens` if they are there.
    pub(crate) fn take(&mut self, tokens: f64, rate: Rate, now: Duration) -> bool {
        let enough = self.level(rate, now) >= tokens;
        if enough {
            self.level -= tokens;
        }
        enough
    }

    /// Takes what has been used already; may leave a debt.
    pub(crate) fn charge(&mut self, tokens: f64) {
        self.level -= tokens;
    }

    /// The same, but what is not there is not owed.
    pub(crate) fn drain(&mut self, tokens: f64) {
        self.level = (self.level - tokens).max(0.0);
    }
}

/// A cap of so many bytes a second, with a burst of ten seconds' worth; 0: none.
#[expect(clippy::cast_precision_loss, reason = "rates need no precision")]
pub(crate) fn cap_rate(cap: u64) -> Rate {
    let per_second = if cap == 0 { 1e15 } else { cap as f64 };
    Rate { per_second, burst: per_second * 10.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_up_to_the_burst_and_may_be_in_debt() {
        let rate = Rate { per_second: 2.0, burst: 10.0 };
        let mut bucket = Bucket::full(rate, Duration::ZERO);
        assert!(bucket.take(10.0, rate, Duration::ZERO));
        assert!(!bucket.take(1.0, rate, Duration::ZERO));
        assert!(bucket.take(1.0, rate, Duration::from_secs(1)));
        bucket.charge(9.0);
        assert!(bucket.level(rate, Duration::from_secs(1)) < 0.0);
        assert!((bucket.level(rate, Duration::from_secs(100)) - 10.0).abs() < 1e-9);
        bucket.drain(11.0);
        assert!(bucket.take(2.0, rate, Duration::from_secs(101)));
    }
}
