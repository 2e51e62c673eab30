//! Peers and messages, for the node's operator.

use axum::Json;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use futures::future::join_all;
use libp2p::Multiaddr;
use serde_json::{Value, json};

use super::ask::{self, Segment};
use super::guard::Admin;
use super::refusal::{Refusal, quote};
use super::server::State;
use super::store::{hex, parse_hash};

/// Addresses that are dialled for one request.
const DIALS: usize = 16;

/// The connected peers, with all that they say they speak.
pub(super) async fn peers(Extract(state): Extract<State>) -> Result<Json<Value>, Refusal> {
    let node = state.node.running().ok_or_else(Refusal::stopped)?;
    let configured: Vec<&Multiaddr> = state.config.peers.iter().collect();
    let peers = node.neighbours().into_iter().map(|neighbour| {
        let id = neighbour.peer;
        let address = neighbour.address.with_p2p(id).unwrap_or_else(|address| address);
        let origin = if configured.iter().any(|known| names(known, &address)) { "Static" } else { "UnknownOrigin" };
        json!({
            "multiaddr": address.to_string(),
            "protocols": neighbour.protocols,
            "shards": [],
            "connected": "Connected",
            "agent": neighbour.agent,
            "origin": origin,
        })
    });
    Ok(Json(peers.collect()))
}

/// Whether a configured address is this one, with the peer's name or without.
fn names(configured: &Multiaddr, address: &Multiaddr) -> bool {
    address.to_string().starts_with(&configured.to_string())
}

/// Connects to peers.
pub(super) async fn connect(
    _: Admin,
    Extract(state): Extract<State>,
    ask::Json(addresses): ask::Json<Vec<String>>,
) -> Result<&'static str, Refusal> {
    let node = state.node.running().ok_or_else(Refusal::stopped)?;
    if addresses.is_empty() || addresses.len() > DIALS {
        let found = addresses.len();
        return Err(Refusal::bad(format!("expected a list of 1 to {DIALS} multiaddresses, found {found}")));
    }
    let parse = |address: &String| address.parse::<Multiaddr>().map_err(|error| (address.clone(), error));
    let addresses = addresses.iter().map(parse).collect::<Result<Vec<_>, _>>().map_err(|(address, error)| {
        let example = "/ip4/192.0.2.1/tcp/60000/p2p/16Uiu2...";
        Refusal::bad(format!("expected a multiaddress such as {example}, found {}: {error}", quote(&address)))
    })?;
    let dialled = join_all(addresses.iter().map(|address| node.dial(address.clone()))).await;
    let failed = addresses.iter().zip(dialled).filter_map(|(address, dialled)| Some((address, dialled.err()?)));
    let failed: Vec<String> = failed.map(|(address, error)| format!("{address}: {error}")).collect();
    match failed.is_empty() {
        true => Ok("OK"),
        false => Err(Refusal::bad(format!("not connected: {}", failed.join("; ")))),
    }
}

/// Deletes a message; it does not come back.
pub(super) async fn delete(
    _: Admin,
    Extract(state): Extract<State>,
    Segment(hash): Segment,
) -> Result<Json<Value>, Refusal> {
    let node = state.node.running().ok_or_else(Refusal::stopped)?;
    let id = parse_hash("the path", &hash)?;
    let archive = node.archive().clone();
    let work = move || {
        let Some(key) = archive.find(&id).map_err(Refusal::failed)? else {
            return Err(Refusal::missing(format!("no message {} is stored here", hex(&id))));
        };
        archive.delete(&[key]).map_err(|error| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))
    };
    let deleted = tokio::task::spawn_blocking(work).await.map_err(Refusal::failed)??;
    tracing::info!("deleted the message {} for the operator", hex(&id));
    Ok(Json(json!({ "deleted": deleted })))
}
