//! What an operator can set. Every field has a default that suits a node among thousands.
use std::time::Duration;

use hearken_tree::GroupId;
use serde::{Deserialize, Serialize};

/// How the engine behaves in all groups.
///
/// Durations are written as `"30s"` or `"5m"`. [`Config::validate`] tells what cannot work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Shortest interval between announcements, network-wide, while stores differ. Lower: news spreads faster; cost grows
    /// in proportion. Default 30 s: about the settle delay, below which there is nothing new to compare.
    #[serde(with = "humantime_serde")]
    pub interval_min: Duration,
    /// Longest interval, reached by doubling while stores are equal (RFC 6206, section 4.2). Higher: quieter when equal; a
    /// difference that no probe meets is noticed later. Default 4 minutes: three doublings.
    #[serde(with = "humantime_serde")]
    pub interval_max: Duration,
    /// An announcement is suppressed after so many equal ones in an interval (k of RFC 6206). Higher: survives lost
    /// announcements better; cost grows in proportion. Default 1: the topic is already redundant.
    pub redundancy: u32,
    /// An announcement is suppressed after so many in an interval, whatever they say. Under steady loss every store
    /// differs a little and all would announce. Higher: more views of what exists per interval, more cost. Default 3: with 4,
    /// 200 nodes under a steady loss of 1 % make up to 7 in an interval and repair no sooner.
    pub redundancy_any: u32,
    /// Nodes in the network, roughly; shapes the timers (gsize of RFC 5401, section 3.3.1). Too low: several announce at
    /// once; too high: small networks announce later in their interval. Default 10,000, as in RFC 5740.
    pub network_size: u32,
    /// Publish announcements. Off: the node only listens, probes and serves. Default on.
    pub announce: bool,
    /// Messages younger than this still travel and are not compared. Lower: repair starts sooner, but asks for messages
    /// that gossip would have brought. Default 30 s: Waku messages travel for some seconds, clocks differ by some more.
    #[serde(with = "humantime_serde")]
    pub settle_delay: Duration,
    /// Horizons are multiples of this, so that nodes that announce at about the same time compare the same. Lower:
    /// younger messages are compared, whole windows are comparable less often. Default 10 s.
    #[serde(with = "humantime_serde")]
    pub horizon_grid: Duration,
    /// How far back groups are kept equal unless they say otherwise. Longer: nodes that were away longer become whole;
    /// summaries get coarser. Default 1 hour.
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// Bytes of an announcement at most. Higher: differences are narrowed down further before asking; each announcement
    /// goes to everyone. Default 1 KiB: fits one packet, and about 60 spans.
    pub summary_budget: usize,
    /// A probe is sent after so long without a live message. Shorter: a silent gossip mesh is noticed sooner; quiet groups
    /// probe more. `0s` switches it off. Default 5 minutes.
    #[serde(with = "humantime_serde")]
    pub idle_trigger: Duration,
    /// Probe the first neighbour after start. Off: a node waits for its first interval. Default on.
    pub sync_on_boot: bool,
    /// Probe a neighbour that connects later. Off: rejoining parts wait for the next interval. Default on.
    pub sync_on_reconnect: bool,
    /// Probe one random neighbour each interval. Off: nothing but announcements, which can be forged, suppressed or kept
    /// away, shows that something is missing. Default on.
    pub probe: bool,
    /// Bounds on what peers can make this node do and hold.
    pub limits: Limits,
}

