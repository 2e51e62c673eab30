//! Live messages: publishing, and reading what was relayed.

use axum::Json;
use axum::extract::State as Extract;
use bytes::Bytes;
use hearken_archive::{Admission, RefusalReason};
use hearken_waku::WakuMessage;
use prost::Message;

use super::ask::{self, Segment};
use super::message::JsonMessage;
use super::refusal::{Refusal, quote};
use super::server::State;
use crate::node::{PublishError, Running};

/// The messages relayed on a topic since this was last asked.
pub(super) async fn messages(
    Extract(state): Extract<State>,
    Segment(topic): Segment,
) -> Result<Json<Vec<JsonMessage>>, Refusal> {
    let node = state.node.running().ok_or_else(Refusal::stopped)?;
    let bodies = node.relayed(&topic).ok_or_else(|| unknown(&state, &topic))?;
    let messages = bodies.into_iter().filter_map(|body| WakuMessage::decode(body).ok());
    Ok(Json(messages.map(|message| JsonMessage::new(&message)).collect()))
}

/// Publishes a message on a pubsub topic.
pub(super) async fn publish(
    Extract(state): Extract<State>,
    Segment(topic): Segment,
    ask::Json(message): ask::Json<JsonMessage>,
) -> Result<&'static str, Refusal> {
    let node = state.node.running().ok_or_else(Refusal::stopped)?;
    if !state.config.groups.iter().any(|group| group.pubsub_topic == topic) {
        return Err(Refusal::bad(format!("the message was not published: {}", not_relayed(&state, &topic))));
    }
    let body = message.message(node.clock().now())?.encode_to_vec();
    send(&node, &topic, body.into()).await
}

async fn send(node: &Running, topic: &str, body: Bytes) -> Result<&'static str, Refusal> {
    match node.publish(topic, body).await {
        // Not to be kept, or of no group here: relayed all the same.
        Ok(Admission::Refused(_, RefusalReason::Ephemeral | RefusalReason::NoGroup)) => Ok("OK"),
        Ok(Admission::Stored(_) | Admission::Held(_)) => Ok("OK"),
        Ok(Admission::Refused(_, reason)) => {
            Err(Refusal::bad(format!("the message was relayed, but is not stored: {reason}")))
        }
        Ok(Admission::Malformed(reason)) => Err(Refusal::bad(format!("the message is malformed: {reason}"))),
        Ok(Admission::Unasked(_)) => Err(Refusal::failed("a published message was taken for a synced one")),
        Err(error @ PublishError::Refused(_)) => Err(Refusal::bad(error.to_string())),
        Err(error) => Err(Refusal::unavailable(error.to_string())),
    }
}

fn unknown(state: &State, topic: &str) -> Refusal {
    Refusal::missing(not_relayed(state, topic))
}

fn not_relayed(state: &State, topic: &str) -> String {
    let topics: Vec<&str> = state.config.groups.iter().map(|group| group.pubsub_topic.as_str()).collect();
    format!("the pubsub topic {} is not relayed here: expected one of {}", quote(topic), topics.join(", "))
}
