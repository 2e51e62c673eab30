//! What anti-entropy did, as lines of the log.

use std::collections::BTreeMap;

use hearken::{GroupId, Notice};
use hearken_scheduler::Admitted;

/// Gathers what was repaired, so that a large repair is a line a second and not one for each batch.
#[derive(Default)]
pub(super) struct Repairs {
    groups: BTreeMap<GroupId, Admitted>,
    topics: BTreeMap<GroupId, String>,
}

impl Repairs {
    pub(super) fn new(topics: BTreeMap<GroupId, String>) -> Repairs {
        Repairs { groups: BTreeMap::new(), topics }
    }

    /// Whether there is something to report.
    pub(super) fn waiting(&self) -> bool {
        !self.groups.is_empty()
    }

    pub(super) fn take(&mut self, notice: Notice) {
        match notice {
            Notice::Repaired { group, admitted } => {
                let sum = self.groups.entry(group).or_default();
                sum.stored += admitted.stored;
                sum.duplicates += admitted.duplicates;
                sum.refused += admitted.refused;
                sum.unasked += admitted.unasked;
                sum.failed += admitted.failed;
            }
            Notice::Served { peer, messages, bytes, .. } if messages > 0 => {
                tracing::debug!(%peer, messages, bytes, "served a neighbour");
            }
            Notice::Unsupported(peer) => tracing::debug!(%peer, "a peer does not speak the sync protocol"),
            Notice::Offended { peer, offence } => tracing::warn!(%peer, ?offence, "a peer broke the sync protocol"),
            _ => {}
        }
    }

    pub(super) fn report(&mut self) {
        for (group, sum) in std::mem::take(&mut self.groups) {
            let topic = self.topics.get(&group).map_or("?", String::as_str);
            let Admitted { stored, duplicates, refused, unasked, failed } = sum;
            tracing::info!("repaired {stored} messages of {topic} (held already: {duplicates}, refused: {refused})");
            if unasked + failed > 0 {
                tracing::warn!("of {topic}, {unasked} messages came unasked and {failed} could not be stored");
            }
        }
    }
}
