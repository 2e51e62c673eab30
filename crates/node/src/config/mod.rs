//! A node's settings: defaults, then the file, then environment variables, then flags.

mod change;
mod load;
mod print;
mod source;
pub(crate) mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use hearken_archive::Filter;
use hearken_waku::{ContentTopic, Shard, TopicError, autoshard};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::discovery::{DnsServer, ListUrl};

pub use change::{ChangeError, Changed, SetLog, Settings};
pub use load::ConfigError;
pub use print::{DEFAULTS, print};
pub use source::Source;
pub use text::{Bound, ByteSize, Listen};

/// All settings of a node. `hearken config` prints them with what they mean and where their defaults come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of the identity and the archive.
    pub data_dir: PathBuf,
    /// What is logged, as a `tracing` filter.
    pub log: String,
    /// Whether anti-entropy rests: others are served, but nobody is asked.
    pub paused: bool,
    /// The groups that are kept.
    #[serde(deserialize_with = "groups")]
    pub groups: Vec<GroupConfig>,
    /// Where to listen.
    #[serde(with = "text::list")]
    pub listen: Vec<Multiaddr>,
    /// Peers to stay connected to.
    #[serde(with = "text::list")]
    pub peers: Vec<Multiaddr>,
    /// Most connections at a time.
    pub max_connections: u32,
    /// Most connections that come from one address.
    pub max_connections_per_address: u32,
    /// Finding peers.
    pub discovery: DiscoveryConfig,
    /// The Store protocol.
    pub store: StoreConfig,
    /// What messages are admitted.
    pub messages: MessagesConfig,
    /// Keeping them.
    pub archive: ArchiveConfig,
    /// The HTTP interface.
    pub api: ApiConfig,
    /// Anti-entropy.
    pub sync: hearken_scheduler::Config,
    /// What anti-entropy may use of the machine.
    pub resources: hearken::Limits,
}

/// A set of messages that is kept equal with other nodes.
///
/// Written as the pubsub topic alone, or as a table with the content topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// The pubsub topic.
    pub pubsub_topic: String,
    /// Content topics; none: all of them.
    pub content_topics: BTreeSet<String>,
    /// How many shards the topic's network has, where that is said: so many are needed to find a content topic's shard.
    pub network_shards: Option<u16>,
}

/// Finding peers beside those that are named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiscoveryConfig {
    /// Connections that the node makes to peers that it found.
    pub peers: u32,
    /// Lists of nodes in DNS (EIP-1459).
    #[serde(with = "text::list")]
    pub dns: Vec<ListUrl>,
    /// Who resolves their names.
    #[serde(with = "text::one")]
    pub dns_server: DnsServer,
    /// How often they are read.
    #[serde(with = "text::one")]
    pub dns_interval: Duration,
    /// Look for nodes in the local network.
    pub mdns: bool,
}

/// Answering queries of the Store protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// Whether to.
    pub enabled: bool,
    /// Requests a second of one peer.
    pub requests_rate: u32,
}

/// What messages are admitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MessagesConfig {
    /// Largest message.
    #[serde(with = "text::one")]
    pub max_size: ByteSize,
    /// How far ahead of this node's clock a timestamp may lie.
    #[serde(with = "text::one")]
    pub max_future: Duration,
    /// How old a live message may be.
    #[serde(with = "text::one")]
    pub max_relay_age: Duration,
}

/// Keeping messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ArchiveConfig {
    /// How long.
    #[serde(with = "text::one")]
    pub retention: Bound<Duration>,
    /// How many bytes.
    #[serde(with = "text::one")]
    pub max_bytes: Bound<ByteSize>,
    /// Memory for what was read: half for the index, half for the database's pages.
    #[serde(with = "text::one")]
    pub cache: ByteSize,
}

