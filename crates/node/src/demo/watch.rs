use std::sync::Arc;
use std::time::Duration;

use hearken_archive::{Filter, ReadError};
use hearken_tree::{GroupId, Key, KeyRange};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::screen::{NodeLine, Screen};
use super::{DemoError, Settings};
use crate::node::Node;
use crate::trace::Trace;

/// How often the nodes are looked at: how exact the times are that are told.
const LOOK: Duration = Duration::from_millis(20);

/// What was seen from when the nodes were online.
pub(super) struct Watched {
    /// Keys of the live messages.
    pub(super) published: Vec<Key>,
    /// Until every node held all of the history; `None`: never.
    pub(super) history: Option<Duration>,
    /// From the last live message until every node held all; `None`: never.
    pub(super) after_live: Option<Duration>,
}

/// How many messages a node holds.
#[derive(Clone, Copy)]
struct Held {
    history: u64,
    all: u64,
}

/// Waits until every node holds as many messages as were sent, or the time is up.
pub(super) async fn until_equal(
    nodes: &Arc<Vec<Node>>,
    trace: &Arc<Trace>,
    mut live: JoinHandle<(Vec<Key>, Instant)>,
    settings: &Settings,
    screen: &Screen,
) -> Result<Watched, DemoError> {
    let start = Instant::now();
    let history = trace.messages.len() as u64;
    let mut watched = Watched { published: Vec::new(), history: None, after_live: None };
    let mut last_sent = None;
    let mut progress = screen.progress(settings.nodes, history + settings.live as u64);
    while watched.after_live.is_none() && start.elapsed() < settings.timeout {
        tokio::select! {
            sent = &mut live, if last_sent.is_none() => {
                let (published, at) = sent?;
                (watched.published, last_sent) = (published, Some(at));
            }
            () = sleep(LOOK) => {}
        }
        let held = look(nodes, trace).await?;
        if watched.history.is_none() && held.iter().all(|held| held.history == history) {
            watched.history = Some(start.elapsed());
        }
        let sent = history + watched.published.len() as u64;
        if let Some(at) = last_sent.filter(|_| held.iter().all(|held| held.all == sent)) {
            watched.after_live = Some(at.elapsed());
        }
        progress.show(held.iter().zip(nodes.iter()).map(|(held, node)| NodeLine::new(held.all, node)));
    }
    live.abort();
    progress.finish();
    Ok(watched)
}

async fn look(nodes: &Arc<Vec<Node>>, trace: &Arc<Trace>) -> Result<Vec<Held>, DemoError> {
    let (nodes, trace) = (nodes.clone(), trace.clone());
    let group = Filter { pubsub_topic: trace.pubsub_topic.clone(), content_topics: Default::default() }.group();
    let look = move || nodes.iter().map(|node| held(node, &group, &trace)).collect::<Result<Vec<_>, _>>();
    Ok(tokio::task::spawn_blocking(look).await??)
}

/// Whether all of the history is there, the index tells: it is asked only where there are messages enough, since a look at it makes it
/// follow what came, and a node that repairs does so by itself, when it needs it.
fn held(node: &Node, group: &GroupId, trace: &Trace) -> Result<Held, ReadError> {
    let all = node.stats().messages;
    if all < trace.messages.len() as u64 {
        return Ok(Held { history: all, all });
    }
    let kept = node.archive().view(group)?.kept;
    // Live messages are younger than the history: the clock is past it.
    let history = kept.count(&KeyRange::between(0, trace.bounds().1 + 1))?;
    Ok(Held { history, all: kept.len() })
}
