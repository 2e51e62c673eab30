//! What anti-entropy did, as lines of the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use hearken::{GroupId, Notice, Status};
use hearken_scheduler::Admitted;

use super::activity::{Activity, Repair};
use crate::clock::Clock;

/// Gathers what was repaired, so that a large repair is a line a second and not one for each batch.
pub(super) struct Repairs {
    groups: BTreeMap<GroupId, Admitted>,
    topics: BTreeMap<GroupId, String>,
    activity: Arc<Activity>,
    clock: Clock,
    /// What has been reported so far.
    reported: Admitted,
}

impl Repairs {
    pub(super) fn new(topics: BTreeMap<GroupId, String>, activity: Arc<Activity>, clock: Clock) -> Repairs {
        Repairs { groups: BTreeMap::new(), topics, activity, clock, reported: Admitted::default() }
    }

    /// Whether there is something to report.
    pub(super) fn waiting(&self) -> bool {
        !self.groups.is_empty()
    }

    pub(super) fn take(&mut self, notice: Notice) {
        match notice {
            Notice::Repaired { group, admitted } => add(self.groups.entry(group).or_default(), &admitted),
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
            if sum == Admitted::default() {
                continue;
            }
            add(&mut self.reported, &sum);
            self.activity.repaired(Repair { at: self.clock.now(), group, admitted: sum });
            let topic = self.topics.get(&group).map_or("?", String::as_str);
            let Admitted { stored, duplicates, refused, unasked, failed } = sum;
            tracing::info!("repaired {stored} messages of {topic} (held already: {duplicates}, refused: {refused})");
            if unasked + failed > 0 {
                tracing::warn!("of {topic}, {unasked} messages came unasked and {failed} could not be stored");
            }
        }
    }

    /// The last report. A log that adds up to less than `total` would hide repairs: what is missing is named, although no group can be
    /// told for it (a listener that lags too far behind loses notices).
    pub(super) fn finish(&mut self, total: &Status) {
        self.report();
        let stored = total.repaired.saturating_sub(self.reported.stored);
        let duplicates = total.duplicates.saturating_sub(self.reported.duplicates);
        let refused = total.refused.saturating_sub(self.reported.refused);
        if stored + duplicates + refused > 0 {
            tracing::info!(
                "repaired {stored} messages of groups not named (held already: {duplicates}, refused: {refused})"
            );
        }
    }
}

fn add(sum: &mut Admitted, more: &Admitted) {
    sum.stored += more.stored;
    sum.duplicates += more.duplicates;
    sum.refused += more.refused;
    sum.unasked += more.unasked;
    sum.failed += more.failed;
}