/// The HTTP interface: REST, metrics and the status page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiConfig {
    /// Where it listens.
    #[serde(with = "text::one")]
    pub listen: Listen,
    /// Whether other machines may change things: delete messages, connect peers, change settings.
    pub admin: bool,
    /// Requests a second from one address, with a burst of ten seconds' worth.
    pub rate: u32,
    /// Relayed messages of each topic that wait to be fetched.
    pub relay_cache: usize,
}

impl Default for ApiConfig {
    fn default() -> ApiConfig {
        ApiConfig {
            listen: Listen::At(SocketAddr::from((Ipv4Addr::LOCALHOST, 8645))),
            admin: false,
            rate: 100,
            relay_cache: 50,
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            data_dir: "hearken-data".into(),
            log: "warn,hearken=info".to_owned(),
            paused: false,
            groups: vec![GroupConfig::whole("/waku/2/rs/66/0")],
            listen: default_addresses(),
            peers: Vec::new(),
            max_connections: 200,
            max_connections_per_address: 64,
            discovery: DiscoveryConfig::default(),
            store: StoreConfig::default(),
            messages: MessagesConfig::default(),
            archive: ArchiveConfig::default(),
            api: ApiConfig::default(),
            sync: hearken_scheduler::Config::default(),
            resources: hearken::Limits::default(),
        }
    }
}

/// TCP as nwaku, WebSocket for browsers, QUIC.
fn default_addresses() -> Vec<Multiaddr> {
    let any = || Multiaddr::from(Ipv4Addr::UNSPECIFIED);
    vec![
        any().with(Protocol::Tcp(60000)),
        any().with(Protocol::Tcp(8000)).with(Protocol::Ws("/".into())),
        any().with(Protocol::Udp(60000)).with(Protocol::QuicV1),
    ]
}

impl Default for DiscoveryConfig {
    fn default() -> DiscoveryConfig {
        DiscoveryConfig {
            peers: 16,
            dns: Vec::new(),
            dns_server: DnsServer::System,
            dns_interval: Duration::from_secs(30 * 60),
            mdns: false,
        }
    }
}

impl Default for StoreConfig {
    fn default() -> StoreConfig {
        StoreConfig { enabled: true, requests_rate: 50 }
    }
}

impl Default for MessagesConfig {
    fn default() -> MessagesConfig {
        MessagesConfig {
            max_size: ByteSize(150_000),
            max_future: Duration::from_secs(20),
            max_relay_age: Duration::from_secs(20),
        }
    }
}

impl Default for ArchiveConfig {
    fn default() -> ArchiveConfig {
        ArchiveConfig {
            retention: Bound::AtMost(Duration::from_secs(7 * 24 * 3600)),
            max_bytes: Bound::Unlimited,
            cache: ByteSize(128 << 20),
        }
    }
}

impl Config {
    /// The groups as the archive knows them.
    pub fn filters(&self) -> Vec<Filter> {
        self.groups.iter().map(GroupConfig::filter).collect()
    }

    /// The pubsub topic on which messages of a content topic travel (autosharding).
    ///
    /// # Errors
    /// [`NoShard`], if it is no content topic, if the groups do not say how many shards their network has, or if the shard is not
    /// relayed here.
    pub fn shard_of(&self, content_topic: &str) -> Result<String, NoShard> {
        let topic: ContentTopic = content_topic.parse()?;
        let network =
            |group: &GroupConfig| Some((group.pubsub_topic.parse::<Shard>().ok()?.cluster, group.network_shards?));
        let networks: BTreeSet<(u16, u16)> = self.groups.iter().filter_map(network).collect();
        let mut found = None;
        for (cluster, shards) in networks {
            let shard = autoshard(&topic, cluster, shards)?.to_string();
            if self.groups.iter().any(|group| group.pubsub_topic == shard) {
                return Ok(shard);
            }
            found = Some(shard);
        }
        Err(found.map_or(NoShard::NoNetwork, NoShard::NotRelayed))
    }
}

