//! The sans-IO anti-entropy engine: when to announce, what to ask, whom, and what to serve.
//!
//! [`Engine`] is a pure state machine. A driver feeds it [`Event`]s with the time at which they happened, carries out the
//! [`Action`]s that come of them, and wakes it at [`Engine::next_deadline`]. It has no sockets, threads, clock or disk.
//! What needs the group's tree is a [`Job`] that the driver runs elsewhere, on a [`View`], with what [`Workers`] it has to lend; its
//! result comes back as an event. The same seed and the same events give the same actions.
//!
//! ```
//! use hearken_scheduler::{Action, Config, Engine, Event, Now};
//! use hearken_tree::GroupId;
//! use std::time::Duration;
//!
//! let config = Config::default();
//! let group = config.group(GroupId([7; 16]));
//! let at = |s| Now { monotonic: Duration::from_secs(s), unix: (1_700_000_000 + s) * 1_000_000_000 };
//! let mut engine = Engine::new(config, [group], 1, at(0))?;
//!
//! // A neighbour connects: the engine wants to compare with it at once, and asks the index for a fingerprint.
//! engine.handle(Event::Connected("neighbour"), at(1));
//! assert!(matches!(engine.poll_action(), Some(Action::Index { .. })));
//! assert!(engine.poll_action().is_none());
//! assert!(engine.next_deadline() > Some(at(1).monotonic));
//! # Ok::<(), hearken_scheduler::InvalidConfig>(())
//! ```
//!
//! # Map
//! What goes in and out: `event`, `action`, `job` (index work, with `job/plan` the requester's and `job/answer` the provider's
//! side of a comparison), `config`, `controls` (what may change while it runs), `status`.
//!
//! The engine, by what it does: `engine` (takes events apart), `announcing` and `hearing` (IHAVEs), `probing`, `asking` (whom, and
//! the request), `answers` (verdicts), `delivering` (messages, and how a request ends), `following` (what else may be missing),
//! `telling` (who else lacks it), `serving`.
//!
//! Small machines that know nothing of each other: `trickle` (timers), `pursuit` (ranges that differ), `exchange` (a request under
//! way), `peers`, `penalty`, `bucket`, `window`.
#![forbid(unsafe_code)]

mod action;
mod announcing;
mod answers;
mod asking;
mod bucket;
mod config;
mod context;
mod controls;
mod delivering;
mod engine;
mod event;
mod exchange;
mod following;
mod group;
mod hearing;
mod job;
mod metrics;
mod peers;
mod penalty;
mod pending;
mod probing;
mod pursuit;
mod ranges;
mod serving;
mod status;
mod telling;
mod trickle;
mod window;

pub use action::{Action, GossipVerdict, Offence, Selection};
pub use config::{Config, GroupConfig, InvalidConfig, Limits};
pub use controls::InvalidChange;
pub use engine::Engine;
pub use event::{Admitted, Event, GossipId, Now, ServeOutcome, Ticket};
pub use exchange::Trigger;
pub use job::{Alone, Compared, Difference, IndexFailed, Job, JobResult, View, Workers};
pub use status::{GroupStatus, PeerGroupStatus, PeerStatus};
