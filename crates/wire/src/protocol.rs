/// The libp2p protocol id of the stream between two neighbours.
pub const PROTOCOL: &str = "/hearken/sync/1.0.0";

/// The ids to offer when a stream is negotiated, newest first.
pub const PROTOCOLS: &[&str] = &[PROTOCOL];

/// What a control topic's name starts with.
const CONTROL_TOPIC_PREFIX: &str = "/hearken/1/ihave";

/// The gossipsub topic on which IHAVEs about a pubsub topic's groups travel.
///
/// ```
/// assert_eq!(hearken_wire::control_topic("/waku/2/rs/0/1"), "/hearken/1/ihave/waku/2/rs/0/1");
/// ```
pub fn control_topic(pubsub_topic: &str) -> String {
    format!("{CONTROL_TOPIC_PREFIX}{pubsub_topic}")
}
