//! Work that takes long, told as it goes: fetching history, comparing with another node. Whoever stops listening stops it.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State as Extract;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream::unfold;
use libp2p::Multiaddr;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at};

use super::ask;
use super::guard::Admin;
use super::refusal::{Refusal, quote};
use super::server::State;
use crate::backfill::Backfill;
use crate::diff::Diff;
use crate::node::Running;
use crate::remote::{BackfillRequest, DiffRequest, NODE, Outcome, Told};

/// Lines that wait for whoever listens; the work waits where there are more.
const LINES: usize = 256;
/// How often it is said that the work goes on: more often than connections on which nothing moves are closed.
const EVERY: Duration = Duration::from_secs(5);
/// Nodes that are tried for one request.
const PEERS: usize = 16;
/// Messages that are shown of a range.
const SHOW: usize = 100_000;

/// Fetches older history.
pub(super) async fn backfill(
    _: Admin,
    Extract(state): Extract<State>,
    headers: HeaderMap,
    ask::Json(request): ask::Json<BackfillRequest>,
) -> Result<Response, Refusal> {
    let node = state.node.running().ok_or_else(Refusal::stopped)?;
    meant(&node, &headers)?;
    if request.peers.len() > PEERS {
        let found = request.peers.len();
        return Err(Refusal::bad(format!("expected at most {PEERS} peers, found {found}")));
    }
    let named = request.peers.iter().map(|peer| address(peer)).collect::<Result<Vec<_>, _>>()?;
    let peers = if named.is_empty() { state.config.peers.clone() } else { named };
    if peers.is_empty() {
        return Err(Refusal::bad("expected a node to fetch from in the field peers, or in the setting peers"));
    }
    let backfill = Backfill::new(node.archive().clone(), &state.config, (request.from, request.to))
        .map_err(|error| Refusal::bad(error.to_string()))?;
    work(&state, move |lines| async move {
        let tell = |line| drop(lines.try_send(Told::Line(line)));
        match backfill.fetch(&peers, tell).await {
            Ok(fetched) => Told::Done(Outcome::Fetched(fetched)),
            Err(error) => Told::Failed(error.to_string()),
        }
    })
}

/// Compares with another node.
pub(super) async fn diff(
    _: Admin,
    Extract(state): Extract<State>,
    headers: HeaderMap,
    ask::Json(request): ask::Json<DiffRequest>,
) -> Result<Response, Refusal> {
    let node = state.node.running().ok_or_else(Refusal::stopped)?;
    meant(&node, &headers)?;
    let peer = address(&request.peer)?;
    let range = (request.from, request.to);
    let diff = Diff::new(node.archive().clone(), &state.config, range, request.show.min(SHOW)).map_err(Refusal::bad)?;
    work(&state, move |lines| async move {
        // Waits where nobody reads; once whoever listened has gone, this ends as well.
        let mut tell = |line| drop(tokio::task::block_in_place(|| lines.blocking_send(Told::Line(line))));
        let compared = diff.with(&peer, &mut tell).await;
        match compared {
            Ok(count) => Told::Done(Outcome::Differences { count, from: diff.from, to: diff.to }),
            Err(error) => Told::Failed(error.to_string()),
        }
    })
}

/// Whether this is the node that is meant, where one is named.
fn meant(node: &Running, headers: &HeaderMap) -> Result<(), Refusal> {
    let own = node.peer_id().to_string();
    match headers.get(NODE).map(|named| named.to_str().unwrap_or_default()) {
        Some(named) if named != own => {
            let message = format!("another node is meant, {}: here is {own}, on another data folder", quote(named));
            Err(Refusal::new(StatusCode::CONFLICT, message))
        }
        _ => Ok(()),
    }
}

fn address(text: &str) -> Result<Multiaddr, Refusal> {
    text.parse().map_err(|error| {
        let example = "/ip4/192.0.2.1/tcp/60000";
        Refusal::bad(format!("expected a multiaddress such as {example}, found {}: {error}", quote(text)))
    })
}

/// Starts the work, one at a time, and answers with what it tells.
fn work<F>(state: &State, work: impl FnOnce(mpsc::Sender<Told>) -> F) -> Result<Response, Refusal>
where
    F: Future<Output = Told> + Send + 'static,
{
    let turn = state.work.clone().try_acquire_owned();
    let turn =
        turn.map_err(|_| Refusal::unavailable("another backfill or comparison is under way: try again later"))?;
    let (tell, told) = mpsc::channel(LINES);
    let work = work(tell.clone());
    let mut stop = state.stop.clone();
    tokio::spawn(async move {
        let _turn = turn;
        let (mut work, started) = (std::pin::pin!(work), Instant::now());
        let mut ticks = interval_at(started + EVERY, EVERY);
        let last = loop {
            tokio::select! {
                last = &mut work => break last,
                _ = stop.wait_for(|stop| *stop) => break Told::Failed("the node is stopping".to_owned()),
                () = tell.closed() => return,
                _ = ticks.tick() => drop(tell.try_send(Told::Working(started.elapsed().as_secs()))),
            }
        };
        let _ = tell.send(last).await;
    });
    let lines = unfold(told, |mut told| async move {
        let mut line = serde_json::to_vec(&told.recv().await?).unwrap_or_default();
        line.push(b'\n');
        Some((Ok::<Bytes, std::convert::Infallible>(line.into()), told))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}
