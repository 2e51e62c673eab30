//! What a node speaks, and with whom.
//!
//! | module | holds |
//! | --- | --- |
//! | `swarm` | transports and behaviours |
//! | `relay` | Waku's relay: gossipsub's settings |
//! | `per_address` | the limit on connections from one address |
//! | `protocols` | Store v3 and metadata, served and asked |
//! | `dialer` | staying connected |
//! | `book`, `seeker` | peers that were found: remembered, and connected to |
//! | `lists` | lists of nodes in DNS, read again and again |
//! | `client` | one connection of a command with a node |

mod book;
mod client;
mod dialer;
mod lists;
mod per_address;
mod protocols;
mod relay;
mod seeker;
mod swarm;

pub(crate) use client::{Client, ClientError};
pub(crate) use dialer::{Dialer, resolve};
pub(crate) use lists::read_lists;
pub(crate) use protocols::{Protocols, serve};
pub(crate) use seeker::{Seeker, Speaks};
pub use swarm::SetupError;
pub(crate) use swarm::{Behaviour, BehaviourEvent, swarm};
