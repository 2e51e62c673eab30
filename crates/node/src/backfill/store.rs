//! By Store v3: what the node lists and is not here is fetched by its hash.

use hearken_archive::{Candidate, Filter, MessageFormat as _, Origin};
use hearken_tree::{Id, KeyRange};
use hearken_waku::WakuFormat;
use hearken_waku::store::{Entry, MAX_PAGE, StoreQuery};

use super::{Backfill, BackfillError, Fetched};
use crate::network::Client;

/// What is listed: a group's messages of some time.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) filter: Filter,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Listing {
    /// As a query, for hashes or for messages.
    pub(crate) fn query(&self, include_data: bool) -> StoreQuery {
        StoreQuery {
            include_data,
            pubsub_topic: Some(self.filter.pubsub_topic.clone()),
            content_topics: self.filter.content_topics.clone(),
            from: self.from,
            to: self.to,
            limit: MAX_PAGE,
            ..StoreQuery::default()
        }
    }
}

/// The id in an entry, which a pager has checked.
pub(crate) fn id_of(entry: &Entry) -> Option<Id> {
    entry.message_hash.as_deref()?.try_into().ok().map(Id)
}

impl Backfill {
    /// Fetches what the node has of a group up to `to` and this archive has not.
    pub(super) async fn by_store(
        &self,
        client: &mut Client,
        filter: &Filter,
        to: u64,
        fetched: &mut Fetched,
    ) -> Result<(), BackfillError> {
        let listing = self.listing(filter, self.from, to);
        let here = self.archive.view(&filter.group())?.kept.count(&KeyRange::between(self.from, to));
        // Where nothing is here, listing first would only cost a second look.
        if here.is_ok_and(|count| count == 0) {
            return client.query(listing.query(true), |page| self.store(&page, filter, fetched).map(|()| true)).await;
        }
        let mut missing: Vec<Id> = Vec::new();
        let mut pages = Vec::new();
        let list = |page: Vec<Entry>| -> Result<bool, BackfillError> {
            for id in page.iter().filter_map(id_of) {
                if tokio::task::block_in_place(|| self.archive.find(&id))?.is_none() {
                    missing.push(id);
                }
            }
            while missing.len() >= MAX_PAGE {
                pages.push(missing.drain(..MAX_PAGE).collect::<Vec<Id>>());
            }
            Ok(true)
        };
        client.query(listing.query(false), list).await?;
        pages.push(missing);
        for ids in pages {
            let ids = Some(ids.into_iter().collect());
            let query = StoreQuery { ids, limit: MAX_PAGE, ..StoreQuery::default() };
            client.query(query, |page| self.store(&page, filter, fetched).map(|()| true)).await?;
        }
        Ok(())
    }

    /// Checks that these are what they say, and stores them: they pass the admission predicate as any others do.
    fn store(&self, page: &[Entry], filter: &Filter, fetched: &mut Fetched) -> Result<(), BackfillError> {
        let candidates = page.iter().map(|entry| candidate(entry, filter)).collect::<Result<Vec<_>, _>>()?;
        let admissions = tokio::task::block_in_place(|| self.archive.admit(&candidates, (self.now)()))?;
        admissions.iter().for_each(|admission| fetched.note(admission));
        Ok(())
    }
}

/// A message of the node, if it has the hash that the node says.
fn candidate(entry: &Entry, filter: &Filter) -> Result<Candidate, BackfillError> {
    let nonsense = |reason: &str| BackfillError::Nonsense(reason.to_owned());
    let body = entry.message.clone().ok_or_else(|| nonsense("a hash without its message"))?;
    let topic = entry.pubsub_topic.clone().unwrap_or_else(|| filter.pubsub_topic.clone());
    let header = WakuFormat.header(&topic, &body).map_err(|error| BackfillError::Nonsense(error.to_string()))?;
    if Some(header.id) != id_of(entry) {
        return Err(nonsense("a message with another hash than it says"));
    }
    Ok(Candidate { body, origin: Origin::Topic(topic) })
}
