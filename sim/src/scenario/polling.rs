//! How what Hearken is compared with polls.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Protocol, Scenario};

/// Settings of the protocols that Hearken is compared with. What is not given is as each of them has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Baseline {
    /// A node polls one neighbour so often. Default: `sync.interval_min`; nwaku: 300 s.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// How far back it compares. Default: `sync.window`; nwaku: 3600 s.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
    /// Younger messages are not compared. Default: `sync.settle_delay`; nwaku: 20 s.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub settle_delay: Option<Duration>,
    /// `nwaku`: parts that a range is cut into. Default 8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<u32>,
    /// `nwaku`: messages in a range up to which their ids are listed. Default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<usize>,
}

/// The same, for one protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polling {
    /// A node polls one neighbour so often.
    pub interval: Duration,
    /// How far back it compares.
    pub window: Duration,
    /// Younger messages are not compared.
    pub settle_delay: Duration,
    /// Parts that a range is cut into.
    pub partitions: u32,
    /// Messages in a range up to which their ids are listed.
    pub threshold: usize,
}

impl Polling {
    /// nwaku's own defaults (`waku_store_sync/common.nim`, `seq_storage.nim`).
    pub fn nwaku() -> Polling {
        Polling {
            interval: Duration::from_secs(300),
            window: Duration::from_secs(3_600),
            settle_delay: Duration::from_secs(20),
            partitions: 8,
            threshold: 100,
        }
    }
}

impl Scenario {
    /// How the scenario's protocol polls.
    pub fn polling(&self) -> Polling {
        let usual = match self.protocol {
            Protocol::Nwaku => Polling::nwaku(),
            _ => Polling {
                interval: self.sync.interval_min,
                window: self.sync.window,
                settle_delay: self.sync.settle_delay,
                ..Polling::nwaku()
            },
        };
        let given = &self.baseline;
        Polling {
            interval: given.interval.unwrap_or(usual.interval),
            window: given.window.unwrap_or(usual.window),
            settle_delay: given.settle_delay.unwrap_or(usual.settle_delay),
            partitions: given.partitions.unwrap_or(usual.partitions),
            threshold: given.threshold.unwrap_or(usual.threshold),
        }
    }
}
