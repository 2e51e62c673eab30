//! Lists of nodes in DNS, read again and again.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::SetupError;
use crate::config::DiscoveryConfig;
use crate::discovery::{DnsLists, FoundPeer};

/// Pause after no list could be read.
const RETRY: Duration = Duration::from_secs(60);

/// Starts to read the lists, if there are any. Dropped, it ends.
pub(crate) fn read_lists(config: &DiscoveryConfig, found: mpsc::Sender<FoundPeer>) -> Result<JoinSet<()>, SetupError> {
    let mut tasks = JoinSet::new();
    if !config.dns.is_empty() {
        let lists = DnsLists::new(config.dns_server).map_err(SetupError::new)?;
        tasks.spawn(read(lists, config.clone(), found));
    }
    Ok(tasks)
}

async fn read(mut lists: DnsLists, config: DiscoveryConfig, found: mpsc::Sender<FoundPeer>) {
    loop {
        let (peers, errors) = lists.read(&config.dns).await;
        for error in &errors {
            tracing::warn!(%error, "a list of nodes cannot be read in full");
        }
        tracing::info!("{} nodes found in lists", peers.len());
        let pause = if peers.is_empty() { RETRY.min(config.dns_interval) } else { config.dns_interval };
        for peer in peers {
            if found.send(peer).await.is_err() {
                return;
            }
        }
        sleep(pause).await;
    }
}
