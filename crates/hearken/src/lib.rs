//! Keeps the message stores of libp2p nodes equal: Hearken's anti-entropy as a background task beside your own swarm.
//!
//! Your node keeps its swarm, its gossipsub and its [`Archive`](archive::Archive). [`AntiEntropy::spawn`] starts a task that tells others
//! what the archive has (IHAVE, over your gossipsub), compares what others have, asks neighbours for what is missing (IWANT, over
//! streams of its own), and serves what they ask for. Delivered messages pass the same admission predicate as live ones before they
//! are stored.
//!
//! # Wiring
//! 1. Add a [`libp2p_stream::Behaviour`] to your swarm, if it has none.
//! 2. Before you poll the swarm, call [`AntiEntropy::spawn`] with a control of that behaviour and the configuration of your
//!    gossipsub. It may be signed or anonymous, and may wait for verdicts
//!    ([`validate_messages`](libp2p::gossipsub::ConfigBuilder::validate_messages)) or not. An anonymous one needs a
//!    [`message_id_fn`](libp2p::gossipsub::ConfigBuilder::message_id_fn) that hashes the message: gossipsub's own takes all anonymous
//!    messages for the same.
//! 3. In the loop that polls the swarm, three lines:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use futures::StreamExt as _;
//! use hearken::{AntiEntropy, Config, Host, SystemClock, archive::Archive};
//! use libp2p::{Swarm, gossipsub, swarm::{NetworkBehaviour, SwarmEvent}};
//!
//! #[derive(NetworkBehaviour)]
//! struct MyBehaviour {
//!     gossipsub: gossipsub::Behaviour,
//!     stream: libp2p_stream::Behaviour,
//! }
//!
//! async fn run(mut swarm: Swarm<MyBehaviour>, gossipsub: gossipsub::Config, archive: Arc<dyn Archive>) {
//!     let control = swarm.behaviour().stream.new_control();
//!     let host = Host { control, gossipsub: &gossipsub, committer: None, clock: Arc::new(SystemClock) };
//!     let (hearken, mut commands) = AntiEntropy::spawn(Config::default(), archive, host).expect("a sound configuration");
//!     loop {
//!         tokio::select! {
//!             event = swarm.select_next_some() => {
//!                 hearken.on_swarm_event(&event); // 1: who comes and goes
//!                 if let SwarmEvent::Behaviour(MyBehaviourEvent::Gossipsub(event)) = event
//!                     && !hearken.on_gossip(&event) // 2: IHAVEs; the rest is yours
//!                 {
//!                     // Your own topics. Store messages with `hearken.committer()`, then call `hearken.note_live(group)`.
//!                 }
//!             }
//!             Some(command) = commands.next() => { // 3: what gossipsub has to do
//!                 commands.apply(command, &mut swarm.behaviour_mut().gossipsub);
//!             }
//!         }
//!     }
//! }
//! ```
//!
//! `examples/embed.rs` is a whole node in less than 80 lines.
//!
//! # Streams
//! Between two neighbours there is at most one stream each way, long-lived. A stream belongs to the node that opened it: it sends
//! requests there and reads the answers from it; the other side only answers. So nothing has to be settled when both open one at
//! once, and who never asks never opens one. A newer stream of the same peer replaces the older. Whatever does not fit this, is no
//! frame, or is too large closes the stream and counts against the peer; its other streams are refused for half a minute. Answers
//! overtake messages that wait on the same stream.
//!
//! # What is bounded
//! Requests and answers that wait for one peer, streams of others, requests served at a time, index jobs at a time ([`Limits`]);
//! delivered bytes that are not stored yet
//! ([`unadmitted_bytes`](scheduler::Limits::unadmitted_bytes), beyond which no stream is read); IHAVEs, commands and notices that wait. A
//! frame takes at most [`Limits::frame_timeout`]. The task itself waits for nothing: disk and index work run on tokio's blocking pool
//! and the committer's thread.
//!
//! # Map
//! | module | holds |
//! | --- | --- |
//! | `handle` | [`AntiEntropy`]: what a host calls |
//! | `command` | what the host's gossipsub has to do |
//! | `config`, `clock`, `status` | settings, time, what was done |
//! | `inbox` | what the host has told and the task not yet taken |
//! | `driver` | the task: carries events to the engine and does what it wants done |
//! | `gossip`, `talk` | the driver's two sides: IHAVEs, and neighbours with their streams |
//! | `peers`, `stream`, `budget` | which streams there are, one stream, memory for what comes over it |
//! | `reader`, `index`, `serve`, `admit` | work on the archive |
//! | `work` | what the time goes to |
//! | `score` | offences as gossipsub application score |
#![forbid(unsafe_code)]

mod admit;
mod budget;
mod clock;
mod command;
mod config;
mod driver;
mod gossip;
mod handle;
mod inbox;
mod index;
mod peers;
mod reader;
mod score;
mod serve;
mod status;
mod stream;
mod talk;
mod work;

pub use clock::{Clock, SystemClock};
pub use command::{Command, Commands};
pub use config::{Config, Limits};
pub use handle::{AntiEntropy, Host, ReconfigureError, SpawnError};
pub use status::{Notice, Report, Status, Traffic};
pub use work::{Stage, Work};

pub use hearken_archive as archive;
pub use hearken_scheduler as scheduler;
pub use hearken_tree::{GroupId, Id, Key, KeyRange};
pub use hearken_wire::{PROTOCOL, control_topic};
