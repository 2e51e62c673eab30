use std::collections::BTreeSet;

use hearken_archive::{Archive, MessageFormat as _, PageLimit, Query, ReadError, StoredMessage};
use hearken_tree::{Id, Key, KeyRange};

use super::{BadQuery, Entry, PAGE_BYTES, StatusCode, StoreQuery, StoreRequest, StoreResponse};
use crate::WakuFormat;

/// How often the archive is asked for one page. Each time it looks at a bounded number of messages (ten thousand), so a query
/// that fits none of two million gives up, after about two seconds, and says how to ask less.
const READS: usize = 200;
/// Messages read at once by their ids, at most [`PAGE_BYTES`] of them being kept.
const BY_ID: usize = 16;

/// Why a query was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unanswered {
    /// The query makes no sense.
    #[error(transparent)]
    Bad(#[from] BadQuery),
    /// The archive failed.
    #[error("the store cannot be read now: {0}")]
    Read(#[from] ReadError),
    /// It would take too long.
    #[error("too many messages to look at: ask for less time, or for fewer topics")]
    TooMuch,
}

/// Some of the messages that a query asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In ascending order of time, whatever the query's direction: at most as many as the query allows, and [`PAGE_BYTES`] of
    /// bodies but for one message.
    pub messages: Vec<StoredMessage>,
    /// Where the next page goes on; `None`: this is the last.
    pub cursor: Option<Id>,
}

/// Some messages in the order of the query, and whether there may be more.
struct Found {
    messages: Vec<StoredMessage>,
    more: bool,
}

/// Answers a request out of the archive. Blocks; reads no more than about a page, whatever the result's size.
pub fn answer(archive: &dyn Archive, request: &StoreRequest) -> StoreResponse {
    let query = StoreQuery::read(request).map_err(Unanswered::from);
    match query.and_then(|query| Ok((page(archive, &query)?, query))) {
        Ok((page, query)) => respond(request, &query, page),
        Err(error) => {
            let status = match error {
                Unanswered::Bad(_) => StatusCode::BadRequest,
                Unanswered::Read(_) => StatusCode::Unavailable,
                Unanswered::TooMuch => StatusCode::TooMuch,
            };
            failure(request, status, &error.to_string())
        }
    }
}

/// The response to a request that is not answered.
pub fn failure(request: &StoreRequest, status: StatusCode, reason: &str) -> StoreResponse {
    StoreResponse {
        request_id: request.request_id.clone(),
        status_code: Some(status.number()),
        status_desc: Some(reason.to_owned()),
        ..StoreResponse::default()
    }
}

/// A page of what a query asks for, out of the archive. Blocks; reads no more than about a page, whatever the result's size.
///
/// # Errors
/// [`Unanswered`]; nothing was changed, and the same query may be asked again.
pub fn page(archive: &dyn Archive, query: &StoreQuery) -> Result<Page, Unanswered> {
    let behind = match query.cursor {
        None => None,
        // An unknown cursor must not mean "from the start".
        Some(id) => Some(archive.find(&id)?.ok_or(BadQuery::UnknownCursor(id))?),
    };
    let Found { mut messages, more } = match &query.ids {
        Some(ids) => by_id(archive, query, ids, behind)?,
        None => by_topic(archive, query, behind)?,
    };
    let cursor = messages.last().filter(|_| more).map(|message| message.key.id());
    if !query.forward {
        messages.reverse();
    }
    Ok(Page { messages, cursor })
}

fn by_topic(archive: &dyn Archive, query: &StoreQuery, behind: Option<Key>) -> Result<Found, Unanswered> {
    let asked = Query {
        pubsub_topic: query.pubsub_topic.clone(),
        content_topics: query.content_topics.clone(),
        range: KeyRange::between(query.from, query.to),
        newest_first: !query.forward,
        limit: PageLimit { messages: query.limit, bytes: PAGE_BYTES },
    };
    let mut asked = behind.map_or_else(|| asked.clone(), |key| asked.clone().after(&key));
    let mut messages = Vec::new();
    for _ in 0..READS {
        let page = archive.query(&asked)?;
        let bytes: usize = page.messages.iter().map(|message| message.body.len()).sum();
        asked.limit.messages = asked.limit.messages.saturating_sub(page.messages.len());
        asked.limit.bytes = asked.limit.bytes.saturating_sub(bytes);
        messages.extend(page.messages);
        let Some(rest) = page.rest else { return Ok(Found { messages, more: false }) };
        if asked.limit.messages == 0 || asked.limit.bytes == 0 {
            return Ok(Found { messages, more: true });
        }
        asked.range = rest;
    }
    // What was found until here is a page, too: who wants more goes on behind it.
    if messages.is_empty() { Err(Unanswered::TooMuch) } else { Ok(Found { messages, more: true }) }
}

/// The messages with these ids that the other criteria let through. Only their keys are all looked up.
fn by_id(
    archive: &dyn Archive,
    query: &StoreQuery,
    ids: &BTreeSet<Id>,
    behind: Option<Key>,
) -> Result<Found, Unanswered> {
    let mut keys = Vec::new();
    for id in ids {
        keys.extend(archive.find(id)?);
    }
    let range = KeyRange::between(query.from, query.to);
    let ahead = |key: &Key| behind.is_none_or(|behind| if query.forward { *key > behind } else { *key < behind });
    keys.retain(|key| range.contains(key) && ahead(key));
    keys.sort_unstable();
    if !query.forward {
        keys.reverse();
    }
    let mut found = Found { messages: Vec::new(), more: false };
    let mut bytes = 0;
    for keys in keys.chunks(BY_ID) {
        // One that was dropped since is not there any more.
        for message in archive.get(keys)?.into_iter().flatten().filter(|message| wanted(query, message)) {
            bytes += message.body.len();
            if found.messages.len() == query.limit || (bytes > PAGE_BYTES && !found.messages.is_empty()) {
                found.more = true;
                return Ok(found);
            }
            found.messages.push(message);
        }
    }
    Ok(found)
}

fn wanted(query: &StoreQuery, message: &StoredMessage) -> bool {
    let content_topic = || WakuFormat.header(&message.pubsub_topic, &message.body).map(|header| header.content_topic);
    query.pubsub_topic.as_ref().is_none_or(|topic| **topic == *message.pubsub_topic)
        && (query.content_topics.is_empty()
            || content_topic().is_ok_and(|topic| query.content_topics.contains(&*topic)))
}

fn respond(request: &StoreRequest, query: &StoreQuery, page: Page) -> StoreResponse {
    let bytes = |id: Id| id.0.to_vec().into();
    let entry = |message: StoredMessage| Entry {
        message_hash: Some(bytes(message.key.id())),
        message: query.include_data.then_some(message.body),
        pubsub_topic: query.include_data.then(|| message.pubsub_topic.to_string()),
    };
    StoreResponse {
        request_id: request.request_id.clone(),
        status_code: Some(StatusCode::Success.number()),
        status_desc: Some("OK".to_owned()),
        messages: page.messages.into_iter().map(entry).collect(),
        pagination_cursor: page.cursor.map(bytes),
    }
}
