//! Hearken's protocol as types that cannot hold nonsense (interim: the types; encoding follows).
#![forbid(unsafe_code)]

mod frame;
mod ihave;
mod salt;
mod summary;

pub use frame::{Answer, Ask, Frame, RangeWant, Refusal, RefusalReason, RequestId, Verdict, Want};
pub use ihave::Ihave;
pub use salt::{Salt, ShortDigest, ShortFingerprint, TinyDigest, TinyFingerprint};
pub use summary::{NotConsecutive, SaltedSpan, Summary, Window};
