//! Store queries: pages of messages by topic and time, in both directions.
use std::{borrow::Cow, collections::BTreeSet};

use hearken_tree::{Key, KeyRange};

use crate::{PageLimit, StoredMessage, archive::Page, ledger::successor};

/// How many messages one call looks at, at most: bounds its time where few of many fit the query.
const LOOKED_AT: usize = 10_000;

/// Which stored messages are wanted, and in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Those on this pubsub topic; `None`: on any.
    pub pubsub_topic: Option<String>,
    /// Those with one of these content topics; empty: with any.
    pub content_topics: BTreeSet<String>,
    /// Those with keys in this range: a range of time, or what is left of one, see [`QueryPage::rest`].
    pub range: KeyRange,
    /// Whether the newest come first.
    pub newest_first: bool,
    /// How much is wanted at once.
    pub limit: PageLimit,
}

/// Some of the messages that a [`Query`] asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryPage {
    /// The messages, in the order that was asked for. May be fewer than the limit, or none, though there are more.
    pub messages: Vec<StoredMessage>,
    /// Where the others lie: ask for this range to go on; `None`: there are no others.
    pub rest: Option<KeyRange>,
}

impl Query {
    /// The query that goes on behind the message with this key, wherever that lies.
    pub fn after(mut self, key: &Key) -> Query {
        let wanted =
            if self.newest_first { KeyRange::new(Key::MIN, *key) } else { KeyRange::new(successor(key), Key::MAX) };
        let rest = wanted.ok().and_then(|wanted| self.range.intersection(&wanted));
        self.range = rest.unwrap_or(KeyRange::between(0, 0));
        self
    }

    fn wants(&self, pubsub_topic: &str) -> bool {
        self.pubsub_topic.as_ref().is_none_or(|wanted| wanted == pubsub_topic)
    }

    /// What is left of the range from `key` on.
    fn rest(&self, key: &Key) -> Option<KeyRange> {
        let (start, end) = (self.range.start(), self.range.end());
        if self.newest_first { KeyRange::new(start, successor(key)) } else { KeyRange::new(*key, end) }.ok()
    }
}

/// A page of a query being filled.
pub(crate) struct Filling<'q> {
    query: &'q Query,
    page: Page,
    left: usize,
    rest: Option<KeyRange>,
}

/// A message as a query looks at it: no more of it is read than is needed.
pub(crate) trait Looked<E> {
    fn pubsub_topic(&self) -> Result<&str, E>;
    fn content_topic(&self) -> Result<Cow<'_, str>, E>;
    fn size(&self) -> usize;
    fn message(&self) -> Result<StoredMessage, E>;
}

impl<'q> Filling<'q> {
    pub(crate) fn new(query: &'q Query) -> Filling<'q> {
        Filling { query, page: Page::new(query.limit), left: LOOKED_AT, rest: None }
    }

    /// Looks at the message at `key`, the next in the query's order; `false` if the page is done.
    pub(crate) fn look<E>(&mut self, key: &Key, message: &impl Looked<E>) -> Result<bool, E> {
        if self.page.is_full() || self.left == 0 {
            self.rest = self.query.rest(key);
            return Ok(false);
        }
        self.left -= 1;
        let wanted = self.query.wants(message.pubsub_topic()?)
            && (self.query.content_topics.is_empty() || self.query.content_topics.contains(&*message.content_topic()?));
        if wanted && !self.page.push(message.size(), || message.message())? {
            self.rest = self.query.rest(key);
            return Ok(false);
        }
        Ok(true)
    }

    pub(crate) fn finish(self) -> QueryPage {
        QueryPage { messages: self.page.messages, rest: self.rest }
    }
}
