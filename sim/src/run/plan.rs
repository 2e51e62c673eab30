//! What chance decides before a run begins: who knows whom, whom events befall, what lies in the stores. The same for the same
//! scenario and seed, whether nodes are virtual or real.

use std::time::Duration;

use hearken_tree::{Id, Key};

use super::ledger::{EPOCH, MessageId};
use crate::{
    net::{Nanos, NodeId, SECOND, dice::Dice, links::Links, nanos, port::Port, real, topology, whole},
    scenario::{EventKind, Hostile, NodeSettings, Scenario},
};

/// What is decided before a run begins.
pub(crate) struct Plan<'a> {
    pub(crate) links: Links,
    /// What sets each node apart.
    pub(crate) traits: Vec<Traits<'a>>,
    /// Who each event befalls.
    pub(crate) befalls: Vec<Vec<NodeId>>,
    pub(crate) traffic: Traffic<'a>,
    /// Chance on the network, and of everything else.
    pub(crate) dice: Dice,
    pub(crate) other: Dice,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(scenario: &'a Scenario) -> Plan<'a> {
        let mut dice = Dice::new(scenario.seed);
        let network = &scenario.network;
        let (mut graph, mut other) = (dice.fork(), dice.fork());
        let edges = topology::edges(network.nodes, network.topology, network.degree, &mut graph);
        let settings = settings_by_node(scenario, &mut other);
        let regions = regions(scenario, &settings);
        let links = Links::new(network, edges, &regions, &mut graph);
        let befalls = scenario
            .events
            .iter()
            .map(|event| event.whom().map_or(Vec::new(), |nodes| nodes.pick(network.nodes, &mut other)));
        let befalls = befalls.collect();
        let publishers = scenario.traffic.publishers.pick(network.nodes, &mut other);
        let traffic = Traffic { scenario, publishers, dice: dice.fork() };
        Plan { links, traits: traits(scenario, &settings), befalls, traffic, dice: dice.fork(), other }
    }
}

/// What sets a node apart, put together from all the `[[node]]` tables that name it.
pub(crate) struct Traits<'a> {
    pub(crate) window: Duration,
    /// Its clock is ahead by so much, in nanoseconds.
    pub(crate) skew: i64,
    /// Share of messages that it refuses.
    pub(crate) refuses: f64,
    /// What it does to harm others.
    pub(crate) hostile: Option<Hostile>,
    pub(crate) port: Port,
    /// Says what it lacks of what is stored.
    pub(crate) lacks: Option<&'a NodeSettings>,
}

/// Later tables count more. The kinds of hostile nodes are dealt out in turn.
fn traits<'a>(scenario: &'a Scenario, settings: &[Vec<&'a NodeSettings>]) -> Vec<Traits<'a>> {
    let (network, mut dealt) = (&scenario.network, 0);
    let traits = settings.iter().map(|tables| {
        let tables = || tables.iter().rev();
        let hostile = tables().find(|table| !table.hostile.is_empty()).map(|table| {
            dealt += 1;
            table.hostile[(dealt - 1) % table.hostile.len()]
        });
        let upload = tables().find_map(|table| table.upload).unwrap_or(network.upload);
        let download = tables().find_map(|table| table.download).unwrap_or(network.download);
        Traits {
            window: tables().find_map(|table| table.window).unwrap_or(scenario.sync.window),
            skew: tables().find_map(|table| table.skew).map_or(0, |skew| skew.0),
            refuses: tables().find_map(|table| table.refuses).unwrap_or(0.0),
            hostile,
            port: Port::new(upload.0, download.0),
            lacks: tables().find(|table| table.missing.is_some() || table.gap.is_some()).copied(),
        }
    });
    traits.collect()
}

/// Which of the stored messages a node holds that lacks some.
pub(crate) fn left_over(everything: &[MessageId], settings: &NodeSettings, dice: &mut Dice) -> Vec<MessageId> {
    let many = real(everything.len() as u64);
    let [from, to] = settings.gap.unwrap_or([0.0, 0.0]);
    let missing = settings.missing.unwrap_or(0.0);
    let held = everything.iter().filter(|message| {
        let place = real(u64::from(**message)) / many;
        !((from..to).contains(&place) || dice.chance(missing))
    });
    held.copied().collect()
}

/// Nodes that join before they do anything else.
pub(crate) fn late(scenario: &Scenario, befalls: &[Vec<NodeId>]) -> Vec<NodeId> {
    let mut order: Vec<usize> = (0..scenario.events.len()).collect();
    order.sort_by_key(|index| scenario.events[*index].at);
    let (mut seen, mut late) = (Vec::new(), Vec::new());
    for index in order {
        let kind = scenario.events[index].kind;
        if !matches!(kind, EventKind::Join | EventKind::Leave | EventKind::Crash) {
            continue;
        }
        for node in &befalls[index] {
            if !seen.contains(node) {
                seen.push(*node);
                if kind == EventKind::Join {
                    late.push(*node);
                }
            }
        }
    }
    late
}

/// A node's validator refuses the same messages always.
pub(crate) fn refuses(scenario: &Scenario, share: f64, node: NodeId, message: MessageId) -> bool {
    share > 0.0 && {
        let seed = (u64::from(node) << 32) | u64::from(message);
        Dice::new(seed ^ scenario.seed.rotate_left(17)).chance(share)
    }
}

/// Who publishes what, and when.
pub(crate) struct Traffic<'a> {
    scenario: &'a Scenario,
    pub(crate) publishers: Vec<NodeId>,
    dice: Dice,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// So many messages that are made up.
    MadeUp,
    /// This one of the trace.
    Recorded(usize),
}

