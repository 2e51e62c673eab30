//! What befalls nodes and links.

use hearken_scheduler::{Engine, Event};

use super::{
    SimError,
    ledger::EPOCH,
    node::Recovery,
    sim::{Incident, Sim},
    store::Store,
};
use crate::{
    net::{Nanos, NodeId, nanos, node_id},
    scenario::{Archive, EventKind, Protocol},
};

impl Sim<'_> {
    /// An event of the scenario begins, or ends.
    pub(crate) fn on_event(&mut self, index: usize, begins: bool) -> Result<(), SimError> {
        let event = &self.scenario.events[index];
        let befallen = self.befalls[index].clone();
        self.last_event = self.now;
        self.trace.record(self.now, 0, if begins { "begin" } else { "end" }, index as u64, befallen.len() as u64);
        match (event.kind, begins) {
            (EventKind::Join, true) | (EventKind::Crash, false) => {
                self.come(&befallen, event.archive.unwrap_or_default())
            }
            (EventKind::Leave, true) => self.go(&befallen, Some(0)),
            (EventKind::Crash, true) => self.go(&befallen, None),
            (EventKind::Partition, true) => {
                self.part(index);
                Ok(())
            }
            (EventKind::Heal, true) | (EventKind::Partition, false) => {
                self.heal();
                Ok(())
            }
            (EventKind::Burst, true) => self.burst(index),
            (kind, begins) => {
                self.change(kind, index, &befallen, begins);
                Ok(())
            }
        }
    }

    fn come(&mut self, nodes: &[NodeId], archive: Archive) -> Result<(), SimError> {
        for node in nodes {
            if !self.nodes[*node as usize].up {
                if archive == Archive::Lost {
                    self.nodes[*node as usize].store = Store::default();
                }
                self.come_up(*node, self.now)?;
                self.start_recovery(*node);
            }
        }
        self.relink(nanos(self.scenario.network.redial), None);
        Ok(())
    }

    /// `noticed`: so long after, unless it goes unnoticed for as long as the network takes.
    fn go(&mut self, nodes: &[NodeId], noticed: Option<Nanos>) -> Result<(), SimError> {
        for node in nodes {
            if self.nodes[*node as usize].up {
                self.go_down(*node);
            }
        }
        self.relink(nanos(self.scenario.network.redial), noticed);
        Ok(())
    }

    /// A node starts.
    pub(crate) fn come_up(&mut self, node: NodeId, now: Nanos) -> Result<(), SimError> {
        let seed = self.other_dice.next();
        let state = &mut self.nodes[node as usize];
        state.up = true;
        if self.scenario.protocol == Protocol::Hearken {
            let engine = Engine::new(state.config.clone(), [state.group.clone()], seed, state.clock(now))?;
            state.engine = Some(Box::new(engine));
        }
        let store = &state.store;
        self.ledger.comes(state.class, |message| store.has(message));
        self.feed(node, Event::Wake)
    }

    fn go_down(&mut self, node: NodeId) {
        let state = &mut self.nodes[node as usize];
        (state.up, state.engine, state.wake, state.recovery) = (false, None, None, None);
        state.streams.clear();
        state.trips.clear();
        state.judging.clear();
        let store = &state.store;
        self.ledger.goes(state.class, |message| store.has(message), self.now);
        self.relay.forget(node);
        for link in self.links.of_mut(node) {
            (link.attached, link.mesh) = (false, Default::default());
        }
    }

    /// What a node lacks of what has settled is measured until it has it.
    pub(crate) fn start_recovery(&mut self, node: NodeId) {
        let state = &mut self.nodes[node as usize];
        // What is about to leave the window is not counted: it may be gone before it is asked for.
        let grace = nanos(state.config.interval_max);
        let from = (EPOCH + self.now).saturating_sub(nanos(state.config.settle_delay + state.group.window)) + grace;
        let settle = nanos(state.config.settle_delay + state.config.horizon_grid);
        let before = self.ledger.published_before(self.now.saturating_sub(settle));
        let lacks = self.ledger.incomplete(state.class).take_while(|message| *message < before);
        let lacks = lacks.filter(|message| self.ledger.key(*message).timestamp() >= from);
        let left = lacks.filter(|message| !state.store.has(*message)).count() as u64;
        state.recovery = (state.up && left > 0).then_some(Recovery { since: self.now, left, before, from });
    }

    fn part(&mut self, index: usize) {
        let nodes = self.scenario.network.nodes;
        self.nodes.iter_mut().for_each(|node| node.part = 0);
        for (part, members) in (1..).zip(&self.scenario.events[index].parts) {
            for node in members.pick(nodes, &mut self.other_dice) {
                self.nodes[node as usize].part = part;
            }
        }
        self.relink(nanos(self.scenario.network.redial), None);
    }

    fn heal(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.part = 0);
        self.relink(nanos(self.scenario.network.redial), None);
        (0..self.nodes.len()).for_each(|node| self.start_recovery(node_id(node)));
    }

    fn change(&mut self, kind: EventKind, index: usize, nodes: &[NodeId], begins: bool) {
        let event = &self.scenario.events[index];
        let network = &self.scenario.network;
        match kind {
            EventKind::Loss => {
                let usual = (network.loss, self.scenario.gossipsub.delivery_loss);
                let now = (event.loss.unwrap_or(usual.0), event.delivery_loss.unwrap_or(usual.1));
                (self.loss, self.delivery_loss) = if begins { now } else { usual };
            }
            EventKind::Skew => {
                let by = event.by.unwrap_or_default().0;
                nodes.iter().for_each(|node| self.nodes[*node as usize].skew += if begins { by } else { -by });
            }
            EventKind::Slow => {
                for node in nodes {
                    let port = &mut self.nodes[*node as usize].port;
                    let upload = event.upload.unwrap_or(network.upload);
                    port.upload = if begins { upload.0 } else { network.upload.0 };
                    port.lag = if begins { event.latency.map_or(0, nanos) } else { 0 };
                }
            }
            _ => {}
        }
    }

    /// Brings links up that can be, and down that cannot. Who is connected notices within `spread`, who is not after
    /// `noticed` or else when the network notices.
    pub(crate) fn relink(&mut self, spread: Nanos, noticed: Option<Nanos>) {
        let noticed = noticed.unwrap_or(nanos(self.scenario.network.detect));
        for (a, b) in self.links.pairs() {
            let (one, other) = (&self.nodes[a as usize], &self.nodes[b as usize]);
            let able = one.up && other.up && one.part == other.part;
            let Some(link) = self.links.get(a, b).filter(|link| link.up != able) else { continue };
            let (epoch, latency) = (link.epoch + 1, link.latency);
            self.links.both(a, b, |link| (link.up, link.epoch, link.last) = (able, epoch, 0));
            let (after, peer) = if able { (self.other_dice.below(spread.max(1)), b) } else { (noticed + latency, b) };
            let incident = if able { Incident::Attach { peer, epoch } } else { Incident::Detach { peer, epoch } };
            self.queue.push(self.now + after, (a, incident));
        }
    }

    /// A connection is made. An end that had not noticed that the old one was gone does so now.
    pub(crate) fn on_attach(&mut self, a: NodeId, b: NodeId, epoch: u32) -> Result<(), SimError> {
        let current = self.links.get(a, b).is_some_and(|link| link.epoch == epoch && link.up);
        let attached = |sim: &Self, from, to| sim.links.get(from, to).is_some_and(|link| link.attached);
        if !current || (attached(self, a, b) && attached(self, b, a)) {
            return Ok(());
        }
        for (from, to) in [(a, b), (b, a)] {
            if attached(self, from, to) {
                self.feed(from, Event::Disconnected(to))?;
            }
        }
        self.links.both(a, b, |link| (link.attached, link.mesh) = (true, Default::default()));
        for (from, to) in [(a, b), (b, a)] {
            self.feed(from, Event::Connected(to))?;
            self.mesh_changed(from);
        }
        Ok(())
    }

    /// A connection is found broken, at both ends.
    pub(crate) fn on_detach(&mut self, a: NodeId, b: NodeId, epoch: u32) -> Result<(), SimError> {
        if self.links.get(a, b).is_none_or(|link| link.epoch != epoch) {
            return Ok(());
        }
        for (from, to) in [(a, b), (b, a)] {
            let Some(link) = self.links.get_mut(from, to).filter(|link| link.attached) else { continue };
            (link.attached, link.mesh) = (false, Default::default());
            self.feed(from, Event::Disconnected(to))?;
            self.mesh_changed(from);
        }
        Ok(())
    }
}
