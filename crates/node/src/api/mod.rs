//! The HTTP interface: REST as nwaku has it, our own `sync/v1`, metrics, and the status page.
//!
//! Bound to the loopback interface unless told otherwise; it has no passwords. `openapi.json`, served at `/openapi.json`, describes
//! every route. Whoever asks for what is not understood gets a 4xx and one line of text that says what was expected.
//!
//! | file | holds |
//! | --- | --- |
//! | `server` | listening, connections and their limits |
//! | `routes` | every route, by method and path |
//! | `guard` | what every request passes: host, origin, rate, time |
//! | `ask` | reading bodies, queries and paths; `refusal`: what is answered when they are wrong |
//! | `message` | messages as JSON |
//! | `info`, `relay`, `store`, `admin` | nwaku's routes |
//! | `work` | fetching history and comparing with another node, which take long |
//! | `settings` | those that change while the node runs |
//! | `sync`, `events`, `verdict` | our own: how things stand, as it changes, and in a sentence |

mod admin;
mod ask;
mod events;
mod guard;
mod info;
mod message;
mod refusal;
mod relay;
mod routes;
mod server;
mod settings;
mod store;
mod sync;
mod verdict;
mod work;

pub use server::{Api, ApiError, Listening};

/// The interface's description, served at `/openapi.json`.
pub const OPENAPI: &str = include_str!("openapi.json");
