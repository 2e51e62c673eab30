//! The demonstration: real nodes with holes in their stores become equal.
//!
//! Each node has its own identity, a TCP port on loopback and an archive on disk, and knows nothing of the others but
//! addresses. Every node is first given a part of a trace as its history. Then all go online; further messages are published and
//! relayed live, some deliveries are lost, and anti-entropy has to find and bring everything that is missing. In the end every
//! archive is compared with the trace, key by key.

mod live;
mod load;
mod plan;
mod report;
mod screen;
mod settings;
mod verify;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hearken_archive::{AdmitError, Archive, ReadError};
use hearken_tree::Key;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tempfile::TempDir;

use crate::clock::Clock;
use crate::faults::Faults;
use crate::folder::{DataFolder, FolderError};
use crate::node::{Node, NodeOptions, StartError};
use crate::trace::{Trace, TraceError};

use plan::Plan;
use verify::Verdict;

pub use report::Report;
pub use screen::Screen;

/// What is demonstrated.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The history; `None`: made up.
    pub trace: Option<PathBuf>,
    /// Messages of the history at most.
    pub messages: Option<usize>,
    /// How many nodes, at least 2.
    pub nodes: usize,
    /// The share of the history that each node lacks, and of live deliveries that are lost.
    pub loss: f64,
    /// Live messages a second.
    pub rate: f64,
    /// Live messages.
    pub live: usize,
    /// Makes the same losses again.
    pub seed: u64,
    /// When to give up, counted from when the nodes go online.
    pub timeout: Duration,
}

/// Messages of a trace that is made up, unless told otherwise.
const GENERATED: usize = 20_000;

/// The demonstration could not be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The trace cannot be used.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// A temporary folder could not be made.
    #[error("no temporary folder can be made (set TMPDIR to a folder with some space): {0}")]
    Folder(std::io::Error),
    /// A node's folder cannot be used.
    #[error(transparent)]
    Open(#[from] FolderError),
    /// A node does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The history could not be stored.
    #[error(transparent)]
    Load(#[from] AdmitError),
    /// A message of the trace was not stored.
    #[error("a message of the trace was not stored: {0}")]
    NotStored(String),
    /// An archive cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A thread ended early.
    #[error("a thread of the demonstration ended early: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

/// Carries it out; the report says whether the nodes became equal.
pub async fn run(settings: &Settings, screen: &Screen) -> Result<Report, DemoError> {
    let start = Instant::now();
    let trace = Arc::new(read_trace(settings, screen)?);
    let plan = Arc::new(Plan::new(trace.messages.len(), settings.nodes, settings.loss, settings.seed));
    let root = tempfile::Builder::new().prefix("hearken-demo-").tempdir().map_err(DemoError::Folder)?;
    let config = settings::config(&trace, settings.nodes);
    screen.introduce(settings, &trace, &config, &plan);

    let folders = open(&config, settings.nodes, &root)?;
    let loading = Instant::now();
    load::load(&folders, &trace, &plan).await?;
    let load_time = loading.elapsed();
    screen.say(&format!(
        "History loaded durably into {} archives in {:.1} s.",
        settings.nodes,
        load_time.as_secs_f64()
    ));

    let online = Instant::now();
    let clock = Clock::showing(settings::online_at(&trace, &config));
    let archives: Vec<Arc<dyn Archive>> =
        folders.iter().map(|folder| folder.archive.clone() as Arc<dyn Archive>).collect();
    let nodes = Arc::new(go_online(folders, &config, settings, clock).await?);
    screen.say(&format!(
        "All nodes are online after {:.1} s; they repair while live messages flow.",
        online.elapsed().as_secs_f64()
    ));

    let live = tokio::spawn(live::publish(nodes.clone(), trace.clone(), clock, settings.clone()));
    let watched = watch::until_equal(&nodes, &trace, live, settings, screen).await?;

    let statuses: Vec<_> = nodes.iter().map(|node| (node.peer_id(), node.sync().status(), node.live())).collect();
    if let Ok(nodes) = Arc::try_unwrap(nodes).map_err(|_| tracing::error!("nodes are still in use")) {
        for node in nodes {
            node.stop().await;
        }
    }
    let verdicts = verify(&archives, &trace, &watched.published).await?;
    Ok(Report::new(settings, &plan, &statuses, verdicts, &watched, [load_time, start.elapsed()]))
}

fn read_trace(settings: &Settings, screen: &Screen) -> Result<Trace, TraceError> {
    match &settings.trace {
        Some(path) => Trace::read(path, settings.messages.unwrap_or(usize::MAX), |reason| screen.warn(&reason)),
        None => Ok(Trace::generate(settings.messages.unwrap_or(GENERATED), settings.seed)),
    }
}

fn open(config: &crate::config::Config, nodes: usize, root: &TempDir) -> Result<Vec<DataFolder>, FolderError> {
    let open = |node: usize| {
        let config = crate::config::Config { data_dir: root.path().join(format!("node-{node}")), ..config.clone() };
        DataFolder::open(&config, None)
    };
    (0..nodes).map(open).collect()
}

/// Each node dials up to four of those that are there already: a handful of nodes are all connected with each other, many are
/// not.
async fn go_online(
    folders: Vec<DataFolder>,
    config: &crate::config::Config,
    settings: &Settings,
    clock: Clock,
) -> Result<Vec<Node>, StartError> {
    let mut nodes: Vec<Node> = Vec::with_capacity(folders.len());
    for (place, folder) in folders.into_iter().enumerate() {
        let peers = nodes
            .iter()
            .enumerate()
            .filter(|(other, _)| is_dialled(place, *other))
            .filter_map(|(_, node)| address(node));
        let config = crate::config::Config { peers: peers.collect(), ..config.clone() };
        let faults =
            Faults { drop_live: settings.loss, seed: settings.seed.wrapping_mul(1_000).wrapping_add(place as u64) };
        nodes.push(Node::start(folder, &config, NodeOptions { clock, faults, metrics: None }).await?);
    }
    Ok(nodes)
}

/// The node before it, and three spread over the earlier ones.
fn is_dialled(place: usize, other: usize) -> bool {
    place <= 4 || [1, place / 4, place / 3, place / 2].contains(&(place - other))
}

fn address(node: &Node) -> Option<Multiaddr> {
    node.listening().first().map(|address| address.clone().with(Protocol::P2p(node.peer_id())))
}

async fn verify(archives: &[Arc<dyn Archive>], trace: &Trace, published: &[Key]) -> Result<Vec<Verdict>, DemoError> {
    let mut expected: Vec<Key> =
        trace.messages.iter().map(|message| message.key).chain(published.iter().copied()).collect();
    expected.sort_unstable();
    let expected = Arc::new(expected);
    let mut verdicts = Vec::with_capacity(archives.len());
    for archive in archives {
        let (archive, topic, expected) = (archive.clone(), trace.pubsub_topic.clone(), expected.clone());
        verdicts.push(tokio::task::spawn_blocking(move || verify::verify(&*archive, &topic, &expected)).await??);
    }
    Ok(verdicts)
}
