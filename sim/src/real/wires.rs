//! A transport in memory whose connections take as long as the scenario says.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use futures::{FutureExt as _, TryFutureExt as _, future::BoxFuture};
use libp2p::{
    Multiaddr,
    core::{
        Transport,
        transport::{
            DialOpts, ListenerId, MemoryTransport, TransportError, TransportEvent,
            memory::{Channel, MemoryTransportError},
        },
    },
    multiaddr::Protocol,
};

use super::{
    late::Late,
    path::{Path, Weather},
};
use crate::net::{Nanos, NodeId, dice::Dice, node_id, port::Port};

/// All runs of a process share the ports of its memory.
static NEXT_PORT: AtomicU64 = AtomicU64::new(1);

/// Where nodes listen, and what lies between them.
pub(super) struct Map {
    /// Where each node listens now. A port is never used twice: the transport in memory does not give it back.
    pub(super) ports: Vec<AtomicU64>,
    /// By node: whom it dials, and how long that takes one way.
    pub(super) latencies: Vec<Vec<(NodeId, Nanos)>>,
    /// How fast each node sends and receives.
    pub(super) access: Vec<Arc<Mutex<Port>>>,
    pub(super) weather: Arc<Weather>,
}

impl Map {
    pub(super) fn address(&self, node: NodeId) -> Multiaddr {
        let port = self.ports.get(node as usize).map_or(0, |port| port.load(Ordering::Relaxed));
        Protocol::Memory(port).into()
    }

    /// Where a node listens that starts, or starts again.
    pub(super) fn move_in(&self, node: NodeId) -> Multiaddr {
        let new = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
        if let Some(port) = self.ports.get(node as usize) {
            port.store(new, Ordering::Relaxed);
        }
        self.address(node)
    }

    fn path(&self, from: NodeId, address: &Multiaddr) -> Option<Path> {
        let port = address.iter().find_map(|part| if let Protocol::Memory(port) = part { Some(port) } else { None })?;
        let to = node_id(self.ports.iter().position(|other| other.load(Ordering::Relaxed) == port)?);
        let (_, latency) = *self.latencies.get(from as usize)?.iter().find(|(peer, _)| *peer == to)?;
        let access = |node: NodeId| self.access.get(node as usize).cloned();
        let (here, there) = (access(from)?, access(to)?);
        Some(Path { latency, here, there, weather: self.weather.clone(), dice: Dice::new(port) })
    }
}

/// The wires of one node. Who dials delays both directions, so that who listens need not know who came.
pub(super) struct Wires {
    pub(super) inner: MemoryTransport,
    pub(super) node: NodeId,
    pub(super) map: Arc<Map>,
}

/// A connection.
pub(super) type Wire = Late<Channel<Vec<u8>>>;

impl Transport for Wires {
    type Output = Wire;
    type Error = MemoryTransportError;
    type ListenerUpgrade = BoxFuture<'static, Result<Wire, MemoryTransportError>>;
    type Dial = BoxFuture<'static, Result<Wire, MemoryTransportError>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<Self::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, opts: DialOpts) -> Result<Self::Dial, TransportError<Self::Error>> {
        let path = self.map.path(self.node, &address);
        let dialed = self.inner.dial(address, opts)?;
        Ok(dialed.map_ok(|channel| Late::new(channel, path)).boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        let event = Pin::new(&mut self.inner).poll(cx);
        let late = |channel| Late::new(channel, None);
        event.map(|event| event.map_upgrade(|upgrade| upgrade.map_ok(late).boxed()))
    }
}