impl GroupConfig {
    /// All messages of a pubsub topic.
    pub fn whole(pubsub_topic: &str) -> GroupConfig {
        GroupConfig { pubsub_topic: pubsub_topic.to_owned(), content_topics: BTreeSet::new(), network_shards: None }
    }

    /// The same in a network of so many shards.
    #[must_use]
    pub fn in_network_of(self, shards: u16) -> GroupConfig {
        GroupConfig { network_shards: Some(shards), ..self }
    }

    /// The group as the archive knows it.
    pub fn filter(&self) -> Filter {
        Filter { pubsub_topic: self.pubsub_topic.clone(), content_topics: self.content_topics.clone() }
    }
}

/// A content topic has no shard here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoShard {
    /// It is no content topic.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// It takes the size of the network to find one.
    #[error(
        "the settings do not say how many shards the network has: expected groups such as {{ cluster = 1, shards = 8 }}, or \
         {{ pubsub_topic = \"/waku/2/rs/1/0\", shards = 8 }}"
    )]
    NoNetwork,
    /// It is this one.
    #[error("its shard, {0}, is not relayed here (setting groups)")]
    NotRelayed(String),
}

#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a pubsub topic, or { pubsub_topic = \"...\" } with content_topics = [\"...\"] or shards = 8, or \
                 { cluster = 1, shards = 8 } with content_topics or without"
)]
enum WrittenGroup {
    Whole(String),
    Part(PartOfTopic),
    Autosharded(Autosharded),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartOfTopic {
    pubsub_topic: String,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    content_topics: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shards: Option<u16>,
}

/// A network that finds the shard of a message by its content topic: all of its shards, or those of some content topics.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Autosharded {
    cluster: u16,
    shards: u16,
    #[serde(default)]
    content_topics: BTreeSet<String>,
}

impl WrittenGroup {
    /// The groups that it stands for.
    fn expand(self) -> Result<Vec<GroupConfig>, TopicError> {
        match self {
            WrittenGroup::Whole(pubsub_topic) => Ok(vec![GroupConfig::whole(&pubsub_topic)]),
            WrittenGroup::Part(PartOfTopic { pubsub_topic, content_topics, shards }) => {
                Ok(vec![GroupConfig { pubsub_topic, content_topics, network_shards: shards }])
            }
            WrittenGroup::Autosharded(network) => network.expand(),
        }
    }
}

impl Autosharded {
    fn expand(self) -> Result<Vec<GroupConfig>, TopicError> {
        let Autosharded { cluster, shards, content_topics } = self;
        if content_topics.is_empty() {
            let topic = |index| GroupConfig::whole(&Shard { cluster, index }.to_string()).in_network_of(shards);
            return Ok((0..shards).map(topic).collect());
        }
        let mut groups: BTreeMap<Shard, BTreeSet<String>> = BTreeMap::new();
        for topic in content_topics {
            let shard = autoshard(&topic.parse::<ContentTopic>()?, cluster, shards)?;
            groups.entry(shard).or_default().insert(topic);
        }
        let group = |(shard, content_topics): (Shard, _)| GroupConfig {
            pubsub_topic: shard.to_string(),
            content_topics,
            network_shards: Some(shards),
        };
        Ok(groups.into_iter().map(group).collect())
    }
}

/// The groups of the settings: each entry stands for one or, where it is a network, several.
fn groups<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<GroupConfig>, D::Error> {
    let written = Vec::<WrittenGroup>::deserialize(deserializer)?.into_iter().map(WrittenGroup::expand);
    Ok(written.collect::<Result<Vec<_>, _>>().map_err(serde::de::Error::custom)?.concat())
}

impl Serialize for GroupConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let GroupConfig { pubsub_topic, content_topics, network_shards: shards } = self.clone();
        let written = match content_topics.is_empty() && shards.is_none() {
            true => WrittenGroup::Whole(pubsub_topic),
            false => WrittenGroup::Part(PartOfTopic { pubsub_topic, content_topics, shards }),
        };
        written.serialize(serializer)
    }
}
