use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// A relay shard; written `/waku/2/rs/<cluster>/<shard>`, which is the name of its pubsub topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard {
    /// The network.
    pub cluster: u16,
    /// The shard in it.
    pub index: u16,
}

/// A content topic, `/<application>/<version>/<name>/<encoding>`, by itself or behind a generation, `/<generation>/...`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentTopic {
    /// The generation of autosharding; generation 0 may be left out.
    pub generation: Option<u32>,
    /// Who defines the topic.
    pub application: String,
    /// The application's version.
    pub version: String,
    /// The topic's name within the application.
    pub name: String,
    /// How payloads are encoded.
    pub encoding: String,
}

/// The name of a topic could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// Not a shard's name.
    #[error("expected a shard as /waku/2/rs/<cluster>/<shard>, both from 0 to 65535, found {0:?}")]
    Shard(String),
    /// Not a content topic.
    #[error("expected a content topic as /<application>/<version>/<name>/<encoding>, found {0:?}")]
    Content(String),
    /// Only generation 0 is defined.
    #[error("expected a content topic of generation 0, the only one that is defined, found generation {0}")]
    Generation(u32),
    /// A network has at least one shard.
    #[error("expected a network of at least one shard, found none")]
    NoShards,
}

/// The shard on which messages of a content topic travel, in a network of `shards` shards: the last 8 bytes of
/// SHA-256(application, version), big endian, modulo their number (51/WAKU2-RELAY-SHARDING, "Automatic sharding").
pub fn autoshard(topic: &ContentTopic, cluster: u16, shards: u16) -> Result<Shard, TopicError> {
    if let Some(generation) = topic.generation.filter(|generation| *generation != 0) {
        return Err(TopicError::Generation(generation));
    }
    let mut hasher = Sha256::new();
    hasher.update(topic.application.as_bytes());
    hasher.update(topic.version.as_bytes());
    let hash: [u8; 32] = hasher.finalize().into();
    let number = hash[24..].iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    let index = number.checked_rem(u64::from(shards)).ok_or(TopicError::NoShards)?;
    let index = u16::try_from(index).map_err(|_| TopicError::NoShards)?;
    Ok(Shard { cluster, index })
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/waku/2/rs/{}/{}", self.cluster, self.index)
    }
}

impl FromStr for Shard {
    type Err = TopicError;

    fn from_str(topic: &str) -> Result<Shard, TopicError> {
        let parse = || {
            let (cluster, index) = topic.strip_prefix("/waku/2/rs/")?.split_once('/')?;
            let shard = Shard { cluster: cluster.parse().ok()?, index: index.parse().ok()? };
            // One name only: "+1" and "01" parse as numbers, but are other topics.
            (shard.to_string() == topic).then_some(shard)
        };
        parse().ok_or_else(|| TopicError::Shard(topic.to_owned()))
    }
}

impl fmt::Display for ContentTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(generation) = self.generation {
            write!(f, "/{generation}")?;
        }
        write!(f, "/{}/{}/{}/{}", self.application, self.version, self.name, self.encoding)
    }
}

impl FromStr for ContentTopic {
    type Err = TopicError;

    fn from_str(topic: &str) -> Result<ContentTopic, TopicError> {
        let parse = || {
            let mut parts: Vec<&str> = topic.strip_prefix('/')?.split('/').collect();
            if parts.iter().any(|part| part.is_empty()) {
                return None;
            }
            let generation = match parts.len() {
                5 => Some(parts.remove(0).parse().ok()?),
                _ => None,
            };
            let [application, version, name, encoding] = <[&str; 4]>::try_from(parts).ok()?.map(str::to_owned);
            Some(ContentTopic { generation, application, version, name, encoding })
        };
        parse().ok_or_else(|| TopicError::Content(topic.to_owned()))
    }
}
