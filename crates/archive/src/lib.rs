//! Durable message archives with their index (interim: the interface).
#![forbid(unsafe_code)]

mod admission;
mod archive;
mod filter;
mod format;

pub use admission::{Admission, Candidate, Limits, Origin, RefusalReason, Validator};
pub use archive::{AdmitError, Archive, PageLimit, ReadError, StoredMessage, View};
pub use filter::Filter;
pub use format::{FormatError, Header, MessageFormat};
