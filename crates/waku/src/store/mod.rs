//! Store v3 ([13/WAKU2-STORE](https://rfc.vac.dev/waku/standards/core/13/store)), without the network: what travels, what a
//! node answers, how a client pages.
//!
//! | module | holds |
//! | --- | --- |
//! | `wire` | request and response as protobuf |
//! | `query` | a request that makes sense |
//! | `answer` | the server: a page out of an archive, and what went wrong as a status |
//! | `pager` | the client: one request after another until the last page |
//! | `budget` | how many requests a peer may make |

mod answer;
mod budget;
mod pager;
mod query;
mod wire;

pub use answer::{Page, Unanswered, answer, failure, page};
pub use budget::RequestBudget;
pub use pager::{Pager, PagerError, Progress};
pub use query::{BadQuery, StoreQuery};
pub use wire::{Entry, StatusCode, StoreRequest, StoreResponse};

/// The protocol's id.
pub const STORE_PROTOCOL: &str = "/vac/waku/store-query/3.0.0";

/// Largest request that is read, in bytes: [`MAX_HASHES`] and [`MAX_CONTENT_TOPICS`] long ones fit.
pub const REQUEST_MAX: usize = 128 << 10;

/// Largest response that a client reads, in bytes: 100 messages of Waku's largest size, and what is around them.
pub const RESPONSE_MAX: usize = 17 << 20;

/// Messages in a page where the request does not say (13/WAKU2-STORE).
pub const DEFAULT_PAGE: usize = 20;

/// Most messages in a page (13/WAKU2-STORE).
pub const MAX_PAGE: usize = 100;

/// Most bytes of messages in a page: JavaScript clients read no frame above 4 MiB. The page is cut short, and its cursor leads on.
pub const PAGE_BYTES: usize = 3 << 20;

/// Most ids in a request.
pub const MAX_HASHES: usize = 2048;

/// Most content topics in a request.
pub const MAX_CONTENT_TOPICS: usize = 256;
