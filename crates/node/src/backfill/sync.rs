//! By sync: anti-entropy over one connection, in a time in which the range asked for has just settled.

use std::time::Duration;

use hearken::{AntiEntropy, Commands, Config, Host};
use libp2p::gossipsub;
use libp2p_stream::Control;
use tokio::time::{Instant, sleep};

use super::{Backfill, BackfillError, Fetched, nanos};
use crate::network::Client;

/// How often the state is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Without progress for so long, the node is asked no more.
const STALLED: Duration = Duration::from_secs(15);
/// Windows are multiples of this.
const GRID: Duration = Duration::from_secs(1);
/// Between two looks at whether all is equal now.
const INTERVAL: Duration = Duration::from_secs(1);

impl Backfill {
    /// Anti-entropy of exactly this range; `None` where it is too short for one.
    pub(super) fn spawn(
        &self,
        control: Control,
        gossipsub: &gossipsub::Config,
    ) -> Result<Option<(AntiEntropy, Commands)>, BackfillError> {
        let window = Duration::from_secs((self.to - self.from).div_ceil(nanos(GRID)) + 1);
        if window < GRID * 10 {
            return Ok(None);
        }
        let engine = hearken_scheduler::Config {
            interval_min: INTERVAL,
            interval_max: INTERVAL,
            announce: false,
            // The range is history: nothing of it travels any more, and the clock stands still at its end.
            settle_delay: Duration::ZERO,
            horizon_grid: GRID,
            window,
            network_size: 2,
            ..self.sync.clone()
        };
        let now = self.to.next_multiple_of(nanos(GRID));
        let clock = std::sync::Arc::new(move || now);
        let config = Config { engine, limits: self.limits.clone(), ..Config::default() };
        let host = Host { control, gossipsub, committer: None, clock };
        Ok(Some(AntiEntropy::spawn(config, self.archive.clone(), host)?))
    }

    /// Waits until all that the node keeps of the range is here as well. Returns from when on it keeps it: the end of the range if
    /// it keeps nothing of it.
    pub(super) async fn by_sync(&self, client: &Client, sync: &AntiEntropy, fetched: &mut Fetched) -> u64 {
        let mut last = (Instant::now(), sync.status());
        let covered_from = loop {
            let (status, report) = (sync.status(), sync.report().await);
            if status != last.1 {
                last = (Instant::now(), status);
            }
            let Some(report) = report else { break self.to };
            let holds = |id| {
                let peers = report.peers.iter().flat_map(|peer| &peer.groups);
                peers.filter(|group| group.id == id).find_map(|group| group.holds)
            };
            let done = report.groups.iter().all(|group| group.equal_ago.is_some() && group.differences == 0);
            // Every group counts: the one of which the node keeps least.
            let from = report.groups.iter().map(|group| holds(group.id).map_or(self.to, |window| window.from)).max();
            let from = from.unwrap_or(self.to).clamp(self.from, self.to);
            if done {
                break from;
            }
            let answered = report.groups.iter().all(|group| holds(group.id).is_some());
            if answered && from >= self.to {
                break self.to;
            }
            if last.0.elapsed() >= STALLED || client.gone().is_some() {
                tracing::info!("sync with the node does not get on");
                break self.to;
            }
            sleep(LOOK).await;
        };
        let status = sync.status();
        (fetched.by_sync, fetched.refused) = (status.repaired, fetched.refused + status.refused);
        covered_from
    }
}
