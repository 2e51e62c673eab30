use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hearken_scheduler::GroupConfig;
use hearken_tree::GroupId;
use libp2p::PeerId;
use serde::{Deserialize, Serialize};

/// How a node keeps its groups equal to its neighbours'. The defaults are sensible.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// When to announce, whom to ask, how much to serve. Beyond its `limits.unadmitted_bytes` of delivered messages that wait to
    /// be stored no stream is read.
    pub engine: hearken_scheduler::Config,
    /// What the task may use of the machine.
    pub limits: Limits,
    /// The groups to keep equal, each of which the archive keeps. Empty, the default: all that the archive keeps, with the
    /// engine's window.
    #[serde(skip)]
    pub groups: Vec<GroupConfig>,
    /// Groups that are kept among some peers only: others are told that this node has not joined, and are not asked. A group that is
    /// not named here is open to all, the default. Announcements go to everybody who follows the control topic.
    #[serde(skip)]
    pub allowed: BTreeMap<GroupId, BTreeSet<PeerId>>,
}

/// What the task may use of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Threads that do index work at a time: so many jobs, or one large job that idle threads help with. More: with a million keys to be
    /// sketched, answers are ready sooner. Default: 2, so that a small machine keeps a core for its live traffic.
    pub index_jobs: usize,
    /// Requests that are served at a time; further ones wait. Each takes about five times
    /// `frame_bytes`. Default: 16.
    pub serves: usize,
    /// Bytes of messages that are put into one frame. Default: 128 KiB: large enough for the archive's reads, small enough that
    /// an answer does not wait long behind one.
    pub frame_bytes: usize,
    /// Requests or answers that may wait for one peer; beyond them it counts as too slow. Default: 128, more than the
    /// engine lets one peer ask at once.
    pub frames_waiting: usize,
    /// Streams that others may have opened here, one a peer. Default: 256.
    pub inbound_streams: usize,
    /// How long opening a stream may take. Default: 10 s, as libp2p's own timeout for negotiations.
    #[serde(with = "humantime_serde")]
    pub open_timeout: Duration,
    /// How long one frame may take in either direction. Default: 60 s, which is 2 KiB/s for a frame of messages.
    #[serde(with = "humantime_serde")]
    pub frame_timeout: Duration,
    /// After how long without a request a stream is closed, since it keeps its connection alive. Default: 10 minutes.
    #[serde(with = "humantime_serde")]
    pub stream_idle: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            index_jobs: 2,
            serves: 16,
            frame_bytes: 128 << 10,
            frames_waiting: 128,
            inbound_streams: 256,
            open_timeout: Duration::from_secs(10),
            frame_timeout: Duration::from_secs(60),
            stream_idle: Duration::from_secs(600),
        }
    }
}
