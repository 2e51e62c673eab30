//! A limit on the connections that come from one address, so that one machine cannot take all of a node's.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
    dummy,
};
use libp2p::{Multiaddr, PeerId};

/// Refuses connections from an address that has as many as it may. Those that this node makes are its own choice and do not count.
pub(crate) struct PerAddress {
    limit: u32,
    /// The source of each incoming connection, from its first byte on.
    sources: HashMap<ConnectionId, IpAddr>,
    counts: HashMap<IpAddr, u32>,
}

/// An address has as many connections as it may.
#[derive(Debug, thiserror::Error)]
#[error("{source_address} has {limit} connections already, as many as it may")]
struct TooMany {
    source_address: IpAddr,
    limit: u32,
}

impl PerAddress {
    pub(crate) fn new(limit: u32) -> PerAddress {
        PerAddress { limit, sources: HashMap::new(), counts: HashMap::new() }
    }

    fn admit(&mut self, id: ConnectionId, source: IpAddr) -> Result<(), TooMany> {
        let count = self.counts.entry(source).or_default();
        if *count >= self.limit {
            return Err(TooMany { source_address: source, limit: self.limit });
        }
        *count += 1;
        self.sources.insert(id, source);
        Ok(())
    }

    fn gone(&mut self, id: ConnectionId) {
        let Some(source) = self.sources.remove(&id) else { return };
        if let Some(count) = self.counts.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&source);
            }
        }
    }
}

/// Who may be one machine: an IPv4 address, or the 64 bits of an IPv6 address that name a network.
fn source(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.to_ipv4_mapped().map_or_else(|| network(ip).into(), IpAddr::from)),
        _ => None,
    })
}

fn network(ip: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)
}

impl NetworkBehaviour for PerAddress {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        source(remote).map_or(Ok(()), |source| self.admit(id, source)).map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        _id: ConnectionId,
        _peer: PeerId,
        _local: &Multiaddr,
        _remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _id: ConnectionId,
        _peer: PeerId,
        _address: &Multiaddr,
        _role: Endpoint,
        _port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(closed) => self.gone(closed.connection_id),
            FromSwarm::ListenFailure(failed) => self.gone(failed.connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _peer: PeerId, _id: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_as_many_connections_as_it_may_and_no_more() {
        let mut limit = PerAddress::new(2);
        let [one, other]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        let id = ConnectionId::new_unchecked;
        limit.admit(id(1), one).unwrap();
        limit.admit(id(2), one).unwrap();
        limit.admit(id(3), one).unwrap_err();
        limit.admit(id(4), other).unwrap();
        limit.gone(id(3)); // was never admitted
        limit.admit(id(5), one).unwrap_err();
        limit.gone(id(1));
        limit.admit(id(6), one).unwrap();
        [2, 4, 6].into_iter().for_each(|open| limit.gone(id(open)));
        assert!(limit.counts.is_empty() && limit.sources.is_empty());
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let of = |text: &str| source(&text.parse().unwrap());
        assert_eq!(of("/ip6/2001:db8::1/tcp/1"), of("/ip6/2001:db8::2/tcp/2"));
        assert_ne!(of("/ip6/2001:db8::1/tcp/1"), of("/ip6/2001:db8:0:1::1/tcp/1"));
        assert_eq!(of("/ip6/::ffff:192.0.2.1/tcp/1"), of("/ip4/192.0.2.1/udp/1/quic-v1"));
    }
}
