//! Connecting to peers that were found: by lists in DNS, in the local network, by the host's own source, or before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use tokio::time::Instant;

use super::book::{Book, write};
use crate::discovery::{FoundPeer, without_peer};

/// Keeps so many connections with peers of the book.
pub(crate) struct Seeker {
    folder: PathBuf,
    book: Book,
    /// How many connections this node makes.
    wanted: usize,
    /// The shards of this node: peers that say that they have none of them are not sought.
    shards: Vec<(u16, u16)>,
    dialling: BTreeMap<ConnectionId, PeerId>,
    connected: BTreeSet<PeerId>,
    /// Those of them that were sought, and whether they speak sync, once they have said.
    sought: BTreeMap<PeerId, Option<bool>>,
}

impl Seeker {
    pub(crate) fn new(folder: PathBuf, own: PeerId, wanted: u32, shards: Vec<(u16, u16)>) -> Seeker {
        Seeker {
            book: Book::load(&folder, own),
            folder,
            wanted: usize::try_from(wanted).unwrap_or(usize::MAX),
            shards,
            dialling: BTreeMap::new(),
            connected: BTreeSet::new(),
            sought: BTreeMap::new(),
        }
    }

    /// Takes note of a peer that was found.
    pub(crate) fn found(&mut self, found: FoundPeer) {
        if found.may_relay(&self.shards) {
            self.book.found(found);
        }
    }

    fn missing(&self) -> bool {
        self.sought.len() + self.dialling.len() < self.wanted
    }

    /// When to ask [`due`](Seeker::due) again.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        let skip = |peer: &PeerId| self.is_known(peer);
        if !self.missing() {
            return None;
        }
        self.book.next(now, skip).map_or_else(|| self.book.deadline(skip), |_| Some(now))
    }

    /// The next peer to dial, if there is one now.
    pub(crate) fn due(&mut self, now: Instant) -> Option<DialOpts> {
        if !self.missing() {
            return None;
        }
        let (peer, addresses) = self.book.next(now, |peer| self.is_known(peer))?;
        let dial = DialOpts::peer_id(peer).addresses(addresses).condition(PeerCondition::Disconnected).build();
        self.dialling.insert(dial.connection_id(), peer);
        Some(dial)
    }

    fn is_known(&self, peer: &PeerId) -> bool {
        self.connected.contains(peer) || self.dialling.values().any(|dialling| dialling == peer)
    }

    /// A connection stands.
    pub(crate) fn connected(&mut self, id: ConnectionId, peer: PeerId, unix_nanos: u64) {
        self.connected.insert(peer);
        if self.dialling.remove(&id).is_some() {
            self.sought.insert(peer, None);
            self.book.reached(&peer, unix_nanos / 1_000_000_000);
        }
    }

    /// The last connection with a peer is gone.
    pub(crate) fn disconnected(&mut self, peer: PeerId, now: Instant) {
        self.connected.remove(&peer);
        if self.sought.remove(&peer).is_some() {
            self.book.put_off(&peer, now);
        }
    }

    /// A dial failed.
    pub(crate) fn failed(&mut self, id: ConnectionId, now: Instant) {
        if let Some(peer) = self.dialling.remove(&id) {
            self.book.put_off(&peer, now);
        }
    }

    /// A peer has said what it speaks and where it listens. `true` if it had better make room: where connections are short, at
    /// least half of them should be with peers that speak sync, as long as the book knows any that may.
    pub(crate) fn identified(
        &mut self,
        peer: PeerId,
        from: &Multiaddr,
        listen: Vec<Multiaddr>,
        speaks: Speaks,
    ) -> bool {
        // Clients come and go, and listen nowhere.
        if speaks.relay {
            let local = is_loopback(from);
            let usable = listen.into_iter().filter(|address| local || !is_loopback(address));
            self.book.identified(peer, usable.map(without_peer).collect(), speaks.sync);
        }
        let Some(known) = self.sought.get_mut(&peer) else { return false };
        *known = Some(speaks.sync);
        let with_sync = self.sought.values().filter(|sync| **sync == Some(true)).count();
        !speaks.sync
            && self.sought.len() >= self.wanted
            && with_sync * 2 < self.wanted
            && self.book.may_find_sync(|peer| self.is_known(peer))
    }

    /// Writes the book, if it has changed. Blocks.
    pub(crate) fn take_changes(&mut self) -> Option<impl FnOnce() + Send + 'static> {
        let (bytes, folder) = (self.book.take_changes()?, self.folder.clone());
        Some(move || {
            if let Err(error) = write(&folder, &bytes) {
                tracing::warn!(%error, "the peer book cannot be written");
            }
        })
    }
}

/// What of a peer's protocols matters here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speaks {
    pub(crate) relay: bool,
    pub(crate) sync: bool,
}

impl Speaks {
    pub(crate) fn of(protocols: &[StreamProtocol]) -> Speaks {
        let speaks = |name: &str| protocols.iter().any(|protocol| protocol.as_ref() == name);
        Speaks { relay: speaks(super::relay::RELAY_PROTOCOL), sync: speaks(hearken::PROTOCOL) }
    }
}

fn is_loopback(address: &Multiaddr) -> bool {
    address.iter().any(|part| match part {
        Protocol::Ip4(ip) => ip.is_loopback(),
        Protocol::Ip6(ip) => ip.is_loopback(),
        _ => false,
    })
}
