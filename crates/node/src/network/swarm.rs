//! The swarm: what a node speaks, over which transports.

use std::time::Duration;

use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::Transport as _;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::upgrade::{SelectUpgrade, Version};
use libp2p::gossipsub::{self, MessageAuthenticity, PeerScoreThresholds};
use libp2p::identity::Keypair;
use libp2p::metrics::{BandwidthTransport, Registry};
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{PeerId, Swarm, SwarmBuilder, dns, identify, mdns, noise, ping, quic, tcp, websocket, yamux};

use super::per_address::PerAddress;
use super::relay::{relay_config, scores};
use crate::config::Config;
use crate::discovery::system_resolver;

/// Between two peers without a common group nothing may keep a connection in use; streams of the synchronisation are warm anyway.
const IDLE: Duration = Duration::from_secs(600);
/// Streams that a peer may have open on one connection with mplex, which has no flow control: JavaScript clients use a handful.
const MPLEX_STREAMS: usize = 64;

/// What a node speaks.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) gossipsub: gossipsub::Behaviour,
    pub(crate) streams: libp2p_stream::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    mdns: Toggle<mdns::tokio::Behaviour>,
    limits: connection_limits::Behaviour,
    per_address: PerAddress,
}

/// The swarm could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the network could not be set up: {0}")]
pub struct SetupError(String);

impl SetupError {
    pub(super) fn new(error: impl std::fmt::Display) -> SetupError {
        SetupError(error.to_string())
    }
}

/// A node's swarm, and what its gossipsub was built with. What libp2p counts by itself goes into `registry`.
pub(crate) fn swarm(
    config: &Config,
    keypair: Keypair,
    registry: &mut Registry,
) -> Result<(Swarm<Behaviour>, gossipsub::Config), SetupError> {
    let relay = relay_config(config.messages.max_size)?;
    let behaviour = behaviour(config, relay.clone(), &keypair, registry)?;
    Ok((build(keypair, behaviour, registry)?, relay))
}

/// A swarm over [every transport](transport).
pub(super) fn build<B: NetworkBehaviour>(
    keypair: Keypair,
    behaviour: B,
    registry: &mut Registry,
) -> Result<Swarm<B>, SetupError> {
    let transport = transport(&keypair, registry)?;
    let swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_other_transport(|_| transport)
        .map_err(SetupError::new)?
        .with_behaviour(|_| behaviour)
        .map_err(SetupError::new)?
        .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(IDLE))
        .build();
    Ok(swarm)
}

/// Every transport that Waku's nodes and clients use: TCP and WebSocket, each with noise and with yamux or, where a peer knows no
/// other, mplex; QUIC. Their bytes are counted. Names are resolved as the system is configured to, or by this machine: the swarm's
/// own builder insists on the former.
fn transport(keypair: &Keypair, registry: &mut Registry) -> Result<Boxed<(PeerId, StreamMuxerBox)>, SetupError> {
    let noise = noise::Config::new(keypair).map_err(SetupError::new)?;
    let muxers = || SelectUpgrade::new(yamux::Config::default(), mplex());
    let tcp = || tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let (resolver, options) = system_resolver();

    let plain = tcp().upgrade(Version::V1Lazy).authenticate(noise.clone()).multiplex(muxers());
    let plain = plain.map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    let quic = quic::tokio::Transport::new(quic::Config::new(keypair));
    let quic = quic.map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    let direct = plain.or_transport(quic).map(|either, _| either.into_inner());
    let direct = dns::tokio::Transport::custom(direct, resolver.clone(), options.clone());

    // It resolves by itself, since a certificate is for the name.
    let websocket = websocket::Config::new(dns::tokio::Transport::custom(tcp(), resolver, options));
    let websocket = websocket.upgrade(Version::V1Lazy).authenticate(noise).multiplex(muxers());
    let websocket = websocket.map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    let all = websocket.or_transport(direct).map(|either, _| either.into_inner());
    let counted = BandwidthTransport::new(all, registry);
    Ok(counted.map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection))).boxed())
}

fn mplex() -> libp2p_mplex::Config {
    let mut mplex = libp2p_mplex::Config::new();
    // Reading stops where a stream's buffer is full: without flow control, the alternative is to lose the stream.
    mplex.set_max_num_streams(MPLEX_STREAMS).set_max_buffer_behaviour(libp2p_mplex::MaxBufferBehaviour::Block);
    mplex
}

fn behaviour(
    config: &Config,
    relay: gossipsub::Config,
    keypair: &Keypair,
    registry: &mut Registry,
) -> Result<Behaviour, SetupError> {
    let gossipsub = gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, relay).map_err(SetupError::new)?;
    // Names of topics that only others know are foreign text, and there may be any number of them.
    let counted = gossipsub::MetricsConfig { max_never_subscribed_topics: 0, ..Default::default() };
    let mut gossipsub = gossipsub.with_metrics(registry.sub_registry_with_prefix("gossipsub"), counted);
    gossipsub.with_peer_score(scores(), PeerScoreThresholds::default()).map_err(SetupError::new)?;
    let limits = ConnectionLimits::default()
        .with_max_established(Some(config.max_connections))
        .with_max_pending_incoming(Some(config.max_connections))
        .with_max_established_per_peer(Some(2));
    Ok(Behaviour {
        gossipsub,
        streams: libp2p_stream::Behaviour::new(),
        identify: identify(keypair),
        ping: ping::Behaviour::default(),
        mdns: mdns(config.discovery.mdns, keypair.public().to_peer_id())?,
        limits: connection_limits::Behaviour::new(limits),
        per_address: PerAddress::new(config.max_connections_per_address),
    })
}

pub(super) fn identify(keypair: &Keypair) -> identify::Behaviour {
    let agent = format!("hearken/{}", env!("CARGO_PKG_VERSION"));
    let identify = identify::Config::new("/ipfs/id/1.0.0".to_owned(), keypair.public()).with_agent_version(agent);
    identify::Behaviour::new(identify)
}

fn mdns(wanted: bool, own: PeerId) -> Result<Toggle<mdns::tokio::Behaviour>, SetupError> {
    let mdns = wanted.then(|| mdns::tokio::Behaviour::new(mdns::Config::default(), own)).transpose();
    Ok(mdns.map_err(|error| SetupError(format!("mDNS (setting discovery.mdns): {error}")))?.into())
}
