//! The run: nodes, what is on its way between them, and what happens next.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use hearken_scheduler::{Config, GroupConfig};
use hearken_tree::{GroupId, Key};
use hearken_wire::RequestId;

use super::{
    SimError,
    hostile::Mischief,
    ledger::{Ledger, MessageId},
    measure::{Kind, Measure, Sample},
    node::Node,
    plan::{Next, Plan, Traffic, Traits, late, left_over},
    relay::Relay,
    store::{Set, Sets, Store},
    trace::Trace,
};
use crate::{
    net::{Nanos, NodeId, dice::Dice, links::Links, nanos, node_id, queue::Queue},
    scenario::{Hostile, Scenario},
};

/// The one group that all nodes have joined.
pub(crate) const GROUP: GroupId = GroupId([7; 16]);

/// Something that happens to a node.
pub(crate) enum Incident {
    /// The engine wanted to be woken.
    Wake,
    /// A gossip message arrives.
    Push {
        from: NodeId,
        item: u32,
    },
    /// Gossipsub's IHAVE arrives.
    Ihave {
        from: NodeId,
        items: Arc<[u32]>,
    },
    /// Gossipsub's IWANT arrives.
    Iwant {
        from: NodeId,
        items: Arc<[u32]>,
    },
    /// A frame arrives, unless the connection went down since.
    Frame {
        from: NodeId,
        epoch: u32,
        frame: Bytes,
    },
    /// Something that is no frame of Hearken's: what a baseline says, or a hostile node.
    Foreign {
        from: NodeId,
        epoch: u32,
        body: Bytes,
    },
    /// A hostile node does harm unasked.
    Mischief,
    /// There is room for the next frame of a stream.
    Pump {
        to: NodeId,
        request: RequestId,
    },
    /// Gossipsub's heartbeat.
    Beat,
    /// A connection is made, or found broken.
    Attach {
        peer: NodeId,
        epoch: u32,
    },
    Detach {
        peer: NodeId,
        epoch: u32,
    },
    /// An event of the scenario begins, or ends. The node means nothing.
    Begin(usize),
    End(usize),
    /// Somebody publishes. The node means nothing.
    Publish(Next),
    /// Time to look how things stand. The node means nothing.
    Sample,
}

/// A run.
pub(crate) struct Sim<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) queue: Queue<(NodeId, Incident)>,
    pub(crate) now: Nanos,
    pub(crate) end: Nanos,
    pub(crate) nodes: Vec<Node>,
    pub(crate) links: Links,
    pub(crate) relay: Relay,
    pub(crate) ledger: Ledger,
    pub(crate) sets: Sets,
    pub(crate) measure: Measure,
    pub(crate) trace: Trace,
    pub(crate) traffic: Traffic<'a>,
    /// Chance on the network, and of everything else.
    pub(crate) dice: Dice,
    pub(crate) other_dice: Dice,
    /// Who each event befalls.
    pub(crate) befalls: Vec<Vec<NodeId>>,
    /// Share of transmissions, and of live deliveries, that are lost now.
    pub(crate) loss: f64,
    pub(crate) delivery_loss: f64,
    pub(crate) events: u64,
    /// When the last event of the scenario began or ended.
    pub(crate) last_event: Nanos,
    pub(crate) step: Nanos,
    /// Deliveries of baselines so far.
    pub(crate) deliveries: u64,
    /// For how long a crash may lose what came.
    pub(crate) undurable: Nanos,
    /// What hostile nodes have done.
    pub(crate) mischief: Mischief,
}

/// What a clock is ahead that is a day ahead.
const DAY: i64 = 86_400_000_000_000;
/// Moments at which it is noted how things stand.
const SAMPLES: u64 = 240;

