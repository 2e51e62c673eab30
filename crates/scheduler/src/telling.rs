//! Telling neighbours that what they asked for in vain has come.
//!
//! An announcement tells all nodes at once that something is missing. Where few hold it, most neighbours that are asked lack it as well,
//! and who asked them looks elsewhere, a few times. Whoever gets it meanwhile probes those that had asked it in vain: rare messages go from
//! neighbour to neighbour, instead of waiting for the next try or the next announcement. Under steady loss next to nobody asks in vain.
use std::{collections::BTreeMap, fmt::Debug, time::Duration};

use hearken_tree::GroupId;

use crate::{Engine, Trigger};

/// For so long who asked in vain tries elsewhere: 1, 2, 4 and 8 seconds.
const WAITS: Duration = Duration::from_secs(15);

/// Neighbours that asked in vain.
#[derive(Clone, Debug)]
pub(crate) struct Vain<P> {
    asked: BTreeMap<P, Duration>,
    /// Something has come since they were told.
    news: bool,
}

impl<P: Clone + Ord> Vain<P> {
    pub(crate) fn new() -> Vain<P> {
        Vain { asked: BTreeMap::new(), news: false }
    }

    pub(crate) fn asked(&mut self, peer: &P, now: Duration) {
        self.asked.insert(peer.clone(), now);
    }

    pub(crate) fn came(&mut self) {
        self.news = true;
    }

    pub(crate) fn forget(&mut self, peer: &P) {
        self.asked.remove(peer);
    }

    /// Those that are to be told, once each.
    fn told(&mut self, now: Duration) -> Vec<P> {
        self.asked.retain(|_, at| now < *at + WAITS);
        if std::mem::take(&mut self.news) { std::mem::take(&mut self.asked).into_keys().collect() } else { Vec::new() }
    }
}

impl<P: Clone + Ord + Debug> Engine<P> {
    /// Probes who asked in vain, once a repair is over.
    pub(crate) fn tell(&mut self, id: GroupId) {
        let now = self.ctx.now.monotonic;
        let Some(group) = self.groups.get_mut(&id) else { return };
        if !self.ctx.config.probe || group.pursuit.busy(now) {
            return;
        }
        for peer in group.vain.told(now) {
            if self.may_ask(id, &peer) {
                self.probe_window(id, peer, Trigger::FollowUp);
            }
        }
    }
}
