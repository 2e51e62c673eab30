//! Whole-system tests: the `hearken` program as its users run it, as real processes over real sockets.
//!
//! `tests/run` builds the program and runs these; `cargo build && cargo test -p hearken-tests` does so by hand, with a
//! module's name to choose (`cargo test -p hearken-tests chain::`). They drive the program from outside, by its command
//! line, its signals and what it prints, and look into archives by `hearken export`. Where something must come to pass,
//! they wait for it, bounded; nothing sleeps for luck. The long ones are ignored unless asked for
//! (`tests/run --full`), and what is random is drawn from a seed that is printed.
//!
//! | module | shows |
//! | --- | --- |
//! | `harness` | starting, watching and ending processes; making and comparing messages |
//! | `api` | the HTTP interface: nwaku's routes and our own, and what it refuses |
//! | `charts` | what the simulator draws, opened in a headless Chromium |
//! | `demo` | `hearken demo` makes five nodes equal |
//! | `big_repair` | how long a big repair takes, and what it takes |
//! | `many_messages` | how a node does that holds ten million |
//! | `kills` | a node killed in the middle of its repair loses nothing and finishes |
//! | `chain` | a message known at one end of ten nodes in a row reaches the other |
//! | `validator` | a node that refuses some messages is equal but for those, and never gets one twice |
//! | `bad_config` | settings that cannot work are refused, with a reason |
//! | `bad_files` | so are archives and traces that are not, and nothing is lost |
//! | `bad_peers` | a neighbour that sends garbage, too much, or nothing does no harm |
//! | `observe` | metrics, and the dashboard and alert rules made of them |
//! | `page` | the status page in a headless Chromium |
//! | `resilience` | a full disk, a clock that jumps, connections that do nothing |
//! | `settings` | settings that change while a node runs |
//! | `fetch` | query, publish, backfill and diff |
//! | `javascript` | the published JavaScript clients query, relay, and find what was repaired |
//! | `signals` | SIGTERM and Ctrl-C stop a node cleanly |
//! | `strangers` | silent and raving connections, and malformed requests to every protocol, do no harm |
#![allow(clippy::unwrap_used, unreachable_pub)]

mod api;
mod bad_config;
mod bad_files;
mod bad_peers;
mod big_repair;
mod chain;
mod charts;
mod demo;
mod fetch;
mod harness;
mod javascript;
mod kills;
mod many_messages;
mod observe;
mod page;
mod resilience;
mod settings;
mod signals;
mod strangers;
mod validator;
