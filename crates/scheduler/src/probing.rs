//! Probing: asking one neighbour whether it holds the same.
use std::fmt::Debug;

use hearken_tree::GroupId;
use hearken_wire::{Ask, RangeWant, ShortFingerprint};
use rand::seq::IteratorRandom;

use crate::{
    Engine, Job, Trigger,
    exchange::Purpose,
    group::{Doubt, Suspect},
    metrics,
    peers::Peer,
    pending::{Pending, Probe},
    pursuit::TaskId,
    window,
};

impl<P: Clone + Ord + Debug> Engine<P> {
    pub(crate) fn tick_probes(&mut self, id: GroupId) {
        let now = self.ctx.now.monotonic;
        let Some(group) = self.groups.get_mut(&id) else { return };
        if self.ctx.config.probe && group.probe_at <= now && group.probe_now(&mut self.ctx) {
            group.wanted.get_or_insert(Trigger::Periodic);
        }
        let idle_trigger = self.ctx.config.idle_trigger;
        if !idle_trigger.is_zero() && group.idle_at <= now {
            group.idle_at = now + idle_trigger;
            group.wanted = Some(Trigger::Idle);
        }
        let suspects: Vec<(P, Suspect)> =
            group.suspects.iter().map(|(peer, suspect)| (peer.clone(), *suspect)).collect();
        let over = !suspects.is_empty() && !group.pursuit.busy(now) && !self.probing(id);
        let due =
            suspects.into_iter().filter(|(_, suspect)| suspect.at <= now || (suspect.why == Doubt::LeftOut && over));
        for (peer, suspect) in due {
            self.ask_suspect(id, peer, suspect.why);
        }
        let Some(group) = self.groups.get_mut(&id) else { return };
        let Some(trigger) = group.wanted else { return };
        let peer = if trigger == Trigger::Doubt { self.believable_peer(id) } else { self.random_peer(id) };
        if let Some(peer) = peer {
            self.probe_window(id, peer, trigger);
        }
    }

    /// A probe as soon as somebody can be asked.
    pub(crate) fn want_probe(&mut self, id: GroupId, trigger: Trigger) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.wanted = Some(trigger);
        }
    }

    /// A neighbour connected: the first after start is probed, and later ones at most one in each shortest interval.
    pub(crate) fn greet(&mut self, peer: &P) {
        let now = self.ctx.now.monotonic;
        let config = &self.ctx.config;
        let mut probes = Vec::new();
        for (id, group) in &mut self.groups {
            let (trigger, on) = if group.booted {
                (Trigger::Reconnect, config.sync_on_reconnect)
            } else {
                (Trigger::Boot, config.sync_on_boot)
            };
            let usable = self.peers.peer(peer).is_some_and(|peer| peer.usable(id, now)) && group.allows(peer);
            if on && usable && !self.paused && (!group.booted || group.greet_at <= now) {
                group.booted = true;
                group.greet_at = now + config.interval_min;
                probes.push((*id, trigger));
            }
        }
        for (id, trigger) in probes {
            self.probe_window(id, peer.clone(), trigger);
        }
    }

    /// Probes a peer, unless its sketches have told meanwhile how it differs.
    fn ask_suspect(&mut self, id: GroupId, peer: P, why: Doubt) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        group.suspects.remove(&peer);
        if !matches!(why, Doubt::HoldsMore(..=0)) && self.may_ask(id, &peer) {
            self.probe_window(id, peer, Trigger::Suspect);
        }
    }

    /// Asks `peer` about the whole window.
    pub(crate) fn probe_window(&mut self, id: GroupId, peer: P, trigger: Trigger) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        group.wanted = None;
        let range = window::settled(&self.ctx.config, &group.config, self.ctx.now.unix).keys();
        if !range.is_empty() {
            self.probe(id, peer, trigger, range, None);
        }
    }

    /// Asks `peer` about a range. `task` holds the range meanwhile.
    pub(crate) fn probe(
        &mut self,
        id: GroupId,
        peer: P,
        trigger: Trigger,
        range: hearken_tree::KeyRange,
        task: Option<TaskId>,
    ) {
        let salt = self.ctx.salt();
        let probe = Probe { peer, trigger, range, salt, task };
        self.index(id, Job::Fingerprint { range, salt }, Pending::Probe(probe));
    }

    pub(crate) fn send_probe(&mut self, id: GroupId, probe: Probe<P>, root: ShortFingerprint) {
        let Probe { ref peer, trigger, range, salt, task } = probe;
        if !self.peers.connected(peer) {
            return self.probe_failed(id, probe);
        }
        if let Some(group) = self.groups.get_mut(&id) {
            if task.is_none() {
                group.count = Some(root.count);
            }
            let (sent, at) = group.probes.entry(trigger.name()).or_default();
            (*sent, *at) = (*sent + 1, self.ctx.now.monotonic);
        }
        metrics::probe(trigger);
        let ranges = vec![RangeWant { range, ask: Ask::Check(root) }];
        self.send_want(id, peer.clone(), Purpose::Probe(trigger), salt, ranges, task.into_iter().collect());
    }

    pub(crate) fn probe_failed(&mut self, id: GroupId, probe: Probe<P>) {
        let now = self.ctx.now.monotonic;
        if let (Some(group), Some(task)) = (self.groups.get_mut(&id), probe.task) {
            group.pursuit.failed(task, &probe.peer, now);
        }
    }

    fn random_peer(&mut self, id: GroupId) -> Option<P> {
        let names: Vec<P> = self.usable(id).map(|(name, _)| name.clone()).collect();
        names.into_iter().choose(&mut self.ctx.rng)
    }

    /// One that has not lied, and had better not been found equal a moment ago.
    fn believable_peer(&mut self, id: GroupId) -> Option<P> {
        let (news, equal) = self.believable(id);
        let names = if news.is_empty() { equal } else { news };
        names.into_iter().choose(&mut self.ctx.rng)
    }

    /// Whether all that may be asked and have not lied are known to be equal; false if there is none.
    pub(crate) fn all_equal(&self, id: GroupId) -> bool {
        let (news, equal) = self.believable(id);
        news.is_empty() && !equal.is_empty()
    }

    /// Those that may be asked and have not lied: who may hold what is missing here, and the others.
    pub(crate) fn believable(&self, id: GroupId) -> (Vec<P>, Vec<P>) {
        let Some(group) = self.groups.get(&id) else { return (Vec::new(), Vec::new()) };
        let now = self.ctx.now;
        let range = window::settled(&self.ctx.config, &group.config, now.unix).keys();
        let clean = self.usable(id).filter(|(_, peer)| peer.penalty.points() == 0);
        let names = |peers: Vec<(&P, &Peer)>| peers.into_iter().map(|(name, _)| name.clone()).collect();
        let (news, equal) = clean.partition(|(_, peer)| peer.promising(&id, &range, group.repairs, now.monotonic));
        (names(news), names(equal))
    }
}
