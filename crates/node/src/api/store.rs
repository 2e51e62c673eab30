//! Stored messages, by topics, time and hash.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use base64::Engine;
use hearken_archive::{Archive, PageLimit, Query, ReadError, StoredMessage};
use hearken_tree::{Id, KeyRange};
use hearken_waku::WakuMessage;
use prost::Message;
use serde::Serialize;

use super::ask::Parameters;
use super::message::{BASE64, JsonMessage};
use super::refusal::{Refusal, quote};
use super::server::State;

/// Messages of a page, unless told otherwise, and at most: as the Store protocol has it.
const PAGE: u64 = 20;
const MOST: u64 = 100;
/// Bytes of a page.
const PAGE_BYTES: usize = 4 << 20;
/// How long a query may look for messages that are few and far between.
const PATIENCE: Duration = Duration::from_secs(5);

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

/// What is asked for.
enum Wanted {
    Hashes(Vec<Id>),
    Query(Query, Option<Id>),
}

/// A page of the stored messages. `peerAddr`, which names another node to ask, is taken and ignored: this one has a store.
pub(super) async fn messages(Extract(state): Extract<State>, parameters: Parameters) -> Result<Json<Page>, Refusal> {
    let node = state.node.running().ok_or_else(Refusal::stopped)?;
    parameters.only(&PARAMETERS)?;
    let include_data = parameters.flag("includeData", false)?;
    let wanted = wanted(&parameters)?;
    let archive = node.archive().clone();
    let found = tokio::task::spawn_blocking(move || find(&archive, wanted)).await.map_err(Refusal::failed)??;
    let entry = |message: StoredMessage| Entry {
        message_hash: hex(&message.key.id()),
        message: include_data.then(|| WakuMessage::decode(message.body).ok()).flatten().map(|m| JsonMessage::new(&m)),
        pubsub_topic: include_data.then_some(message.pubsub_topic),
    };
    Ok(Json(Page {
        request_id: String::new(),
        status_code: 200,
        status_desc: "OK",
        messages: found.messages.into_iter().map(entry).collect(),
        pagination_cursor: found.cursor.as_ref().map(hex),
    }))
}

fn wanted(parameters: &Parameters) -> Result<Wanted, Refusal> {
    let list = |name: &str| -> Vec<String> {
        let listed = parameters.text(name).unwrap_or_default().split(',').map(str::trim);
        listed.filter(|item| !item.is_empty()).map(str::to_owned).collect()
    };
    let size = parameters.number("pageSize", "a number from 1 to 100")?.filter(|size| *size > 0).unwrap_or(PAGE);
    let messages = usize::try_from(size.min(MOST)).unwrap_or(usize::MAX);
    if parameters.given("hashes") {
        let hashes = list("hashes").iter().map(|hash| parse_hash("hashes", hash)).collect::<Result<Vec<_>, _>>()?;
        if hashes.is_empty() || hashes.len() as u64 > MOST {
            let found = hashes.len();
            return Err(Refusal::bad(format!("expected 1 to {MOST} hashes, with commas between them, found {found}")));
        }
        return Ok(Wanted::Hashes(hashes));
    }
    let time = |name: &str| parameters.number(name, "nanoseconds since the Unix epoch");
    let (start, end) = (time("startTime")?.unwrap_or(0), time("endTime")?.filter(|end| *end > 0).unwrap_or(u64::MAX));
    if start > end {
        return Err(Refusal::bad(format!("expected startTime ({start}) before endTime ({end})")));
    }
    let query = Query {
        pubsub_topic: parameters.text("pubsubTopic").map(str::to_owned),
        content_topics: list("contentTopics").into_iter().collect(),
        range: KeyRange::between(start, end),
        newest_first: !parameters.flag("ascending", true)?,
        limit: PageLimit { messages, bytes: PAGE_BYTES },
    };
    let cursor = parameters.text("cursor").map(|cursor| parse_hash("cursor", cursor)).transpose()?;
    Ok(Wanted::Query(query, cursor))
}

#[derive(Default)]
struct Found {
    messages: Vec<StoredMessage>,
    cursor: Option<Id>,
}

fn find(archive: &Arc<dyn Archive>, wanted: Wanted) -> Result<Found, Refusal> {
    let (mut query, cursor) = match wanted {
        Wanted::Hashes(ids) => {
            let messages = archive.get_by_id(&ids).map_err(unreadable)?.into_iter().flatten().collect();
            return Ok(Found { messages, cursor: None });
        }
        Wanted::Query(query, cursor) => (query, cursor),
    };
    if let Some(cursor) = cursor {
        // An unknown cursor must not mean "from the start".
        let Some(key) = archive.find(&cursor).map_err(unreadable)? else {
            let found = hex(&cursor);
            let message = format!("expected in cursor the hash of a message that is stored here, found {found}");
            return Err(Refusal::bad(message));
        };
        query = query.after(&key);
    }
    let (started, newest_first) = (Instant::now(), query.newest_first);
    let mut found = Found::default();
    loop {
        let page = archive.query(&query).map_err(unreadable)?;
        query.limit.messages -= page.messages.len().min(query.limit.messages);
        found.messages.extend(page.messages);
        let Some(rest) = page.rest else { break };
        let bytes: usize = found.messages.iter().map(|message| message.body.len()).sum();
        let late = started.elapsed() >= PATIENCE;
        if query.limit.messages == 0 || bytes >= PAGE_BYTES || (late && !found.messages.is_empty()) {
            found.cursor = found.messages.last().map(|last| last.key.id());
            break;
        }
        if late {
            let message =
                format!("nothing was found within {PATIENCE:?}: expected a shorter time (startTime, endTime)");
            return Err(Refusal::new(StatusCode::GATEWAY_TIMEOUT, message));
        }
        query.range = rest;
    }
    if newest_first {
        // Pages go backward, but each is in the order of time.
        found.messages.reverse();
    }
    Ok(found)
}

fn unreadable(error: ReadError) -> Refusal {
    Refusal::failed(error)
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
