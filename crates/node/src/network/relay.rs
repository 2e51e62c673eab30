//! Waku's relay as nwaku configures it; what differs says why.

use std::time::Duration;

use libp2p::gossipsub::{self, MessageId, PeerScoreParams, ValidationMode, Version};
use sha2::{Digest, Sha256};

use super::SetupError;
use crate::config::ByteSize;

/// Waku's relay: gossipsub under a name of its own.
pub(super) const RELAY_PROTOCOL: &str = "/vac/waku/relay/2.0.0";

pub(super) fn relay_config(max_size: ByteSize) -> Result<gossipsub::Config, SetupError> {
    gossipsub::ConfigBuilder::default()
        .protocol_id(RELAY_PROTOCOL, Version::V1_1)
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(|message| MessageId::new(&Sha256::digest(&message.data)))
        .heartbeat_interval(Duration::from_secs(1))
        .duplicate_cache_time(Duration::from_secs(120))
        .flood_publish(true)
        // The library compares the whole read buffer with it: several large messages in a row would silently kill the link.
        .max_transmit_size(max_size.as_usize().saturating_mul(4).max(1 << 20))
        // More ids than this in one frame pass the 16 KiB of control data that receivers accept.
        .max_control_messages_sent(400)
        .build()
        .map_err(SetupError::new)
}

/// Peers are scored by their conduct on the sync protocol (the application's score) and in gossipsub itself.
pub(super) fn scores() -> PeerScoreParams {
    PeerScoreParams {
        // Many nodes on one machine, or behind one address, are usual.
        ip_colocation_factor_weight: 0.0,
        // A busy neighbour breaks a promise now and then: as Filecoin's Lotus has it.
        behaviour_penalty_threshold: 6.0,
        behaviour_penalty_decay: gossipsub::score_parameter_decay(Duration::from_secs(3600)),
        ..PeerScoreParams::default()
    }
}
