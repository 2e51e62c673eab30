//! The metadata protocol (66/WAKU2-METADATA): each side tells its cluster and its shards.

use crate::Shard;

/// The protocol's id.
pub const METADATA_PROTOCOL: &str = "/vac/waku/metadata/1.0.0";

/// Largest request or answer, in bytes: more shards than there can be take less.
pub const METADATA_MAX: usize = 256 << 10;

/// What a node says of itself, in both directions.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Metadata {
    /// The network.
    #[prost(uint32, optional, tag = "1")]
    pub cluster_id: Option<u32>,
    /// Its shards that the node relays. Written one by one: JavaScript clients cannot read them packed.
    #[prost(uint32, repeated, packed = "false", tag = "2")]
    pub shards: Vec<u32>,
}

impl Metadata {
    /// What a node says that relays these pubsub topics: the cluster of the first shard among them, and the shards of that
    /// cluster. The protocol has no way to name two clusters.
    pub fn of<'a>(topics: impl IntoIterator<Item = &'a str>) -> Metadata {
        let mut metadata = Metadata::default();
        for shard in topics.into_iter().filter_map(|topic| topic.parse::<Shard>().ok()) {
            let cluster = *metadata.cluster_id.get_or_insert(u32::from(shard.cluster));
            let index = u32::from(shard.index);
            if cluster == u32::from(shard.cluster) && !metadata.shards.contains(&index) {
                metadata.shards.push(index);
            }
        }
        metadata.shards.sort_unstable();
        metadata
    }

    /// Each of the shards with its cluster.
    pub fn cluster_and_shards(&self) -> Vec<(u16, u16)> {
        let cluster = self.cluster_id.and_then(|cluster| u16::try_from(cluster).ok());
        let shards = self.shards.iter().filter_map(|shard| u16::try_from(*shard).ok());
        cluster.map_or_else(Vec::new, |cluster| shards.map(|shard| (cluster, shard)).collect())
    }

    /// Whether a node that says `other` is of another network. One that names none may be of any.
    pub fn foreign(&self, other: &Metadata) -> bool {
        matches!((self.cluster_id, other.cluster_id), (Some(own), Some(other)) if own != other)
    }
}
