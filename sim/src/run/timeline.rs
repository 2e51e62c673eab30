//! What befalls nodes and links.

use hearken_scheduler::{Config, Engine, Event};

use super::{
    SimError, baseline,
    recovery::Recovery,
    sim::{Incident, Sim},
    store::Store,
};
use crate::{
    net::{Nanos, NodeId, nanos, node_id},
    scenario::{Archive, EventKind, Hostile, Protocol},
};

/// Round trips until a connection can be used: TCP, the choice of Noise, Noise itself (one and a half), the choice of Yamux, and
/// that of the protocol on the first stream.
const HANDSHAKES: Nanos = 6;

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
            (EventKind::Crash, true) => {
                let noticed = self.go(&befallen, None);
                if let Some(undurable) = event.undurable {
                    befallen.iter().try_for_each(|node| self.lose(*node, nanos(undurable)))?;
                }
                noticed
            }
            (EventKind::Partition, true) => {
                self.part(index);
                Ok(())
            }
            (EventKind::Heal, true) | (EventKind::Partition, false) => {
                self.heal();
                Ok(())
            }
            (EventKind::Burst, true) => self.burst(index),
            (EventKind::Settings, begins) => self.settings(index, &befallen, begins),
            (EventKind::Hostile, begins) => {
                let harms: Vec<_> = befallen.iter().zip(event.harms()).collect();
                harms.into_iter().for_each(|(node, harm)| self.turn(*node, begins.then_some(harm)));
                Ok(())
            }
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
        let polling = self.scenario.polling();
        state.baseline = baseline::start(self.scenario.protocol, &polling, now, &mut self.other_dice);
        let store = &state.store;
        if state.hostile.is_none() {
            self.ledger.comes(state.class, |message| store.has(message));
        }
        self.schedule_mischief(node);
        self.feed(node, Event::Wake)
    }

    /// What came within so short before is gone.
    fn lose(&mut self, node: NodeId, undurable: Nanos) -> Result<(), SimError> {
        let state = &mut self.nodes[node as usize];
        let since = self.now.saturating_sub(undurable);
        let lost: Vec<_> = state.recent.drain(..).filter(|(came, _)| *came >= since).map(|(_, id)| id).collect();
        self.trace.record(self.now, node, "lost", lost.len() as u64, 0);
        state.counters.lost += lost.len() as u64;
        Ok(state.store.lose(&lost, &self.ledger, &mut self.sets)?)
    }

    /// The operator changes settings, or takes that back. What is under way goes on.
    fn settings(&mut self, index: usize, nodes: &[NodeId], begins: bool) -> Result<(), SimError> {
        let settings = self.scenario.settings_from(&self.scenario.events[index], begins);
        for node in nodes {
            let state = &mut self.nodes[*node as usize];
            state.config = Config { window: state.config.window, ..settings.clone() };
            let config = state.config.clone();
            if state.engine.is_some() {
                self.with_engine(*node, |engine, now| engine.reconfigure(config, now))?;
            }
        }
        Ok(())
    }

    /// A node turns against the others, or is honest again. What it holds counts only while it is honest.
    fn turn(&mut self, node: NodeId, hostile: Option<Hostile>) {
        let state = &mut self.nodes[node as usize];
        let (before, store) = (state.hostile, &state.store);
        state.hostile = hostile;
        match (before, hostile) {
            (None, Some(_)) if state.up => self.ledger.goes(state.class, |message| store.has(message), self.now),
            (Some(_), None) if state.up => self.ledger.comes(state.class, |message| store.has(message)),
            _ => {}
        }
        self.start_recovery(node);
        if before != hostile {
            self.schedule_mischief(node);
        }
    }

    fn go_down(&mut self, node: NodeId) {
        self.close_engine(node);
        let state = &mut self.nodes[node as usize];
        (state.up, state.engine, state.wake, state.recovery) = (false, None, None, None);
        state.baseline = None;
        state.streams.clear();
        state.trips.clear();
        state.judging.clear();
        let store = &state.store;
        if state.hostile.is_none() {
            self.ledger.goes(state.class, |message| store.has(message), self.now);
        }
        self.relay.forget(node);
        for link in self.links.of_mut(node) {
            (link.attached, link.mesh) = (false, Default::default());
        }
    }

    /// What a node lacks of what has settled is measured until it has it.
    pub(crate) fn start_recovery(&mut self, node: NodeId) {
        let state = &mut self.nodes[node as usize];
        let (class, window) = (state.class, state.group.window);
        state.recovery = if state.up && state.hostile.is_none() {
            let has = |message| state.store.has(message);
            Recovery::begin(&self.ledger, class, &state.config, window, self.now, has)
        } else {
            None
        };
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
                    if begins {
                        port.slow_down(event.upload.map(|upload| upload.0), event.latency.map_or(0, nanos));
                    } else {
                        port.recover();
                    }
                }
            }
            EventKind::DiskFull => {
                nodes.iter().for_each(|node| self.nodes[*node as usize].disk_full = begins);
                if !begins {
                    nodes.iter().for_each(|node| self.start_recovery(*node));
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
            let setup = HANDSHAKES * 2 * latency;
            self.links.both(a, b, |link| (link.up, link.epoch, link.last) = (able, epoch, 0));
            let (after, peer) =
                if able { (self.other_dice.below(spread.max(1)) + setup, b) } else { (noticed + latency, b) };
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
            self.subscribed(from, to);
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
