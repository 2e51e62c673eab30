//! Finding peers in lists of nodes that are published in DNS, as Waku's fleets do
//! ([EIP-1459](https://eips.ethereum.org/EIPS/eip-1459)).
//!
//! A list is a signed tree of TXT records: its root says which record comes first, each record's name is the hash of its text,
//! and its leaves are signed records of nodes (ENR). So whoever answers for DNS can withhold nodes, but not invent any.
//!
//! | module | holds |
//! | --- | --- |
//! | `url` | a list's name and key |
//! | `record` | the texts of a list: read, and checked against signature and hash |
//! | `node` | a node's record: its id and addresses |
//! | `walk` | reading a list, record by record |
//! | `resolver` | who resolves names, here and elsewhere in the node |

mod node;
mod record;
mod resolver;
mod url;
mod walk;

pub use node::FoundPeer;
pub(crate) use node::without_peer;
pub use record::RecordError;
pub(crate) use resolver::system_resolver;
pub use url::{DnsServer, ListUrl};
pub use walk::{DnsLists, ResolverError, WalkError};
