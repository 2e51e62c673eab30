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
    Ok(Json(readable(bodies)))
}

fn readable(bodies: Vec<Bytes>) -> Vec<JsonMessage> {
    let messages = bodies.into_iter().filter_map(|body| WakuMessage::decode(body).ok());
    messages.map(|message| JsonMessage::new(&message)).collect()
}

/// Confirms that pubsub topics are relayed: which ones is a setting.
pub(super) async fn subscribe(
    Extract(state): Extract<State>,
    ask::Json(topics): ask::Json<Vec<String>>,
) -> Result<&'static str, Refusal> {
    match topics.iter().find(|topic| !relays(&state, topic)) {
        None => Ok("OK"),
        Some(topic) => Err(Refusal::bad(not_relayed(&state, topic))),
    }
}

/// Keeps what is relayed of content topics from now on, to be fetched.
pub(super) async fn subscribe_auto(
    Extract(state): Extract<State>,
    ask::Json(topics): ask::Json<Vec<String>>,
) -> Result<&'static str, Refusal> {
    let node = state.node.running().ok_or_else(Refusal::stopped)?;
    for topic in &topics {
        shard(&state, topic)?;
    }
    if !node.keep_relayed(&topics) {
        let message =
            "the node keeps messages of 256 content topics at most: expected fewer, or some to be unsubscribed";
        return Err(Refusal::bad(message));
    }
    Ok("OK")
}

/// Keeps it no more.
pub(super) async fn unsubscribe_auto(
    Extract(state): Extract<State>,
    ask::Json(topics): ask::Json<Vec<String>>,
) -> Result<&'static str, Refusal> {
    let node = state.node.running().ok_or_else(Refusal::stopped)?;
    node.forget_relayed(&topics);
    Ok("OK")
}

/// The messages relayed of a content topic since this was last asked.
pub(super) async fn messages_auto(
    Extract(state): Extract<State>,
    Segment(topic): Segment,
) -> Result<Json<Vec<JsonMessage>>, Refusal> {
    let node = state.node.running().ok_or_else(Refusal::stopped)?;
    let bodies = node.relayed_of(&topic).ok_or_else(|| {
        let found = quote(&topic);
        Refusal::missing(format!("nobody has subscribed to {found}: expected POST /relay/v1/auto/subscriptions before"))
    })?;
    Ok(Json(readable(bodies)))
}

/// Publishes a message on the shard of its content topic.
pub(super) async fn publish_auto(
    Extract(state): Extract<State>,
    ask::Json(message): ask::Json<JsonMessage>,
) -> Result<&'static str, Refusal> {
    let node = state.node.running().ok_or_else(Refusal::stopped)?;
    let message = message.message(node.clock().now())?;
    let topic = shard(&state, &message.content_topic)?;
    send(&node, &topic, message.encode_to_vec().into()).await
}

/// Publishes a message on a pubsub topic.
pub(super) async fn publish(
    Extract(state): Extract<State>,
    Segment(topic): Segment,
    ask::Json(message): ask::Json<JsonMessage>,
) -> Result<&'static str, Refusal> {
    let node = state.node.running().ok_or_else(Refusal::stopped)?;
    if !relays(&state, &topic) {
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

fn relays(state: &State, topic: &str) -> bool {
    state.config.groups.iter().any(|group| group.pubsub_topic == topic)
}

/// The pubsub topic of a content topic.
fn shard(state: &State, content_topic: &str) -> Result<String, Refusal> {
    let refusal = |error| Refusal::bad(format!("the content topic {} cannot be used: {error}", quote(content_topic)));
    state.config.shard_of(content_topic).map_err(refusal)
}

fn unknown(state: &State, topic: &str) -> Refusal {
    Refusal::missing(not_relayed(state, topic))
}

fn not_relayed(state: &State, topic: &str) -> String {
    let topics: Vec<&str> = state.config.groups.iter().map(|group| group.pubsub_topic.as_str()).collect();
    format!("the pubsub topic {} is not relayed here: expected one of {}", quote(topic), topics.join(", "))
}
