//! Settings in force, and those that change while the node runs.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use serde_json::Value;

use super::ask::{self, MaybeJson, Segment};
use super::guard::Admin;
use super::refusal::{Refusal, quote};
use super::server::State;
use crate::config::{ChangeError, Changed};

/// The settings in force. There is no secret among them.
pub(super) async fn get(Extract(state): Extract<State>) -> Result<Json<Value>, Refusal> {
    serde_json::to_value(state.settings.current()).map(Json).map_err(Refusal::failed)
}

/// Takes settings by name, such as `{"sync.interval_min": "10s"}`.
pub(super) async fn change(
    _: Admin,
    Extract(state): Extract<State>,
    ask::Json(given): ask::Json<BTreeMap<String, Value>>,
) -> Result<Json<Changed>, Refusal> {
    let node = state.node.running().ok_or_else(Refusal::stopped)?;
    let text = |(name, value): (String, Value)| match value {
        Value::String(text) => Ok((name, text)),
        Value::Number(number) => Ok((name, number.to_string())),
        Value::Bool(flag) => Ok((name, flag.to_string())),
        _ => Err(Refusal::bad(format!("expected text, a number, true or false for the setting {}", quote(&name)))),
    };
    let given = given.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    if given.is_empty() {
        return Err(Refusal::bad(r#"expected settings by name, such as {"sync.interval_min": "10s"}"#));
    }
    done(state.settings.change(&given, node.sync()))
}

/// Reads file, environment and flags again, as SIGHUP does.
pub(super) async fn reload(
    _: Admin,
    Extract(state): Extract<State>,
    _: MaybeJson<Value>,
) -> Result<Json<Changed>, Refusal> {
    let node = state.node.running().ok_or_else(Refusal::stopped)?;
    done(state.settings.reload(node.sync()))
}

/// nwaku's way to change what is logged.
pub(super) async fn log_level(
    _: Admin,
    Extract(state): Extract<State>,
    Segment(level): Segment,
    _: MaybeJson<Value>,
) -> Result<Json<Changed>, Refusal> {
    let node = state.node.running().ok_or_else(Refusal::stopped)?;
    // nwaku has some levels that are called otherwise.
    let level = match level.to_ascii_lowercase().as_str() {
        "notice" => "info".to_owned(),
        "fatal" => "error".to_owned(),
        "none" => "off".to_owned(),
        other => other.to_owned(),
    };
    if !["trace", "debug", "info", "warn", "error", "off"].contains(&level.as_str()) {
        let expected = "trace, debug, info, notice, warn, error, fatal or none";
        return Err(Refusal::bad(format!("expected {expected} in the path, found {}", quote(&level))));
    }
    done(state.settings.change(&[("log".to_owned(), level)], node.sync()))
}

fn done(changed: Result<Changed, ChangeError>) -> Result<Json<Changed>, Refusal> {
    let changed = changed.map_err(|error| match error {
        ChangeError::Restart(_) => Refusal::new(StatusCode::CONFLICT, error.to_string()),
        error => Refusal::bad(error.to_string()),
    })?;
    tracing::info!("settings changed: {}", list(&changed.changed));
    if !changed.restart.is_empty() {
        tracing::warn!("these settings take a restart to change: {}", list(&changed.restart));
    }
    Ok(Json(changed))
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
