//! What has to come of a run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Expectations. What is not given is not checked, except that stores have to be equal at the end.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expect {
    /// Nothing that has settled is missing anywhere at the end. Default true; `false` expects that something is.
    pub converged: bool,
    /// So long after the last event, and ever after, nothing that has settled is missing.
    #[serde(with = "humantime_serde")]
    pub converged_within: Option<Duration>,
    /// 99 % of the messages are everywhere within so much time after they were published.
    #[serde(with = "humantime_serde")]
    pub completeness_p99: Option<Duration>,
    /// All messages are.
    #[serde(with = "humantime_serde")]
    pub completeness_max: Option<Duration>,
    /// Nodes that lack something when they start or a partition heals are whole within so much time.
    #[serde(with = "humantime_serde")]
    pub recovery_max: Option<Duration>,
    /// Background bytes a node sends in a second, its share of forwarding included, payload excluded; 99 % of the nodes.
    pub background_bytes_per_s: Option<f64>,
    /// IHAVEs in the whole network in each interval of `interval_min`: at least, and at most.
    pub ihaves_per_interval: Option<[u64; 2]>,
    /// Round trips from noticing a difference to the messages, 99 % of the repairs.
    pub round_trips_p99: Option<u64>,
    /// Unicast bytes to identify a message that was repaired, payload excluded, on average.
    pub bytes_per_repair: Option<f64>,
    /// The busiest provider's share of all messages served.
    pub busiest_share: Option<f64>,
    /// The busiest provider serves at most so many times the median of those that serve.
    pub busiest_over_median: Option<f64>,
    /// Messages received by synchronisation for each one that was new.
    pub redundancy: Option<f64>,
    /// Messages at least that had to be repaired: a run in which nothing was lost shows nothing.
    pub repaired_min: Option<u64>,
    /// Nodes that are muted by anybody at the end.
    pub muted: Option<u64>,
    /// Pairs of a liar and an honest neighbour which did not mute it within ten of the shortest intervals.
    pub liars_unmuted: Option<u64>,
    /// Messages sent to a node again that it had refused.
    pub refused_again: Option<u64>,
    /// Times as long as the last node takes to be whole where nobody is hostile and all clocks are right: the same scenario runs
    /// like that as well.
    pub recovery_over_honest: Option<f64>,
    /// Times as many background bytes as honest nodes send there.
    pub bytes_over_honest: Option<f64>,
    /// The same in the last third of the run.
    pub late_bytes_over_honest: Option<f64>,
    /// Wall time of the run in seconds.
    pub wall_s: Option<f64>,
}

impl Expect {
    /// Whether something is expected in comparison with the same network where all behave.
    pub(crate) fn beside_honest(&self) -> bool {
        let beside = [self.recovery_over_honest, self.bytes_over_honest, self.late_bytes_over_honest];
        beside.iter().any(Option::is_some)
    }
}

impl Default for Expect {
    fn default() -> Expect {
        Expect {
            converged: true,
            converged_within: None,
            completeness_p99: None,
            completeness_max: None,
            recovery_max: None,
            background_bytes_per_s: None,
            ihaves_per_interval: None,
            round_trips_p99: None,
            bytes_per_repair: None,
            busiest_share: None,
            busiest_over_median: None,
            redundancy: None,
            repaired_min: None,
            muted: None,
            liars_unmuted: None,
            refused_again: None,
            recovery_over_honest: None,
            bytes_over_honest: None,
            late_bytes_over_honest: None,
            wall_s: None,
        }
    }
}
