//! The `hearken` program as a library: an online Waku store node that keeps its messages equal with its neighbours'.
//!
//! A [`Node`](node::Node) is a libp2p swarm that speaks Waku's relay, an archive on disk, and [`hearken`]'s anti-entropy in the
//! background. It is started on a [`DataFolder`](folder::DataFolder) with a [`Config`](config::Config), by `hearken run` and, five
//! at a time, by `hearken demo`.
//!
//! ```no_run
//! use hearken_node::config::Config;
//! use hearken_node::folder::DataFolder;
//! use hearken_node::node::{Node, NodeOptions};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config { peers: vec!["/ip4/192.0.2.1/tcp/60000".parse()?], ..Config::default() };
//! let folder = DataFolder::open(&config, None)?;
//! let node = Node::start(folder, &config, NodeOptions::default()).await?;
//! println!("{} listens on {:?}", node.peer_id(), node.listening());
//! node.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | `backfill` | older history, fetched by sync or by Store v3 |
//! | `diff` | which messages a node and another do not have in common |
//! | `cli` | the command line |
//! | `remote` | its commands on a data folder whose node is running: what the node is asked, and tells |
//! | `config` | settings: defaults, file, environment, flags |
//! | `folder`, `identity` | the data folder: archive and key |
//! | `network` | the swarm, and staying connected to configured peers |
//! | `discovery` | finding peers in lists in DNS |
//! | `node` | the event loop, live messages, health, what happened lately |
//! | `api`, `page`, `metrics` | the HTTP interface, the status page, what Prometheus reads |
//! | `import`, `export` | messages as lines of JSON ([`ndjson`]), into and out of an archive |
//! | `trace` | messages of the past, read or made up |
//! | `demo` | the demonstration |
//! | `clock`, `faults` | the node's time; faults on purpose |
#![forbid(unsafe_code)]

pub mod api;
mod backfill;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
mod diff;
pub mod discovery;
pub mod export;
pub mod faults;
pub mod folder;
pub mod identity;
pub mod import;
pub mod metrics;
mod network;
pub mod node;
mod page;
mod remote;
pub mod trace;

pub use hearken_waku::ndjson;
pub use network::SetupError;
