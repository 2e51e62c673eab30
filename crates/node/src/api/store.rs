//! Stored messages, by topics, time and hash.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use base64::Engine;
use hearken_archive::StoredMessage;
use hearken_tree::Id;
use hearken_waku::WakuMessage;
use hearken_waku::store::{DEFAULT_PAGE, MAX_CONTENT_TOPICS, MAX_PAGE, StoreQuery, Unanswered, page};
use prost::Message;
use serde::Serialize;

use super::ask::Parameters;
use super::message::{BASE64, JsonMessage};
use super::refusal::{Refusal, quote};
use super::server::State;

const PARAMETERS: [&str; 10] = [
    "peerAddr",
    "includeData",
    "pubsubTopic",
    "contentTopics",
    "startTime",
    "endTime",
    "hashes",
    "cursor",
    "pageSize",
    "ascending",
];

/// An answer, as nwaku gives it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    request_id: String,
    status_code: u32,
    status_desc: &'static str,
    messages: Vec<Entry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pagination_cursor: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    message_hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<JsonMessage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pubsub_topic: Option<String>,
}

/// A page of the stored messages: the Store protocol's answer, by another way in. `peerAddr`, which names another node to ask, is
/// taken and ignored: this one has a store.
pub(super) async fn messages(Extract(state): Extract<State>, parameters: Parameters) -> Result<Json<Page>, Refusal> {
    let node = state.node.running().ok_or_else(Refusal::stopped)?;
    parameters.only(&PARAMETERS)?;
    let query = query(&parameters)?;
    let (archive, include_data) = (node.archive().clone(), query.include_data);
    let found = tokio::task::spawn_blocking(move || page(&*archive, &query)).await.map_err(Refusal::failed)?;
    let found = found.map_err(unanswered)?;
    let entry = |message: StoredMessage| Entry {
        message_hash: hex(&message.key.id()),
        message: include_data.then(|| WakuMessage::decode(message.body).ok()).flatten().map(|m| JsonMessage::new(&m)),
        pubsub_topic: include_data.then(|| message.pubsub_topic.to_string()),
    };
    Ok(Json(Page {
        request_id: String::new(),
        status_code: 200,
        status_desc: "OK",
        messages: found.messages.into_iter().map(entry).collect(),
        pagination_cursor: found.cursor.as_ref().map(hex),
    }))
}

/// What the parameters ask for. Without any, everything: who asks here asks for pages, and knows that a list was not left out.
fn query(parameters: &Parameters) -> Result<StoreQuery, Refusal> {
    let list = |name: &str| -> Vec<String> {
        let listed = parameters.text(name).unwrap_or_default().split(',').map(str::trim);
        listed.filter(|item| !item.is_empty()).map(str::to_owned).collect()
    };
    let size = parameters.number("pageSize", "a number from 1 to 100")?.filter(|size| *size > 0);
    let hashes = list("hashes").iter().map(|hash| parse_hash("hashes", hash)).collect::<Result<BTreeSet<_>, _>>()?;
    if parameters.given("hashes") && (hashes.is_empty() || hashes.len() > MAX_PAGE) {
        let found = hashes.len();
        return Err(Refusal::bad(format!("expected 1 to {MAX_PAGE} hashes, with commas between them, found {found}")));
    }
    let content_topics: BTreeSet<String> = list("contentTopics").into_iter().collect();
    if content_topics.len() > MAX_CONTENT_TOPICS {
        let found = content_topics.len();
        return Err(Refusal::bad(format!("expected at most {MAX_CONTENT_TOPICS} content topics, found {found}")));
    }
    let time = |name: &str| parameters.number(name, "nanoseconds since the Unix epoch");
    let (from, to) = (time("startTime")?.unwrap_or(0), time("endTime")?.filter(|end| *end > 0).unwrap_or(u64::MAX));
    if from > to {
        return Err(Refusal::bad(format!("expected startTime ({from}) before endTime ({to})")));
    }
    // Hashes are answered in one page.
    let default = if hashes.is_empty() { DEFAULT_PAGE } else { MAX_PAGE };
    Ok(StoreQuery {
        include_data: parameters.flag("includeData", false)?,
        pubsub_topic: parameters.text("pubsubTopic").map(str::to_owned),
        content_topics,
        from,
        to,
        ids: Some(hashes).filter(|hashes| !hashes.is_empty()),
        cursor: parameters.text("cursor").map(|cursor| parse_hash("cursor", cursor)).transpose()?,
        forward: parameters.flag("ascending", true)?,
        limit: size.map_or(default, |size| usize::try_from(size).unwrap_or(MAX_PAGE).min(MAX_PAGE)),
    })
}

fn unanswered(error: Unanswered) -> Refusal {
    match error {
        Unanswered::Bad(error) => Refusal::bad(error.to_string()),
        Unanswered::TooMuch => Refusal::new(StatusCode::GATEWAY_TIMEOUT, error.to_string()),
        error => Refusal::failed(error),
    }
}

/// A hash as nwaku writes it.
pub(super) fn hex(id: &Id) -> String {
    format!("0x{id}")
}

/// A hash as clients write it: hexadecimal, or base64.
pub(super) fn parse_hash(field: &str, text: &str) -> Result<Id, Refusal> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let bytes = if digits.len() == 64 { unhex(digits) } else { BASE64.decode(text).ok() };
    bytes.and_then(|bytes| bytes.try_into().ok()).map(Id).ok_or_else(|| {
        let found = quote(text);
        Refusal::bad(format!(
            "expected the 32 bytes of a message's hash in {field}, as 0x and hexadecimal, found {found}"
        ))
    })
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pairs = digits.as_bytes().chunks_exact(2);
    pairs.map(|pair| u8::try_from(digit(pair.first()?)? << 4 | digit(pair.get(1)?)?).ok()).collect()
}
