use std::sync::Arc;
use std::time::Duration;

use hearken_archive::Admission;
use hearken_tree::Key;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::Settings;
use crate::clock::Clock;
use crate::node::Node;
use crate::trace::Trace;

/// How long to wait for the nodes to meet before they publish all the same.
const MEET: Duration = Duration::from_secs(5);

/// Publishes live messages at a steady rate, each at the next node; returns their keys, and when the last was sent.
pub(super) async fn publish(
    nodes: Arc<Vec<Node>>,
    trace: Arc<Trace>,
    clock: Clock,
    settings: Settings,
) -> (Vec<Key>, Instant) {
    // Alone they could only store them. What is published before all have met is repaired like any other loss.
    let _ = timeout(MEET, all_met(&nodes)).await;
    let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
    rng.set_stream(u64::MAX);
    let mut pace = interval(Duration::from_secs_f64(1.0 / settings.rate));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut keys = Vec::with_capacity(settings.live);
    for node in nodes.iter().cycle().take(settings.live) {
        pace.tick().await;
        let message = trace.live_message(&mut rng, clock.now());
        match node.publish(&trace.pubsub_topic, message.body).await {
            Ok(Admission::Stored(key)) => keys.push(key),
            Ok(other) => tracing::warn!(?other, "a live message was not stored"),
            Err(error) => tracing::warn!(%error),
        }
    }
    (keys, Instant::now())
}

async fn all_met(nodes: &[Node]) {
    while !nodes.iter().all(|node| node.sync().status().peers > 0) {
        sleep(Duration::from_millis(50)).await;
    }
}