impl<'a> Sim<'a> {
    /// Everything as it is at the beginning.
    pub(crate) fn new(scenario: &'a Scenario, trace: Trace) -> Result<Sim<'a>, SimError> {
        let Plan { links, traits, befalls, traffic, dice, mut other } = Plan::new(scenario);
        let network = &scenario.network;
        let relay = Relay::new(network.nodes, nanos(scenario.gossipsub.heartbeat_interval), &mut other);
        let end = nanos(scenario.duration);
        let mut sim = Sim {
            scenario,
            queue: Queue::new(),
            now: 0,
            end,
            nodes: Vec::with_capacity(network.nodes),
            links,
            relay,
            ledger: Ledger::default(),
            sets: Sets::default(),
            measure: Measure::default(),
            trace,
            traffic,
            dice,
            other_dice: other,
            befalls,
            loss: network.loss,
            delivery_loss: scenario.gossipsub.delivery_loss,
            events: 0,
            last_event: 0,
            step: (end / SAMPLES).max(1),
            deliveries: 0,
            undurable: scenario.events.iter().filter_map(|event| event.undurable).map(nanos).max().unwrap_or(0),
            mischief: Mischief::default(),
        };
        sim.make_nodes(&traits);
        sim.fill_stores(&traits)?;
        sim.start()?;
        Ok(sim)
    }

    fn make_nodes(&mut self, traits: &[Traits<'_>]) {
        for one in traits {
            let config = Config { window: one.window, ..self.scenario.sync.clone() };
            let retention = self.scenario.retention(one.window);
            let group = GroupConfig { id: GROUP, window: one.window, retention, kept_from: 0 };
            let class = self.ledger.class(one.window);
            self.nodes.push(Node {
                engine: None,
                baseline: None,
                up: false,
                config,
                group,
                class,
                store: Store::default(),
                wake: None,
                skew: one.skew + if one.hostile == Some(Hostile::Future) { DAY } else { 0 },
                part: 0,
                port: one.port,
                streams: BTreeMap::new(),
                trips: BTreeMap::new(),
                trip: 0,
                follows: false,
                judging: Vec::new(),
                recovery: None,
                refuses: one.refuses,
                hostile: one.hostile,
                disk_full: false,
                recent: Default::default(),
                counters: Default::default(),
            });
        }
    }

    fn fill_stores(&mut self, traits: &[Traits<'_>]) -> Result<(), SimError> {
        for (key, size) in self.traffic.stored() {
            self.ledger.publish(key, size, 0);
        }
        let everything: Vec<MessageId> = self.ledger.messages().collect();
        let whole_store = self.store_with(&everything);
        for (node, one) in traits.iter().enumerate() {
            self.nodes[node].store = match one.lacks {
                Some(some) => {
                    let left = left_over(&everything, some, &mut self.other_dice);
                    self.store_with(&left)
                }
                None => whole_store.clone(),
            };
        }
        Ok(())
    }

    fn store_with(&mut self, messages: &[MessageId]) -> Store {
        let mut keys: Vec<Key> = messages.iter().map(|message| self.ledger.key(*message)).collect();
        keys.sort_unstable();
        let set: Set = self.sets.build(&keys);
        Store::with(messages.iter().copied(), set)
    }

    fn start(&mut self) -> Result<(), SimError> {
        let late = late(self.scenario, &self.befalls);
        for node in 0..self.nodes.len() {
            let node = node_id(node);
            if !late.contains(&node) {
                self.come_up(node, 0)?;
            }
        }
        self.ledger.settle();
        for node in 0..self.nodes.len() {
            self.start_recovery(node_id(node));
        }
        self.relink(nanos(self.scenario.network.start_spread), Some(0));
        for (index, event) in self.scenario.events.iter().enumerate() {
            let at = nanos(event.at);
            self.queue.push(at, (0, Incident::Begin(index)));
            if let Some(lasts) = event.lasts {
                self.queue.push(at + nanos(lasts), (0, Incident::End(index)));
            }
        }
        if let Some((at, next)) = self.traffic.first() {
            self.queue.push(at, (0, Incident::Publish(next)));
        }
        self.queue.push(0, (0, Incident::Sample));
        Ok(())
    }

    /// Lets things happen until `until`, or the end; false once that has come.
    pub(crate) fn run_until(&mut self, until: Nanos) -> Result<bool, SimError> {
        while self.now < until {
            match self.queue.pop() {
                Some((at, (node, incident))) if at <= self.end => {
                    self.now = at;
                    self.events += 1;
                    self.happen(node, incident)?;
                }
                _ => {
                    self.now = self.end;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn happen(&mut self, node: NodeId, incident: Incident) -> Result<(), SimError> {
        match incident {
            Incident::Push { from, item } => self.on_push(node, from, item),
            Incident::Ihave { from, items } => {
                self.on_gossip_ihave(node, from, &items);
                Ok(())
            }
            Incident::Iwant { from, items } => {
                self.on_gossip_iwant(node, from, &items);
                Ok(())
            }
            Incident::Beat => {
                self.on_beat(node);
                Ok(())
            }
            Incident::Wake => self.on_wake(node),
            Incident::Frame { from, epoch, frame } => self.on_frame(node, from, epoch, frame),
            Incident::Foreign { from, epoch, body } if self.nodes[node as usize].engine.is_some() => {
                self.on_garbage(node, from, epoch, &body)
            }
            Incident::Foreign { from, epoch, body } => self.on_foreign(node, from, epoch, &body),
            Incident::Mischief => self.on_mischief(node),
            Incident::Pump { to, request } => self.on_pump(node, to, request),
            Incident::Attach { peer, epoch } => self.on_attach(node, peer, epoch),
            Incident::Detach { peer, epoch } => self.on_detach(node, peer, epoch),
            Incident::Begin(event) => self.on_event(event, true),
            Incident::End(event) => self.on_event(event, false),
            Incident::Publish(next) => self.on_publish(next),
            Incident::Sample => {
                self.sample();
                let next = self.now + self.step;
                if next <= self.end {
                    self.queue.push(next, (0, Incident::Sample));
                }
                Ok(())
            }
        }
    }

    fn sample(&mut self) {
        if self.now <= self.end / 3 * 2 {
            for node in &mut self.nodes {
                node.counters.background_before = node.counters.background();
            }
        }
        let sync = &self.scenario.sync;
        let missing = self.ledger.missing(self.now, sync.settle_delay + sync.horizon_grid);
        let (sent, repaired) = (self.measure.sent, self.measure.repaired);
        self.measure.samples.push(Sample { at: self.now, missing, sent, repaired });
    }

    /// Copies of settled messages that are missing now.
    pub(crate) fn missing(&self) -> u64 {
        self.measure.samples.last().map_or(0, |sample| sample.missing)
    }

    /// Bytes leave a node.
    pub(crate) fn count(&mut self, node: NodeId, kind: Kind, bytes: u64) {
        self.nodes[node as usize].counters.sent[kind as usize] += bytes;
        self.measure.sent[kind as usize] += bytes;
    }

    /// When what a node sends now will have left it, and when it will have arrived.
    pub(crate) fn transmit(&mut self, from: NodeId, to: NodeId, latency: Nanos, bytes: u64) -> (Nanos, Nanos) {
        let jitter = nanos(self.scenario.network.jitter);
        let jitter = if jitter > 0 { self.dice.below(jitter) } else { 0 };
        let sender = &mut self.nodes[from as usize].port;
        let (left, lag) = (sender.send(self.now, bytes), sender.lag());
        let receiver = &mut self.nodes[to as usize].port;
        (left, receiver.receive(left, latency + jitter, lag, bytes))
    }
}
