use std::io;
use std::time::Duration;

use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Pauses between attempts to reach a peer, from the first to the last of them.
const PAUSES: [Duration; 7] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_secs(30),
];

/// Keeps the node connected to the peers that its configuration names.
pub(crate) struct Dialer {
    peers: Vec<StaticPeer>,
}

struct StaticPeer {
    address: Multiaddr,
    /// From the address, or learnt when connected.
    peer: Option<PeerId>,
    state: State,
    failures: usize,
}

enum State {
    Waiting(Instant),
    Resolving,
    Dialling(ConnectionId),
    Connected,
}

impl Dialer {
    pub(crate) fn new(addresses: &[Multiaddr], now: Instant) -> Dialer {
        let peers = addresses.iter().map(|address| StaticPeer {
            address: address.clone(),
            peer: peer_of(address),
            state: State::Waiting(now),
            failures: 0,
        });
        Dialer { peers: peers.collect() }
    }

    /// When to ask [`Dialer::due`] again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let waiting = self.peers.iter().filter_map(|peer| match peer.state {
            State::Waiting(until) => Some(until),
            _ => None,
        });
        waiting.min()
    }

    /// The peers to dial now, by their place among the configured ones: [`resolve`] them, then [`Dialer::dial`].
    pub(crate) fn due(&mut self, now: Instant) -> Vec<(usize, Multiaddr)> {
        let due = self.peers.iter_mut().enumerate();
        let due = due.filter(|(_, peer)| matches!(peer.state, State::Waiting(until) if until <= now));
        due.map(|(place, peer)| {
            peer.state = State::Resolving;
            (place, peer.address.clone())
        })
        .collect()
    }

    /// How to dial a peer whose address is resolved; `None` if it has connected by itself meanwhile.
    pub(crate) fn dial(&mut self, place: usize, address: Multiaddr) -> Option<DialOpts> {
        let peer = self.peers.get_mut(place).filter(|peer| matches!(peer.state, State::Resolving))?;
        let dial = match peer_of(&address) {
            Some(id) => {
                let dial = DialOpts::peer_id(id).addresses(vec![address]);
                dial.condition(PeerCondition::Disconnected).allocate_new_port().build()
            }
            None => DialOpts::unknown_peer_id().address(address).allocate_new_port().build(),
        };
        peer.state = State::Dialling(dial.connection_id());
        Some(dial)
    }

    /// A connection stands.
    pub(crate) fn connected(&mut self, id: ConnectionId, remote: PeerId) {
        for peer in &mut self.peers {
            let dialled = matches!(peer.state, State::Dialling(dialling) if dialling == id);
            if dialled || peer.peer == Some(remote) {
                (peer.peer, peer.state, peer.failures) = (Some(remote), State::Connected, 0);
            }
        }
    }

    /// The last connection with a peer is gone.
    pub(crate) fn disconnected(&mut self, remote: PeerId, now: Instant) {
        let lost = |peer: &&mut StaticPeer| peer.peer == Some(remote) && matches!(peer.state, State::Connected);
        for peer in self.peers.iter_mut().filter(lost) {
            peer.retry(now);
            // At that address there may be another peer from now on.
            peer.peer = peer_of(&peer.address);
        }
    }

    /// A dial failed; returns the address if it was one of these, and the pause before the next attempt.
    pub(crate) fn failed(&mut self, id: ConnectionId, now: Instant) -> Option<(&Multiaddr, Duration)> {
        let failed = |peer: &&mut StaticPeer| matches!(peer.state, State::Dialling(dialling) if dialling == id);
        let peer = self.peers.iter_mut().find(failed)?;
        let pause = peer.retry(now);
        Some((&peer.address, pause))
    }

    /// An address could not be resolved.
    pub(crate) fn unresolved(&mut self, place: usize, now: Instant) -> Option<(&Multiaddr, Duration)> {
        let peer = self.peers.get_mut(place).filter(|peer| matches!(peer.state, State::Resolving))?;
        let pause = peer.retry(now);
        Some((&peer.address, pause))
    }
}

impl StaticPeer {
    fn retry(&mut self, now: Instant) -> Duration {
        let pause = PAUSES.get(self.failures).or(PAUSES.last()).copied().unwrap_or_default();
        self.failures += 1;
        self.state = State::Waiting(now + pause);
        pause
    }
}

/// Looks a host's name up, with the system's resolver; an address without one is passed on as it is.
pub(crate) async fn resolve(place: usize, address: Multiaddr, resolved: mpsc::Sender<(usize, io::Result<Multiaddr>)>) {
    // The loop may have stopped.
    let _ = resolved.send((place, look_up(address).await)).await;
}

async fn look_up(address: Multiaddr) -> io::Result<Multiaddr> {
    // A certificate is for the name: then the transport resolves it, as it does where the address is part of what is looked up.
    if address.iter().any(|part| matches!(part, Protocol::Wss(_) | Protocol::Tls)) {
        return Ok(address);
    }
    let (host, want_v4, want_v6) = match address.iter().next() {
        Some(Protocol::Dns(host)) => (host.into_owned(), true, true),
        Some(Protocol::Dns4(host)) => (host.into_owned(), true, false),
        Some(Protocol::Dns6(host)) => (host.into_owned(), false, true),
        _ => return Ok(address),
    };
    let found = tokio::net::lookup_host((host, 0)).await?;
    let mut usable = found.filter(|found| if found.is_ipv4() { want_v4 } else { want_v6 });
    let ip = usable
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address of that kind"))?
        .ip();
    Ok(address.replace(0, |_| Some(ip.into())).unwrap_or(address))
}

fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    address.iter().find_map(|part| match part {
        Protocol::P2p(peer) => Some(peer),
        _ => None,
    })
}
