use std::collections::BTreeSet;

use hearken_tree::Id;

use super::{Entry, StoreQuery, StoreRequest, StoreResponse};

/// The client's side of a query: the requests to send, one after another, and what the responses bring.
///
/// ```
/// use hearken_waku::store::{Pager, Progress, StoreQuery, StoreResponse};
///
/// let mut pager = Pager::new(StoreQuery { from: 1, ..StoreQuery::default() });
/// let request = pager.request().expect("the first page");
/// let response = StoreResponse { request_id: request.request_id, status_code: Some(200), ..StoreResponse::default() };
/// assert!(matches!(pager.response(response), Ok(Progress::Page(page)) if page.is_empty()));
/// assert!(pager.request().is_none(), "an empty page is the last");
/// ```
#[derive(Clone, Debug)]
pub struct Pager {
    query: StoreQuery,
    pages: u64,
    done: bool,
}

/// What a response brought.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// Messages, ascending in time within the page.
    Page(Vec<Entry>),
    /// Nothing: the node has more to do than it can. The same request again, later.
    Busy(String),
}

/// A response that is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PagerError {
    /// The node refused.
    #[error("the store answered {code}: {reason}")]
    Refused {
        /// The status.
        code: u32,
        /// What it says.
        reason: String,
    },
    /// It is not the answer to the request.
    #[error("the store's answer is not one to the request: {0}")]
    Nonsense(String),
}

impl Pager {
    /// Pages through what the query finds, from its cursor on if it has one.
    pub fn new(query: StoreQuery) -> Pager {
        Pager { query, pages: 0, done: false }
    }

    /// The next request; `None` after the last page.
    pub fn request(&self) -> Option<StoreRequest> {
        if self.done { None } else { self.query.request(format!("hearken-{}", self.pages)) }
    }

    /// Takes the response to that request in.
    ///
    /// # Errors
    /// [`PagerError`]; then there is nothing more to ask.
    pub fn response(&mut self, response: StoreResponse) -> Result<Progress, PagerError> {
        match response.status_code.unwrap_or_default() {
            200 => {}
            code @ (429 | 503) => {
                let reason = response.status_desc.filter(|text| !text.is_empty()).unwrap_or_else(|| "busy".to_owned());
                return Ok(Progress::Busy(format!("{reason} ({code})")));
            }
            code => {
                self.done = true;
                return Err(PagerError::Refused { code, reason: response.status_desc.unwrap_or_default() });
            }
        }
        self.check(&response).inspect_err(|_| self.done = true)?;
        self.pages += 1;
        let cursor = response.pagination_cursor.as_deref().and_then(|cursor| cursor.try_into().ok().map(Id));
        match cursor.filter(|cursor| !response.messages.is_empty() && self.query.cursor != Some(*cursor)) {
            Some(cursor) => self.query.cursor = Some(cursor),
            None => self.done = true,
        }
        Ok(Progress::Page(response.messages))
    }

    /// A store that sends more than was asked, or other ids, is not to be believed.
    fn check(&self, response: &StoreResponse) -> Result<(), PagerError> {
        let nonsense = |reason: String| Err(PagerError::Nonsense(reason));
        if response.messages.len() > self.query.limit {
            return nonsense(format!("{} messages where {} were asked", response.messages.len(), self.query.limit));
        }
        let mut seen = BTreeSet::new();
        for entry in &response.messages {
            let Some(id) = entry.message_hash.as_deref().and_then(|hash| hash.try_into().ok().map(Id)) else {
                return nonsense("a message without a hash of 32 bytes".to_owned());
            };
            if !seen.insert(id) || self.query.ids.as_ref().is_some_and(|ids| !ids.contains(&id)) {
                return nonsense(format!("the message {id} twice, or although it was not asked"));
            }
        }
        Ok(())
    }
}
