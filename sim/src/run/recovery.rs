//! How long a node that lacks something takes until it is whole.

use std::time::Duration;

use hearken_scheduler::Config;

use super::ledger::{EPOCH, Ledger, MessageId};
use crate::net::{Nanos, nanos};

/// A node that lacks something and is getting it.
pub(crate) struct Recovery {
    /// Since when.
    pub(crate) since: Nanos,
    left: u64,
    /// It concerns messages before this one, and with timestamps from `from` on.
    before: MessageId,
    from: u64,
}

impl Recovery {
    /// What a node of this class lacks of what has settled `now`; `None` if nothing.
    pub(crate) fn begin(
        ledger: &Ledger,
        class: usize,
        config: &Config,
        window: Duration,
        now: Nanos,
        has: impl Fn(MessageId) -> bool,
    ) -> Option<Recovery> {
        // What is about to leave the window is not counted: it may be gone before it is asked for.
        let grace = nanos(config.interval_max);
        let from = (EPOCH + now).saturating_sub(nanos(config.settle_delay + window)) + grace;
        let settle = nanos(config.settle_delay + config.horizon_grid);
        let before = ledger.published_before(now.saturating_sub(settle));
        let lacks = ledger.incomplete(class).take_while(|message| *message < before);
        let lacks = lacks.filter(|message| ledger.key(*message).timestamp() >= from);
        let left = lacks.filter(|message| !has(*message)).count() as u64;
        (left > 0).then_some(Recovery { since: now, left, before, from })
    }

    /// A message that the node lacked has come; true if that was the last.
    pub(crate) fn came(&mut self, ledger: &Ledger, message: MessageId) -> bool {
        if message < self.before && ledger.key(message).timestamp() >= self.from {
            self.left -= 1;
        }
        self.left == 0
    }
}
