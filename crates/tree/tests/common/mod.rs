//! What the tests of the tree share: the definition as a plain model, keys of all kinds, a store in memory.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)]

pub mod keys;
pub mod model;
pub mod store;
