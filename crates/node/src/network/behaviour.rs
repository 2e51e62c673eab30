use std::time::Duration;

use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::gossipsub::{
    self, MessageAuthenticity, MessageId, PeerScoreParams, PeerScoreThresholds, ValidationMode, Version,
};
use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;
use libp2p::{Swarm, SwarmBuilder, identify, noise, ping, tcp, yamux};
use sha2::{Digest, Sha256};

use crate::config::Config;

/// Waku's relay: gossipsub under a name of its own.
const RELAY_PROTOCOL: &str = "/vac/waku/relay/2.0.0";

/// What a node speaks.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) gossipsub: gossipsub::Behaviour,
    pub(crate) streams: libp2p_stream::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    limits: connection_limits::Behaviour,
}

/// The swarm could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the network could not be set up: {0}")]
pub struct SetupError(String);

/// The swarm, and what its gossipsub was built with.
pub(crate) fn swarm(config: &Config, keypair: Keypair) -> Result<(Swarm<Behaviour>, gossipsub::Config), SetupError> {
    let relay = relay_config(config)?;
    let behaviour = behaviour(config, relay.clone(), &keypair)?;
    let swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .map_err(setup)?
        .with_behaviour(|_| behaviour)
        .map_err(setup)?
        // Streams of the synchronisation are kept warm anyway; between two peers without a common group nothing else may be.
        .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(Duration::from_secs(600)))
        .build();
    Ok((swarm, relay))
}

fn behaviour(config: &Config, relay: gossipsub::Config, keypair: &Keypair) -> Result<Behaviour, SetupError> {
    let mut gossipsub = gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, relay).map_err(setup)?;
    gossipsub.with_peer_score(scores(), PeerScoreThresholds::default()).map_err(setup)?;
    let agent = format!("hearken/{}", env!("CARGO_PKG_VERSION"));
    let identify = identify::Config::new("/ipfs/id/1.0.0".to_owned(), keypair.public()).with_agent_version(agent);
    let limits = ConnectionLimits::default()
        .with_max_established(Some(config.max_connections))
        .with_max_pending_incoming(Some(config.max_connections))
        .with_max_established_per_peer(Some(2));
    Ok(Behaviour {
        gossipsub,
        streams: libp2p_stream::Behaviour::new(),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::default(),
        limits: connection_limits::Behaviour::new(limits),
    })
}

/// Waku's relay as nwaku configures it; what differs says why.
fn relay_config(config: &Config) -> Result<gossipsub::Config, SetupError> {
    gossipsub::ConfigBuilder::default()
        .protocol_id(RELAY_PROTOCOL, Version::V1_1)
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(|message| MessageId::new(&Sha256::digest(&message.data)))
        .heartbeat_interval(Duration::from_secs(1))
        .duplicate_cache_time(Duration::from_secs(120))
        .flood_publish(true)
        // The library compares the whole read buffer with it: several large messages in a row would silently kill the link.
        .max_transmit_size(config.messages.max_size.as_usize().saturating_mul(4).max(1 << 20))
        // More ids than this in one frame pass the 16 KiB of control data that receivers accept.
        .max_control_messages_sent(400)
        .build()
        .map_err(setup)
}

/// Peers are scored by their conduct on the sync protocol (the application's score) and in gossipsub itself.
fn scores() -> PeerScoreParams {
    PeerScoreParams {
        // Many nodes on one machine, or behind one address, are usual.
        ip_colocation_factor_weight: 0.0,
        // A busy neighbour breaks a promise now and then: as Filecoin's Lotus has it.
        behaviour_penalty_threshold: 6.0,
        behaviour_penalty_decay: gossipsub::score_parameter_decay(Duration::from_secs(3600)),
        ..PeerScoreParams::default()
    }
}

fn setup(error: impl std::fmt::Display) -> SetupError {
    SetupError(error.to_string())
}
