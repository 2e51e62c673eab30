//! What the tests of the tree share: the definition as a plain model, keys of all kinds, a store in memory.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)]

pub mod keys;
pub mod model;
pub mod store;

use proptest::test_runner::Config;

/// So many cases, unless `PROPTEST_CASES` says otherwise.
pub fn config(cases: u32) -> Config {
    let default = Config::default();
    if std::env::var_os("PROPTEST_CASES").is_some() { default } else { Config { cases, ..default } }
}
