//! What the tests of the tree share: the definition as a plain model, keys of all kinds, a store in memory.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)]

pub mod keys;
pub mod model;
pub mod store;

use hearken_tree::{Key, KeyRange, PageError, Snapshot};
use proptest::test_runner::Config;

/// The keys in `range` as [`Snapshot::visit`] gives them.
pub fn visited(set: &Snapshot, range: &KeyRange) -> Result<Vec<Key>, PageError> {
    let mut keys = Vec::new();
    set.visit(range, |some| keys.extend(some.iter().map(|key| Key::from_bytes(*key))))?;
    Ok(keys)
}

/// So many cases; `PROPTEST_CASES` scales them (256 is the measure: 2560 means ten times as many).
pub fn config(cases: u32) -> Config {
    let default = Config::default();
    Config { cases: (cases * (default.cases / 16)).div_ceil(16), ..default }
}