impl Traffic<'_> {
    /// The messages that lie in the stores when the run begins; they end where the horizon is then.
    pub(crate) fn stored(&mut self) -> Vec<(Key, u32)> {
        let (traffic, sync) = (&self.scenario.traffic, &self.scenario.sync);
        let newest = EPOCH - nanos(sync.settle_delay + 2 * sync.horizon_grid);
        let oldest = newest - nanos(traffic.stored_over);
        let message = |number| {
            let share = (real(number) + self.dice.unit()) / real(traffic.stored);
            let key = Key::new(oldest + whole(share * real(newest - oldest)), self.id());
            (key, self.size())
        };
        (0..traffic.stored).map(message).collect()
    }

    pub(crate) fn id(&mut self) -> Id {
        Id(self.dice.id())
    }

    pub(crate) fn publisher(&mut self) -> NodeId {
        self.publishers[self.dice.index(self.publishers.len())]
    }

    pub(crate) fn size(&mut self) -> u32 {
        let traffic = &self.scenario.traffic;
        let (from, to) = (traffic.size.0, traffic.size_max.unwrap_or(traffic.size).0);
        let size = from + self.dice.below(to - from + 1);
        u32::try_from(size.max(1)).unwrap_or(u32::MAX)
    }

    /// The first publication.
    pub(crate) fn first(&mut self) -> Option<(Nanos, Next)> {
        match &self.scenario.recorded {
            Some(recorded) => recorded.first().map(|first| (nanos(first.at), Next::Recorded(0))),
            None => self.after(nanos(self.scenario.traffic.from), Next::MadeUp),
        }
    }

    /// The publication that follows one at `now`. Gaps between those that are made up are exponential, so that messages come as
    /// from many independent users.
    pub(crate) fn after(&mut self, now: Nanos, last: Next) -> Option<(Nanos, Next)> {
        let (traffic, until) = (&self.scenario.traffic, nanos(self.scenario.traffic_until()));
        let next = match last {
            Next::MadeUp if traffic.rate > 0.0 && !self.publishers.is_empty() => {
                let mean = real(u64::from(traffic.burst)) / traffic.rate;
                Some((now + whole(self.dice.exponential() * mean * real(SECOND)), Next::MadeUp))
            }
            Next::MadeUp => None,
            Next::Recorded(index) => {
                let message = self.scenario.recorded.as_ref().and_then(|recorded| recorded.get(index + 1));
                message.map(|message| (nanos(message.at), Next::Recorded(index + 1)))
            }
        };
        next.filter(|(at, _)| *at < until)
    }

    /// What is published now: by whom, and how large each is.
    pub(crate) fn now(&mut self, next: Next) -> (NodeId, Vec<u32>) {
        let publisher = self.publisher();
        let sizes = match next {
            Next::MadeUp => (0..self.scenario.traffic.burst).map(|_| self.size()).collect(),
            Next::Recorded(index) => {
                let recorded = self.scenario.recorded.as_ref().and_then(|recorded| recorded.get(index));
                recorded.iter().map(|message| message.size).collect()
            }
        };
        (publisher, sizes)
    }
}

/// What the `[[node]]` tables say of each node; later ones count more.
fn settings_by_node<'a>(scenario: &'a Scenario, dice: &mut Dice) -> Vec<Vec<&'a NodeSettings>> {
    let mut settings = vec![Vec::new(); scenario.network.nodes];
    for some in &scenario.nodes {
        for node in some.nodes.pick(scenario.network.nodes, dice) {
            settings[node as usize].push(some);
        }
    }
    settings
}

/// Nodes are dealt to regions in turn, unless they say where they are.
fn regions(scenario: &Scenario, settings: &[Vec<&NodeSettings>]) -> Vec<usize> {
    let regions = scenario.region_names().len().max(1);
    let named = |some: &Vec<&NodeSettings>| {
        let name = some.iter().rev().find_map(|some| some.region.as_deref());
        name.and_then(|name| scenario.region(name))
    };
    settings.iter().enumerate().map(|(node, some)| named(some).unwrap_or(node % regions)).collect()
}
