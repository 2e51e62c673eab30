use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use enr::EnrPublicKey as _;
use enr::k256::ecdsa::SigningKey;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use crate::config::text::is_dialable;

/// A node's record, with its signature checked.
pub(super) type NodeRecord = enr::Enr<SigningKey>;

/// A peer that was found, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPeer {
    /// Who.
    pub peer: PeerId,
    /// Where: at least one address, without the peer's name.
    pub addresses: Vec<Multiaddr>,
    /// The relay shards it says that it has (`rs`, 51/WAKU2-RELAY-SHARDING): cluster and indices. `None`: it does not say.
    pub shards: Option<(u16, Vec<u16>)>,
}

/// Most addresses of one record.
const ADDRESSES: usize = 8;

impl FoundPeer {
    /// What a record says; `None` if it names no address that this node can dial.
    pub(super) fn of(record: &NodeRecord) -> Option<FoundPeer> {
        let mut addresses = multiaddrs(record);
        let tcp = |ip: Protocol<'static>, port| Multiaddr::empty().with(ip).with(Protocol::Tcp(port));
        addresses.extend(record.tcp4_socket().map(|at| tcp(Protocol::Ip4(*at.ip()), at.port())));
        addresses.extend(record.tcp6_socket().map(|at| tcp(Protocol::Ip6(*at.ip()), at.port())));
        addresses.retain(|address| is_dialable(address) && !is_unspecified(address));
        addresses.dedup();
        addresses.truncate(ADDRESSES);
        let peer = peer_id(&record.public_key().encode())?;
        (!addresses.is_empty()).then(|| FoundPeer { peer, addresses, shards: shards(record) })
    }

    /// Whether it may relay one of these shards: it says so, or does not say anything.
    pub fn may_relay(&self, wanted: &[(u16, u16)]) -> bool {
        self.shards.as_ref().is_none_or(|(cluster, indices)| {
            wanted.is_empty() || wanted.iter().any(|(c, index)| c == cluster && indices.contains(index))
        })
    }
}

/// A peer with a secp256k1 key is called by the key itself: an identity hash of its protobuf (type 2, 33 bytes).
fn peer_id(key: &[u8]) -> Option<PeerId> {
    let length = u8::try_from(key.len()).ok()?;
    let protobuf = [&[0x08, 2, 0x12, length], key].concat();
    let hash = libp2p::multihash::Multihash::wrap(0, &protobuf).ok()?;
    PeerId::from_multihash(hash).ok()
}

/// 31/WAKU2-ENR, "multiaddrs": each with its length as two bytes, big endian.
fn multiaddrs(record: &NodeRecord) -> Vec<Multiaddr> {
    let bytes = record.get_decodable::<Bytes>("multiaddrs").and_then(Result::ok).unwrap_or_default();
    let (mut rest, mut found) = (&bytes[..], Vec::new());
    while let Some((length, tail)) = rest.split_first_chunk::<2>() {
        let Some((address, tail)) = tail.split_at_checked(u16::from_be_bytes(*length).into()) else { break };
        found.extend(Multiaddr::try_from(address.to_vec()).ok().map(without_peer));
        rest = tail;
    }
    found
}

/// 51/WAKU2-RELAY-SHARDING, "rs": the cluster, a count, and as many indices (two, one and two bytes, big endian).
fn shards(record: &NodeRecord) -> Option<(u16, Vec<u16>)> {
    let bytes = record.get_decodable::<Bytes>("rs")?.ok()?;
    let (cluster, rest) = bytes.split_first_chunk::<2>()?;
    let (count, indices) = rest.split_first()?;
    let (indices, _) = indices.as_chunks::<2>();
    let indices = indices.iter().take((*count).into()).map(|index| u16::from_be_bytes(*index));
    Some((u16::from_be_bytes(*cluster), indices.collect()))
}

/// The address without the name of its peer.
pub(crate) fn without_peer(address: Multiaddr) -> Multiaddr {
    address.into_iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect()
}

fn is_unspecified(address: &Multiaddr) -> bool {
    address.iter().any(|part| match part {
        Protocol::Ip4(ip) => ip == Ipv4Addr::UNSPECIFIED,
        Protocol::Ip6(ip) => ip == Ipv6Addr::UNSPECIFIED,
        Protocol::Tcp(port) | Protocol::Udp(port) => port == 0,
        _ => false,
    })
}