/// Bounds. The defaults let an honest peer work unhindered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// How far an announcement's horizon may be from one's own. Lower: clocks have to agree better; higher: older replays
    /// get in. Default 90 s: two clocks 30 s off in opposite directions, and time to travel.
    #[serde(with = "humantime_serde")]
    pub horizon_tolerance: Duration,
    /// Announcements forwarded per second, shared equally among neighbours. Default 4.
    pub forward_rate: u32,
    /// Differences, by count and two for each range, up to which announcements, which may be forged, are followed at once in
    /// each `interval_min`; above, a neighbour is probed first. Higher: one round trip less after large losses; forged
    /// announcements cost up to 5 bytes per difference. Default 16,384: at most 80 kB in each interval.
    pub hint_differences: u64,
    /// Ranges being pursued in a group. What does not fit is found again later. Default 4,096.
    pub tasks: usize,
    /// Messages in a range from which it pays to ask another peer at the same time. Default 512.
    pub share: u64,
    /// Bytes of one request; more ranges go into further requests. Default 64 KiB; a single range
    /// that differs much may take 128 KiB more, which together fits the protocol's 256 KiB.
    pub request_bytes: usize,
    /// Without progress for so long a request is given up and asked elsewhere. Default 10 s.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// Delivered but not yet stored bytes, from which no new request is sent; at twice as much, transfers are cancelled.
    /// The driver should stop reading messages above it. Default 32 MiB.
    pub unadmitted_bytes: usize,
    /// Delivered but not yet stored bytes of one peer, from which it is asked for no more. Default 16 MiB.
    pub unadmitted_per_peer: usize,
    /// Requests served at a time, to all. More are `Busy`. Default 64.
    pub serving: usize,
    /// Requests served at a time, to one peer, and sent to one peer at a time. Default 32: sketches for 300,000
    /// differences in one round trip.
    pub serving_per_peer: usize,
    /// Requests a second from one peer, with a burst of ten seconds' worth. Default 10.
    pub requests_rate: u32,
    /// Cost units a second for one peer (a unit is about a nanosecond), with a burst of a minute's worth. Default 50,000,000.
    pub cost_rate: u64,
    /// Cost units for one request. Default 1,000,000,000.
    pub request_cost: u64,
    /// Message bytes a second served to one peer, over the long run, with a burst of 60 seconds' worth. Default 16 MiB.
    pub bytes_rate: u64,
    /// Message bytes a second served to all peers together, over the long run, with a burst of 10 seconds' worth. Lower: others
    /// are repaired from here more slowly. Default 0: no cap.
    pub upload_rate: u64,
    /// Message bytes a second asked for from all peers together, over the long run, with a burst of 10 seconds' worth; what has
    /// been asked for comes all the same. Lower: repairs leave more of the link to live traffic, and take longer. Default 0: no cap.
    pub download_rate: u64,
    /// How long a peer that broke the protocol again and again is neither asked nor served. Default 1 hour.
    #[serde(with = "humantime_serde")]
    pub mute: Duration,
    /// How long a peer is left alone that does not speak the protocol or has not joined a group. Default 10 minutes.
    #[serde(with = "humantime_serde")]
    pub unsupported: Duration,
}

/// One set of messages to keep equal with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// Its name.
    pub id: GroupId,
    /// How far back from the horizon it is kept equal.
    pub window: Duration,
    /// How far back from now the archive keeps messages: at least `window`, settle delay, longest interval and two grid steps.
    pub retention: Duration,
    /// Nothing before this time is kept, whatever the retention: nanoseconds since the Unix epoch. An archive bounded by size
    /// drops more than its retention asks for; [`Event::KeptFrom`](crate::Event::KeptFrom) raises this.
    pub kept_from: u64,
}

/// Settings that cannot work together, and what would.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// A setting must be above zero.
    #[error("`{0}` must be more than zero")]
    Zero(&'static str),
    /// `interval_max` is shorter than `interval_min`.
    #[error("`interval_max` ({max:?}) must not be shorter than `interval_min` ({min:?})")]
    Intervals {
        /// `interval_min`
        min: Duration,
        /// `interval_max`
        max: Duration,
    },
    /// `redundancy_any` is less than `redundancy`.
    #[error("`redundancy_any` ({any}) must be at least `redundancy` ({equal})")]
    Redundancy {
        /// `redundancy`
        equal: u32,
        /// `redundancy_any`
        any: u32,
    },
    /// The horizon would never move over a message in time.
    #[error("`horizon_grid` ({grid:?}) must be whole seconds and at most a tenth of `window` ({window:?})")]
    Grid {
        /// `horizon_grid`
        grid: Duration,
        /// The window.
        window: Duration,
    },
    /// The summary does not fit.
    #[error("`summary_budget` is {0} bytes; it must be from 128 to 65536: a head takes 60, each span about 15")]
    Budget(usize),
    /// What is compared would be dropped before neighbours have seen it.
    #[error(
        "retention ({retention:?}) must be at least {needed:?}: `window`, `settle_delay`, `interval_max` and twice `horizon_grid`"
    )]
    Retention {
        /// What was given.
        retention: Duration,
        /// What it takes.
        needed: Duration,
    },
    /// Announcements of nodes whose clocks are right would be ignored.
    #[error(
        "`limits.horizon_tolerance` ({tolerance:?}) must be at least twice `horizon_grid` ({grid:?}): horizons are that far apart anyway"
    )]
    Tolerance {
        /// `limits.horizon_tolerance`
        tolerance: Duration,
        /// `horizon_grid`
        grid: Duration,
    },
    /// A duration that nothing lasts.
    #[error("`{name}` ({value:?}) must be at most ten years")]
    TooLong {
        /// Which setting.
        name: &'static str,
        /// Its value.
        value: Duration,
    },
    /// A group is named twice.
    #[error("group {0} is configured twice")]
    Twice(GroupId),
}

/// Longer than anything that is set here, and short enough to be added and doubled.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);

