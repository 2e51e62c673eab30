use std::collections::BTreeMap;
use std::time::Duration;

use hearken_scheduler::Offence;
use libp2p::PeerId;
use tokio::time::Instant;

/// Half of an offence is forgotten in this time.
const HALF_LIFE: Duration = Duration::from_secs(600);
/// No score is lower. With gossipsub's usual weight of 10 for the application score this is below every threshold.
const LOWEST: f64 = -10.0;
/// Below this an offence counts as forgotten.
const FORGOTTEN: f64 = 0.05;

/// What the peers' offences are worth as gossipsub application score.
#[derive(Debug, Default)]
pub(crate) struct Scores {
    /// Score of those who have one, and when it was worth that. Entries fade, so their number is bounded by the offences of
    /// about an hour and a half.
    peers: BTreeMap<PeerId, (f64, Instant)>,
}

impl Scores {
    /// Takes note of an offence; returns the peer's score.
    pub(crate) fn blame(&mut self, peer: PeerId, offence: Offence, now: Instant) -> f64 {
        let (score, at) = self.peers.entry(peer).or_insert((0.0, now));
        *score = (faded(*score, now.saturating_duration_since(*at)) - weight(offence)).max(LOWEST);
        *at = now;
        *score
    }

    /// The scores as they have faded; the last that is said of a peer is 0.
    pub(crate) fn fade(&mut self, now: Instant) -> Vec<(PeerId, f64)> {
        let mut scores = Vec::with_capacity(self.peers.len());
        self.peers.retain(|peer, (score, at)| {
            let score = faded(*score, now.saturating_duration_since(*at));
            let kept = score <= -FORGOTTEN;
            scores.push((*peer, if kept { score } else { 0.0 }));
            kept
        });
        scores
    }
}

fn faded(score: f64, after: Duration) -> f64 {
    score * 0.5_f64.powf(after.as_secs_f64() / HALF_LIFE.as_secs_f64())
}

/// With gossipsub's usual weight of 10, one garbled stream takes a peer to the threshold for gossip (-10), and five to that
/// for publishing (-50).
fn weight(offence: Offence) -> f64 {
    match offence {
        Offence::Garbage | Offence::Nonsense | Offence::Flood => 1.0,
        Offence::Unasked => 2.0,
        Offence::BrokenPromise => 0.5,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offences_add_up_to_a_floor_and_fade() {
        let (mut scores, peer, start) = (Scores::default(), PeerId::random(), Instant::now());
        assert!((scores.blame(peer, Offence::Garbage, start) + 1.0).abs() < 1e-9);
        assert!((scores.blame(peer, Offence::Garbage, start + HALF_LIFE) + 1.5).abs() < 1e-9);
        for _ in 0..20 {
            scores.blame(peer, Offence::Unasked, start + HALF_LIFE);
        }
        let faded = scores.fade(start + 2 * HALF_LIFE);
        assert!(matches!(faded[..], [(who, score)] if who == peer && (score - LOWEST / 2.0).abs() < 1e-9));
        assert_eq!(scores.fade(start + 20 * HALF_LIFE), [(peer, 0.0)]);
        assert_eq!(scores.fade(start + 20 * HALF_LIFE), []);
    }
}
