use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use tokio::time::timeout;

use super::node::FoundPeer;
use super::record::{Name, Record, Root};
use super::resolver::system_resolver;
use super::{DnsServer, ListUrl, RecordError};

/// Records that are read of all lists together at one go.
const RECORDS: usize = 2000;
/// Lists that are followed from one another.
const LISTS: usize = 8;
/// Peers that are returned at one go.
const PEERS: usize = 500;
/// How long one name may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads lists of nodes.
pub struct DnsLists {
    resolver: TokioResolver,
    /// The sequence of each list's root as it was last read: an older one is an attempt to bring back nodes that have left.
    sequences: BTreeMap<String, u64>,
}

/// The system's resolver cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("names of lists of nodes cannot be resolved (setting discovery.dns_server): {0}")]
pub struct ResolverError(String);

/// A list cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError {
    /// A name has no such record, or nobody answers.
    #[error("{name}: {reason}")]
    Lookup {
        /// The name.
        name: String,
        /// Why.
        reason: String,
    },
    /// A record is not what it has to be.
    #[error("{name}: {error}")]
    Record {
        /// Its name.
        name: String,
        /// What is wrong.
        error: RecordError,
    },
    /// The root is older than one that was seen.
    #[error("{name}: the list's sequence went back from {known} to {found}")]
    Older {
        /// The list.
        name: String,
        /// What was seen before.
        known: u64,
        /// What came now.
        found: u64,
    },
}

/// What a walk has to do yet, and has found.
struct Walk {
    records: usize,
    lists: Vec<ListUrl>,
    seen: BTreeSet<String>,
    found: BTreeMap<libp2p::PeerId, FoundPeer>,
}

impl DnsLists {
    /// Asks this server.
    pub fn new(server: DnsServer) -> Result<DnsLists, ResolverError> {
        let builder = match server {
            DnsServer::System => {
                let (config, options) = system_resolver();
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options)
            }
            DnsServer::At(address) => {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                    connection.port = address.port();
                    connection
                });
                let server = NameServerConfig::new(address.ip(), true, connections.to_vec());
                let config = ResolverConfig::from_name_servers(vec![server]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        Ok(DnsLists { resolver: builder.build().map_err(unusable)?, sequences: BTreeMap::new() })
    }

    /// The nodes in these lists and those that they link to, as far as they can be read; and what could not be.
    pub async fn read(&mut self, lists: &[ListUrl]) -> (Vec<FoundPeer>, Vec<WalkError>) {
        let mut walk = Walk { records: RECORDS, lists: lists.to_vec(), seen: BTreeSet::new(), found: BTreeMap::new() };
        let mut errors = Vec::new();
        while let Some(list) = walk.lists.pop() {
            if walk.seen.len() < LISTS && walk.seen.insert(list.to_string()) {
                self.read_list(&list, &mut walk, &mut errors).await;
            }
        }
        (walk.found.into_values().collect(), errors)
    }

    async fn read_list(&mut self, list: &ListUrl, walk: &mut Walk, errors: &mut Vec<WalkError>) {
        let root = match self.root(list).await {
            Ok(root) => root,
            Err(error) => return errors.push(error),
        };
        // Links first: they are few. A record that cannot be read costs what is below it, no more.
        let mut waiting = vec![root.nodes, root.links];
        let mut seen = BTreeSet::new();
        while let Some(name) = waiting.pop() {
            if walk.records == 0 || walk.found.len() >= PEERS {
                break;
            }
            if !seen.insert(name.clone()) {
                continue;
            }
            walk.records -= 1;
            match self.record(list, &name).await {
                Ok(Record::Branch(names)) => waiting.extend(names),
                Ok(Record::Link(other)) => walk.lists.push(other),
                Ok(Record::Node(node)) => {
                    if let Some(peer) = FoundPeer::of(&node) {
                        walk.found.insert(peer.peer, peer);
                    }
                }
                Err(error) => errors.push(error),
            }
        }
    }

    async fn root(&mut self, list: &ListUrl) -> Result<Root, WalkError> {
        let texts = self.texts(&list.name).await?;
        let of_record = |error| WalkError::Record { name: list.name.clone(), error };
        // There may be other texts under the same name.
        let text = texts.iter().find(|text| text.starts_with("enrtree-root:"));
        let root = Root::read(text.or(texts.first()).map_or("", String::as_str), &list.key).map_err(of_record)?;
        let known = self.sequences.entry(list.to_string()).or_default();
        if root.sequence < *known {
            return Err(WalkError::Older { name: list.name.clone(), known: *known, found: root.sequence });
        }
        *known = root.sequence;
        Ok(root)
    }

    async fn record(&self, list: &ListUrl, name: &Name) -> Result<Record, WalkError> {
        let full = name.below(&list.name);
        let texts = self.texts(&full).await?;
        let mut read = texts.iter().map(|text| Record::read(text, name));
        let first = read.next().unwrap_or_else(|| Record::read("", name));
        let record = if first.is_ok() { first } else { read.find(Result::is_ok).unwrap_or(first) };
        record.map_err(|error| WalkError::Record { name: full, error })
    }

    async fn texts(&self, name: &str) -> Result<Vec<String>, WalkError> {
        let fail = |reason: String| WalkError::Lookup { name: name.to_owned(), reason };
        // The final dot: no name of the system's own search list.
        let lookup = self.resolver.lookup(format!("{name}."), RecordType::TXT);
        let lookup = timeout(PATIENCE, lookup).await.map_err(|_| fail(format!("no answer within {PATIENCE:?}")))?;
        let lookup = lookup.map_err(|error| fail(error.to_string()))?;
        let texts = lookup.answers().iter().filter_map(|record| match &record.data {
            RData::TXT(text) => Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()),
            _ => None,
        });
        Ok(texts.collect())
    }
}

fn unusable(error: impl std::fmt::Display) -> ResolverError {
    ResolverError(error.to_string())
}
