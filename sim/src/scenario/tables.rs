//! The tables of a scenario that say what there is.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Nodes, Signed, Size};

/// Nodes and links.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// How many nodes. Default 30.
    pub nodes: usize,
    /// Who is connected with whom. Default `random`.
    pub topology: Topology,
    /// Connections of a node in a random topology. Default 8.
    pub degree: usize,
    /// How latencies are made. Default `constant`.
    pub latency_model: LatencyModel,
    /// One way, its mean. Default 50 ms: round trips of 100 ms.
    #[serde(with = "humantime_serde")]
    pub latency: Duration,
    /// `uniform`: half of the width; `normal`: the deviation. Differs from link to link and stays the same in a run.
    #[serde(with = "humantime_serde")]
    pub latency_spread: Duration,
    /// Names of the regions that nodes are dealt to in turn, for `latency_model = "regions"`. Default: the eight of the table that
    /// ships, which is assumed, not measured.
    pub regions: Vec<String>,
    /// Round trips between `regions` in milliseconds, a row for each.
    pub round_trips_ms: Vec<Vec<f64>>,
    /// Each transmission takes up to so much longer, at random. Default 0.
    #[serde(with = "humantime_serde")]
    pub jitter: Duration,
    /// Bytes a second that a node can send; 0 is without bound. Default 0.
    pub upload: Size,
    /// Bytes a second that a node can receive; 0 is without bound. Default 0.
    pub download: Size,
    /// Share of transmissions lost: gossip is gone (a full queue; the mesh and IWANT heal most of it), a frame on a stream is
    /// late by a retransmission. Default 0.
    pub loss: f64,
    /// Nodes start within so much time. Default 5 s.
    #[serde(with = "humantime_serde")]
    pub start_spread: Duration,
    /// How long a broken connection goes unnoticed. Default 10 s.
    #[serde(with = "humantime_serde")]
    pub detect: Duration,
    /// Once it is possible, a connection is made again within so much time. Default 5 s.
    #[serde(with = "humantime_serde")]
    pub redial: Duration,
}

/// Who is connected with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topology {
    /// Everyone with `degree` others, at random, in one piece.
    Random,
    /// 0 with 1, 1 with 2, and so on.
    Chain,
    /// A chain whose ends are connected.
    Ring,
    /// Everyone with everyone.
    Full,
}

/// How latencies are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LatencyModel {
    /// All the same.
    Constant,
    /// Even between mean minus and mean plus spread.
    Uniform,
    /// Normal, with the spread as deviation.
    Normal,
    /// By where the nodes are.
    Regions,
}

/// The model of gossipsub. Defaults are those of Waku's relay where it sets them, else of rust-libp2p.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gossipsub {
    /// Mesh peers wanted (D). Default 6.
    pub mesh_n: usize,
    /// Below so many, more are grafted (D_low). Default 4.
    pub mesh_n_low: usize,
    /// From so many on, some are pruned (D_high). Default 8.
    pub mesh_n_high: usize,
    /// Mesh peers that the node has dialled itself, at least (D_out). Default 2.
    pub mesh_outbound_min: usize,
    /// Default 1 s.
    #[serde(with = "humantime_serde")]
    pub heartbeat_interval: Duration,
    /// Peers outside the mesh that gossip goes to each heartbeat, at least (D_lazy). Default 6.
    pub gossip_lazy: usize,
    /// Share of the peers outside the mesh that gossip goes to, at least. Default 0.25.
    pub gossip_factor: f64,
    /// Heartbeats for which a message can be asked for. Default 5.
    pub history_length: u32,
    /// Heartbeats for which a message is gossiped about. Default 3.
    pub history_gossip: u32,
    /// A publisher sends to all its peers, not to its mesh only. Default true.
    pub flood_publish: bool,
    /// Share of (node, message) pairs for which live delivery fails for good, whatever gossip does: only synchronisation
    /// brings these. Default 0.
    pub delivery_loss: f64,
    /// Bytes of a message id. Default 32: Waku's are SHA-256.
    pub message_id_bytes: u64,
}

