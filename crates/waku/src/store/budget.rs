use std::collections::BTreeMap;
use std::time::Duration;

/// Peers that are remembered; beyond them, those whose budget is full again are forgotten.
const REMEMBERED: usize = 1024;

/// How many requests each peer may make: so many a second, with a burst (a token bucket a peer).
///
/// Peers are named by anything that has an order; time is any clock that does not go back.
#[derive(Debug)]
pub struct RequestBudget<P> {
    rate: f64,
    burst: f64,
    peers: BTreeMap<P, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: f64,
    at: Duration,
}

impl<P: Clone + Ord> RequestBudget<P> {
    /// `rate` requests a second, `burst` at once.
    pub fn new(rate: u32, burst: u32) -> RequestBudget<P> {
        RequestBudget { rate: f64::from(rate), burst: f64::from(burst.max(1)), peers: BTreeMap::new() }
    }

    /// Whether the peer may make a request `now`; it counts as made.
    pub fn take(&mut self, peer: &P, now: Duration) -> bool {
        if self.peers.len() >= REMEMBERED && !self.peers.contains_key(peer) {
            self.forget(now);
        }
        let (rate, burst) = (self.rate, self.burst);
        let bucket = self.peers.entry(peer.clone()).or_insert(Bucket { level: burst, at: now });
        *bucket = bucket.filled(rate, burst, now);
        let allowed = bucket.level >= 1.0;
        if allowed {
            bucket.level -= 1.0;
        }
        allowed
    }

    /// Forgets whoever would be treated the same if it was new; if that is nobody, whoever may make most requests.
    fn forget(&mut self, now: Duration) {
        let (rate, burst) = (self.rate, self.burst);
        self.peers.retain(|_, bucket| bucket.filled(rate, burst, now).level < burst);
        let fullest = self.peers.iter().max_by(|(_, a), (_, b)| a.level.total_cmp(&b.level));
        if self.peers.len() >= REMEMBERED
            && let Some(fullest) = fullest.map(|(peer, _)| peer.clone())
        {
            self.peers.remove(&fullest);
        }
    }
}

impl Bucket {
    fn filled(self, rate: f64, burst: f64, now: Duration) -> Bucket {
        let since = now.saturating_sub(self.at).as_secs_f64();
        Bucket { level: (self.level + since * rate).min(burst), at: now.max(self.at) }
    }
}
