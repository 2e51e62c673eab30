//! What every whole-system test uses: processes, nodes, and messages to compare.

mod browser;
mod http;
mod lines;
mod messages;
mod node;
mod program;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use browser::Browser;
pub use http::Http;
pub use lines::Lines;
pub use messages::{Messages, TOPIC, Trace, export, import};
pub use node::{Node, repaired_in, run_until_said};
pub use program::{Finished, command, hearken, hearken_with_input, simulator};

/// How long anything may take that is expected to happen. Generous: it only bounds a failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Whoever holds this is the only heavy test that runs: each starts several nodes, and the machine may have two cores.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed in its turn left nothing behind that the next one could trip over.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