/// What is published.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traffic {
    /// Messages a second in the whole network. Default 1; 0 is none.
    pub rate: f64,
    /// Messages that come at once, so that the rate stays what it is. Default 1.
    pub burst: u32,
    /// Bytes of a message at least. Default 1 kB.
    pub size: Size,
    /// Bytes of a message at most; sizes lie evenly between. Default: all as `size`.
    pub size_max: Option<Size>,
    /// Who publishes. Default all.
    pub publishers: Nodes,
    /// Replays the messages of this file instead of making them up: when they came, and how large they were. One JSON object
    /// a line, as Waku's REST interface gives them, compressed with zstd or not; a relative path begins at the scenario's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// So many times as fast as it happened. Default 1.
    pub speed: f64,
    /// When it begins. Default 10 s: once nodes are connected.
    #[serde(with = "humantime_serde")]
    pub from: Duration,
    /// When it ends. Default: early enough for the last message to be everywhere when the run ends.
    #[serde(with = "humantime_serde")]
    pub until: Option<Duration>,
    /// Messages that lie in the stores when the run begins. Default 0.
    pub stored: u64,
    /// The time over which those were published, up to the horizon. Default 50 minutes.
    #[serde(with = "humantime_serde")]
    pub stored_over: Duration,
}

/// What sets some nodes apart.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeSettings {
    /// Which.
    pub nodes: Nodes,
    /// Their window, instead of that of `[sync]`.
    #[serde(with = "humantime_serde")]
    pub window: Option<Duration>,
    /// Share of the stored messages that each of them lacks, at random.
    pub missing: Option<f64>,
    /// The oldest and newest share of the stored messages that they lack, as `[0.5, 1.0]` for the newer half.
    pub gap: Option<[f64; 2]>,
    /// How far their clocks are ahead (`"30s"`) or behind (`"-30s"`).
    pub skew: Option<Signed>,
    /// Bytes a second that each of them can send.
    pub upload: Option<Size>,
    /// Bytes a second that each of them can receive.
    pub download: Option<Size>,
    /// Their region.
    pub region: Option<String>,
    /// Share of messages that their validator refuses, each node others.
    pub refuses: Option<f64>,
    /// What they do to harm the others. With several, they are dealt out in turn.
    pub hostile: Vec<Hostile>,
}

/// What a hostile node does beside what every node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hostile {
    /// Takes, and never answers.
    Silent,
    /// Promises messages and sends none.
    Empty,
    /// Answers with what is no frame.
    Garbage,
    /// Floods the control topic with announcements of what does not exist.
    Forger,
    /// Announces random roots and spans, once in each shortest interval.
    RandomRoots,
    /// Announces anew what it has heard before.
    Replayer,
    /// Announces its true root with false spans, and answers every probe with spans that it does not hold.
    FalseSpans,
    /// Promises messages, whatever it is asked, and sends none.
    Withholder,
    /// Sends sketches of nothing, which cost to decode and to answer.
    GarbageSketch,
    /// Sends forty requests a second to each neighbour.
    Flooder,
    /// Its clock is a day ahead, and so are the messages that it sends, whatever it is asked.
    Future,
    /// What it publishes has ids that bound no chunk of a tree.
    Grinder,
}

impl Default for Network {
    fn default() -> Network {
        Network {
            nodes: 30,
            topology: Topology::Random,
            degree: 8,
            latency_model: LatencyModel::Constant,
            latency: Duration::from_millis(50),
            latency_spread: Duration::ZERO,
            regions: Vec::new(),
            round_trips_ms: Vec::new(),
            jitter: Duration::ZERO,
            upload: Size(0),
            download: Size(0),
            loss: 0.0,
            start_spread: Duration::from_secs(5),
            detect: Duration::from_secs(10),
            redial: Duration::from_secs(5),
        }
    }
}

impl Default for Gossipsub {
    fn default() -> Gossipsub {
        Gossipsub {
            mesh_n: 6,
            mesh_n_low: 4,
            mesh_n_high: 8,
            mesh_outbound_min: 2,
            heartbeat_interval: Duration::from_secs(1),
            gossip_lazy: 6,
            gossip_factor: 0.25,
            history_length: 5,
            history_gossip: 3,
            flood_publish: true,
            delivery_loss: 0.0,
            message_id_bytes: 32,
        }
    }
}

impl Default for Traffic {
    fn default() -> Traffic {
        Traffic {
            rate: 1.0,
            burst: 1,
            size: Size(1_000),
            size_max: None,
            publishers: Nodes::All,
            trace: None,
            speed: 1.0,
            from: Duration::from_secs(10),
            until: None,
            stored: 0,
            stored_over: Duration::from_secs(3_000),
        }
    }
}
