//! Who is connected, and what identify told of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use libp2p::core::ConnectedPoint;
use libp2p::{Multiaddr, PeerId, identify};

/// What a peer says of itself is cut to this: it is foreign text.
const TEXT: usize = 128;
/// Protocols of a peer that are remembered.
const PROTOCOLS: usize = 64;

/// A connected peer.
#[derive(Clone, Debug)]
pub struct Neighbour {
    /// Who.
    pub peer: PeerId,
    /// Where it was reached, or came from.
    pub address: Multiaddr,
    /// Whether this node dialled it.
    pub dialled: bool,
    /// Since when it is connected.
    pub since: Instant,
    /// What it calls itself; empty until identify has told.
    pub agent: String,
    /// What it says that it speaks.
    pub protocols: Vec<String>,
}

/// All connected peers.
#[derive(Debug, Default)]
pub(crate) struct Neighbours(Mutex<BTreeMap<PeerId, Neighbour>>);

impl Neighbours {
    pub(crate) fn connected(&self, peer: PeerId, endpoint: &ConnectedPoint) {
        self.lock().entry(peer).or_insert_with(|| Neighbour {
            peer,
            address: endpoint.get_remote_address().clone(),
            dialled: endpoint.is_dialer(),
            since: Instant::now(),
            agent: String::new(),
            protocols: Vec::new(),
        });
    }

    pub(crate) fn disconnected(&self, peer: &PeerId) {
        self.lock().remove(peer);
    }

    pub(crate) fn identified(&self, peer: &PeerId, info: &identify::Info) {
        let cut = |text: &str| text.chars().take(TEXT).collect::<String>();
        if let Some(neighbour) = self.lock().get_mut(peer) {
            neighbour.agent = cut(&info.agent_version);
            neighbour.protocols = info.protocols.iter().take(PROTOCOLS).map(|name| cut(name.as_ref())).collect();
        }
    }

    pub(crate) fn all(&self) -> Vec<Neighbour> {
        self.lock().values().cloned().collect()
    }

    /// A poisoned lock means that a thread panicked between two plain assignments: what is there is still good.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<PeerId, Neighbour>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
