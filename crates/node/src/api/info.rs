//! Who the node is, and whether it is well.

use axum::Json;
use axum::extract::State as Extract;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::server::State;

/// The program's version, as nwaku gives its own.
pub(super) async fn version() -> String {
    format!("hearken v{}", env!("CARGO_PKG_VERSION"))
}

pub(super) async fn info(Extract(state): Extract<State>) -> Result<Json<Value>, Refusal> {
    let node = state.node.running().ok_or_else(Refusal::stopped)?;
    let addresses = node.listening().iter().map(|address| format!("{address}/p2p/{}", node.peer_id()));
    Ok(Json(json!({ "listenAddresses": addresses.collect::<Vec<_>>() })))
}

/// 200 while the node can do its work; 503 with the reason while it cannot.
pub(super) async fn health(Extract(state): Extract<State>) -> Result<Response, Refusal> {
    let node = state.node.running().ok_or_else(Refusal::stopped)?;
    let trouble = node.trouble();
    let protocol = |name: &str, status: &str, reason: Option<&str>| match reason {
        Some(reason) => json!({ name: status, "desc": reason }),
        None => json!({ name: status }),
    };
    let reason = trouble.as_ref().map(|trouble| {
        let lasts = trouble.lasts.as_secs();
        format!("the archive cannot be written for {lasts} s ({} failures): {}", trouble.failures, trouble.reason)
    });
    let peers = node.neighbours().len();
    let alone = (peers == 0).then_some("no peer is connected");
    let relay = if peers == 0 { "Not Ready" } else { "Ready" };
    let (status, word) = match reason {
        None => (StatusCode::OK, "Ready"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "Not Ready"),
    };
    let report = json!({
        "nodeHealth": word,
        "reason": reason,
        "protocolsHealth": [
            protocol("Relay", relay, alone),
            protocol("Store", word, reason.as_deref()),
            protocol("Sync", relay, alone),
        ],
    });
    Ok((status, Json(report)).into_response())
}

pub(super) async fn metrics(Extract(state): Extract<State>) -> Result<Response, Refusal> {
    let node = state.node.running().ok_or_else(Refusal::stopped)?;
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, state.metrics.render(&node)).into_response())
}

pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], super::OPENAPI).into_response()
}
