use std::net::Ipv4Addr;
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use crate::config::{Bound, Config, GroupConfig, Listen};
use crate::trace::Trace;

/// How far the window reaches beyond the trace: the live part, and some slack.
const MARGIN: Duration = Duration::from_secs(3600);

/// The settings of the demonstration's nodes: short times, so that there is something to see, and a window that covers the
/// trace.
pub(super) fn config(trace: &Trace, nodes: usize) -> Config {
    let (oldest, newest) = trace.bounds();
    let mut config = Config {
        groups: vec![GroupConfig::whole(&trace.pubsub_topic)],
        listen: vec![Multiaddr::from(Ipv4Addr::LOCALHOST).with(Protocol::Tcp(0))],
        ..Config::default()
    };
    config.api.listen = Listen::Off;
    config.archive.retention = Bound::Unlimited;
    config.sync.window = Duration::from_secs((newest - oldest) / 1_000_000_000) + MARGIN;
    config.sync.settle_delay = Duration::from_secs(2);
    config.sync.horizon_grid = Duration::from_secs(1);
    config.sync.interval_min = Duration::from_secs(1);
    config.sync.interval_max = Duration::from_secs(5);
    config.sync.network_size = u32::try_from(nodes).unwrap_or(u32::MAX);
    config
}

/// What the nodes' clock shows when they go online, in nanoseconds since the Unix epoch: the trace has just ended and settled.
pub(super) fn online_at(trace: &Trace, config: &Config) -> u64 {
    let settled = config.sync.settle_delay + config.sync.horizon_grid;
    trace.bounds().1 + u64::try_from(settled.as_nanos()).unwrap_or_default()
}
