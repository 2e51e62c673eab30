//! The sans-IO anti-entropy engine (interim: what goes in and what comes out).
#![forbid(unsafe_code)]

mod action;
mod event;
mod job;

pub use action::{Action, GossipVerdict, Offence, Selection};
pub use event::{Admitted, Event, GossipId, Now, ServeOutcome, Ticket};
pub use job::{Compared, Difference, IndexFailed, Job, JobResult, View};
