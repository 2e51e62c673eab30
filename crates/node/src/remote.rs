//! Work on a data folder whose node is running: the node does it, asked through its HTTP interface, and tells how it goes in lines
//! of JSON ([`Told`]) until it is done or nobody listens any more.

use std::io::{BufRead, BufReader, Read as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use hearken_archive::OpenError;
use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use crate::backfill::Fetched;
use crate::config::{Config, Listen};
use crate::folder::FolderError;
use crate::identity;

/// Where the interface takes [`BackfillRequest`]s.
pub(crate) const BACKFILL: &str = "/admin/v1/backfill";
/// Where it takes [`DiffRequest`]s.
pub(crate) const DIFF: &str = "/admin/v1/diff";
/// Names the node that is meant: another one may listen at the same place.
pub(crate) const NODE: &str = "hearken-node";

/// Longest refusal that is read.
const REFUSAL: u64 = 64 << 10;

/// What `hearken backfill` asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackfillRequest {
    /// From this time on: nanoseconds since the Unix epoch.
    pub(crate) from: u64,
    /// Up to this time.
    pub(crate) to: u64,
    /// The nodes to fetch from, the first that can be asked; none: those of the settings.
    #[serde(default)]
    pub(crate) peers: Vec<String>,
}

/// What `hearken diff` asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiffRequest {
    /// The other node.
    pub(crate) peer: String,
    /// From this time on: nanoseconds since the Unix epoch. Without it, from the start of the sync window.
    pub(crate) from: Option<u64>,
    /// Up to this time; without it, up to now.
    pub(crate) to: Option<u64>,
    /// Messages of each range that are shown.
    #[serde(default = "some")]
    pub(crate) show: usize,
}

fn some() -> usize {
    20
}

/// A line of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Told {
    /// For people.
    Line(String),
    /// It goes on: for so many seconds now.
    Working(u64),
    /// It is done.
    Done(Outcome),
    /// It cannot be done, or not to its end.
    Failed(String),
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// Of a backfill.
    Fetched(Fetched),
    /// Of a comparison.
    Differences {
        /// Messages that differ.
        count: u64,
        /// From this time on: nanoseconds since the Unix epoch.
        from: u64,
        /// Up to this time.
        to: u64,
    },
}

/// The node did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum RemoteError {
    #[error("{0}")]
    Folder(#[from] FolderError),
    #[error("the node that runs on this data folder has no HTTP interface (setting api.listen): stop it first")]
    NoInterface,
    #[error(
        "a node runs on this data folder, but does not answer at {address}: {reason}. Give the settings that it runs with \
         (api.listen), or stop it first"
    )]
    Unreachable { address: SocketAddr, reason: String },
    #[error("the node refused: {0}")]
    Refused(String),
    #[error("the node broke off: {0}")]
    Broken(String),
    #[error("{0}")]
    Failed(String),
}

/// A node that runs on the data folder.
pub(crate) struct RunningNode {
    address: SocketAddr,
    peer: PeerId,
}

/// The node that has the data folder open, if that is why it could not be opened here.
pub(crate) fn running(config: &Config, error: FolderError) -> Result<RunningNode, RemoteError> {
    if !matches!(error, FolderError::Archive(OpenError::AlreadyOpen { .. })) {
        return Err(error.into());
    }
    let Listen::At(mut address) = config.api.listen else { return Err(RemoteError::NoInterface) };
    if address.ip().is_unspecified() {
        let local = |v4: bool| if v4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        address.set_ip(local(address.is_ipv4()));
    }
    let keypair = identity::load_or_create(&config.data_dir).map_err(FolderError::from)?;
    Ok(RunningNode { address, peer: keypair.public().to_peer_id() })
}

impl RunningNode {
    /// Has the node fetch; hands what it says meanwhile to `tell`.
    pub(crate) fn backfill(&self, request: &BackfillRequest, tell: impl FnMut(String)) -> Result<Outcome, RemoteError> {
        self.ask(BACKFILL, request, tell)
    }

    /// Has the node compare; hands what it finds to `tell`.
    pub(crate) fn diff(&self, request: &DiffRequest, tell: impl FnMut(String)) -> Result<Outcome, RemoteError> {
        self.ask(DIFF, request, tell)
    }

    fn ask(&self, path: &str, request: &impl Serialize, mut tell: impl FnMut(String)) -> Result<Outcome, RemoteError> {
        let address = self.address;
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let sent = agent.post(format!("http://{address}{path}")).header(NODE, self.peer.to_string()).send_json(request);
        let answer = sent.map_err(|error| RemoteError::Unreachable { address, reason: error.to_string() })?;
        let (ok, mut body) = (answer.status().is_success(), answer.into_body().into_reader());
        if !ok {
            let mut reason = String::new();
            // Half of a reason is better than none.
            let _ = body.take(REFUSAL).read_to_string(&mut reason);
            return Err(RemoteError::Refused(reason.trim_end().to_owned()));
        }
        for line in BufReader::new(&mut body).lines() {
            let line = line.map_err(|error| RemoteError::Broken(error.to_string()))?;
            match serde_json::from_str(&line).map_err(|error| RemoteError::Broken(error.to_string()))? {
                Told::Line(line) => tell(line),
                Told::Working(_) => {}
                Told::Done(outcome) => return Ok(outcome),
                Told::Failed(reason) => return Err(RemoteError::Failed(reason)),
            }
        }
        Err(RemoteError::Broken("it was not done when the answer ended".to_owned()))
    }
}