impl Default for Config {
    fn default() -> Config {
        Config {
            interval_min: Duration::from_secs(30),
            interval_max: Duration::from_secs(240),
            redundancy: 1,
            redundancy_any: 3,
            network_size: 10_000,
            announce: true,
            settle_delay: Duration::from_secs(30),
            horizon_grid: Duration::from_secs(10),
            window: Duration::from_secs(3600),
            summary_budget: 1024,
            idle_trigger: Duration::from_secs(300),
            sync_on_boot: true,
            sync_on_reconnect: true,
            probe: true,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            horizon_tolerance: Duration::from_secs(90),
            forward_rate: 4,
            hint_differences: 16_384,
            tasks: 4096,
            share: 512,
            request_bytes: 64 << 10,
            request_timeout: Duration::from_secs(10),
            unadmitted_bytes: 32 << 20,
            unadmitted_per_peer: 16 << 20,
            serving: 64,
            serving_per_peer: 32,
            requests_rate: 10,
            cost_rate: 50_000_000,
            request_cost: 1_000_000_000,
            bytes_rate: 16 << 20,
            upload_rate: 0,
            download_rate: 0,
            mute: Duration::from_secs(3600),
            unsupported: Duration::from_secs(600),
        }
    }
}

impl Config {
    /// Refuses what cannot work, with the reason.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        self.check_durations()?;
        if let Some((name, _)) = self.counts().iter().find(|(_, value)| *value == 0) {
            return Err(InvalidConfig::Zero(name));
        }
        if self.interval_max < self.interval_min {
            return Err(InvalidConfig::Intervals { min: self.interval_min, max: self.interval_max });
        }
        if self.redundancy_any < self.redundancy {
            return Err(InvalidConfig::Redundancy { equal: self.redundancy, any: self.redundancy_any });
        }
        if !(128..=65536).contains(&self.summary_budget) {
            return Err(InvalidConfig::Budget(self.summary_budget));
        }
        self.check_grid(self.window)?;
        let (tolerance, grid) = (self.limits.horizon_tolerance, self.horizon_grid);
        if tolerance < grid * 2 {
            return Err(InvalidConfig::Tolerance { tolerance, grid });
        }
        Ok(())
    }

    /// Those that must be above zero, and all that must end some day.
    fn check_durations(&self) -> Result<(), InvalidConfig> {
        let limits = &self.limits;
        let needed = [
            ("interval_min", self.interval_min),
            ("interval_max", self.interval_max),
            ("horizon_grid", self.horizon_grid),
            ("window", self.window),
            ("limits.request_timeout", limits.request_timeout),
        ];
        if let Some((name, _)) = needed.iter().find(|(_, value)| value.is_zero()) {
            return Err(InvalidConfig::Zero(name));
        }
        let others = [
            ("settle_delay", self.settle_delay),
            ("idle_trigger", self.idle_trigger),
            ("limits.horizon_tolerance", limits.horizon_tolerance),
            ("limits.mute", limits.mute),
            ("limits.unsupported", limits.unsupported),
        ];
        match needed.into_iter().chain(others).find(|(_, value)| *value > LONGEST) {
            Some((name, value)) => Err(InvalidConfig::TooLong { name, value }),
            None => Ok(()),
        }
    }

    /// Numbers without which nothing works: at zero nothing would be announced, forwarded, asked, or served.
    fn counts(&self) -> [(&'static str, u64); 12] {
        let limits = &self.limits;
        let count = |count: usize| count as u64;
        [
            ("redundancy", self.redundancy.into()),
            ("network_size", self.network_size.into()),
            ("limits.forward_rate", limits.forward_rate.into()),
            ("limits.tasks", count(limits.tasks)),
            ("limits.request_bytes", count(limits.request_bytes)),
            ("limits.unadmitted_bytes", count(limits.unadmitted_bytes)),
            ("limits.unadmitted_per_peer", count(limits.unadmitted_per_peer)),
            ("limits.serving", count(limits.serving)),
            ("limits.serving_per_peer", count(limits.serving_per_peer)),
            ("limits.requests_rate", limits.requests_rate.into()),
            ("limits.cost_rate", limits.cost_rate.min(limits.request_cost)),
            ("limits.bytes_rate", limits.bytes_rate),
        ]
    }

    /// The shortest retention that a window of this length needs.
    pub fn retention_for(&self, window: Duration) -> Duration {
        window + self.settle_delay + self.interval_max + self.horizon_grid * 2
    }

    /// A group with the default window and the retention that it needs.
    pub fn group(&self, id: GroupId) -> GroupConfig {
        GroupConfig { id, window: self.window, retention: self.retention_for(self.window), kept_from: 0 }
    }

    /// Refuses a group that does not fit these settings.
    pub fn validate_group(&self, group: &GroupConfig) -> Result<(), InvalidConfig> {
        let needed = self.retention_for(group.window);
        if group.retention < needed {
            return Err(InvalidConfig::Retention { retention: group.retention, needed });
        }
        self.check_grid(group.window)
    }

    fn check_grid(&self, window: Duration) -> Result<(), InvalidConfig> {
        let grid = self.horizon_grid;
        if grid.subsec_nanos() != 0 || grid.is_zero() || grid * 10 > window {
            return Err(InvalidConfig::Grid { grid, window });
        }
        Ok(())
    }
}
