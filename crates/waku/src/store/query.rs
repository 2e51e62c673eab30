use std::collections::BTreeSet;

use hearken_tree::Id;

use super::{DEFAULT_PAGE, MAX_CONTENT_TOPICS, MAX_HASHES, MAX_PAGE, StoreRequest};

/// A request that makes sense. All criteria hold at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreQuery {
    /// Whether messages are wanted, or only their ids.
    pub include_data: bool,
    /// Only messages of this pubsub topic.
    pub pubsub_topic: Option<String>,
    /// Only messages of one of these content topics; empty: of any.
    pub content_topics: BTreeSet<String>,
    /// Only messages sent at or after this time: nanoseconds since the Unix epoch.
    pub from: u64,
    /// Only messages sent before this time.
    pub to: u64,
    /// Only messages with one of these ids. An empty set is a query that nothing matches; `None` is one of any id.
    pub ids: Option<BTreeSet<Id>>,
    /// Behind this message, in the direction of the query.
    pub cursor: Option<Id>,
    /// Towards newer messages.
    pub forward: bool,
    /// Most messages in the page: 1 to [`MAX_PAGE`].
    pub limit: usize,
}

/// A request that makes no sense, and what would.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadQuery {
    /// It asks for everything.
    #[error("expected a pubsub topic, content topics, a time range or message hashes: everything is not served")]
    Everything,
    /// An id has another length.
    #[error("expected {what} of 32 bytes, found {found}")]
    Length {
        /// What it was to be.
        what: &'static str,
        /// Its length.
        found: usize,
    },
    /// Too many of something.
    #[error("expected at most {limit} {what}, found {found}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// What is allowed.
        limit: usize,
        /// What came.
        found: usize,
    },
    /// The cursor leads nowhere.
    #[error("no message here has the cursor {0}: start again without a cursor")]
    UnknownCursor(Id),
}

impl Default for StoreQuery {
    /// Everything, with data, from the oldest on, in pages of the default size.
    fn default() -> StoreQuery {
        StoreQuery {
            include_data: true,
            pubsub_topic: None,
            content_topics: BTreeSet::new(),
            from: 0,
            to: u64::MAX,
            ids: None,
            cursor: None,
            forward: true,
            limit: DEFAULT_PAGE,
        }
    }
}

impl StoreQuery {
    /// What a request means.
    ///
    /// On the wire no ids and an empty list of ids are the same. So a request with no criterion at all is refused: it may have
    /// been meant as an empty list, and must never be answered with everything. A pubsub topic beside ids is allowed, although the
    /// specification forbids it: JavaScript clients send one.
    pub fn read(request: &StoreRequest) -> Result<StoreQuery, BadQuery> {
        let StoreRequest { pubsub_topic, content_topics, time_start, time_end, message_hashes, .. } = request;
        let pubsub_topic = pubsub_topic.clone().filter(|topic| !topic.is_empty());
        at_most(content_topics.len(), MAX_CONTENT_TOPICS, "content topics")?;
        at_most(message_hashes.len(), MAX_HASHES, "message hashes")?;
        let ids = message_hashes.iter().map(|hash| id(hash, "a message hash")).collect::<Result<BTreeSet<Id>, _>>()?;
        let [from, to] = [time_start, time_end].map(|time| time.filter(|time| *time > 0));
        let no_topics = pubsub_topic.is_none() && content_topics.is_empty();
        if no_topics && ids.is_empty() && from.is_none() && to.is_none() {
            return Err(BadQuery::Everything);
        }
        let cursor = request.pagination_cursor.as_ref().filter(|cursor| !cursor.is_empty());
        let limit = request.pagination_limit.filter(|limit| *limit > 0);
        Ok(StoreQuery {
            include_data: request.include_data,
            pubsub_topic,
            content_topics: content_topics.iter().cloned().collect(),
            from: from.map_or(0, i64::cast_unsigned),
            to: to.map_or(u64::MAX, i64::cast_unsigned),
            ids: Some(ids).filter(|ids| !ids.is_empty()),
            cursor: cursor.map(|cursor| id(cursor, "a cursor")).transpose()?,
            forward: request.pagination_forward,
            limit: limit.map_or(DEFAULT_PAGE, |limit| usize::try_from(limit).unwrap_or(MAX_PAGE).min(MAX_PAGE)),
        })
    }

    /// The query as a request; `None` for an empty set of ids, which no request can tell from any id: its answer is empty.
    pub fn request(&self, request_id: String) -> Option<StoreRequest> {
        if self.ids.as_ref().is_some_and(BTreeSet::is_empty) {
            return None;
        }
        let time = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
        let bytes = |id: &Id| id.0.to_vec().into();
        Some(StoreRequest {
            request_id,
            include_data: self.include_data,
            pubsub_topic: self.pubsub_topic.clone(),
            content_topics: self.content_topics.iter().cloned().collect(),
            time_start: (self.from > 0).then(|| time(self.from)),
            time_end: (self.to < u64::MAX).then(|| time(self.to)),
            message_hashes: self.ids.iter().flatten().map(bytes).collect(),
            pagination_cursor: self.cursor.as_ref().map(bytes),
            pagination_forward: self.forward,
            pagination_limit: Some(self.limit as u64),
        })
    }
}

fn at_most(found: usize, limit: usize, what: &'static str) -> Result<(), BadQuery> {
    if found > limit { Err(BadQuery::TooMany { what, limit, found }) } else { Ok(()) }
}

fn id(bytes: &[u8], what: &'static str) -> Result<Id, BadQuery> {
    bytes.try_into().map(Id).map_err(|_| BadQuery::Length { what, found: bytes.len() })
}
