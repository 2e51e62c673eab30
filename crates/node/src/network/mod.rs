//! What a node speaks, and with whom.

mod behaviour;
mod dialer;

pub use behaviour::SetupError;
pub(crate) use behaviour::{Behaviour, BehaviourEvent, swarm};
pub(crate) use dialer::{Dialer, resolve};
