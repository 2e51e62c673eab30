//! A model of gossipsub: meshes, eager push, lazy gossip. What it leaves out is listed in README.md.

use std::{collections::VecDeque, sync::Arc};

use hearken_scheduler::{Event, GossipId};
use hearken_wire::Ihave;

use super::{
    SimError,
    ledger::MessageId,
    measure::Kind,
    sim::{Incident, Sim},
    store::Bits,
};
use crate::net::{Nanos, NodeId, SECOND, dice::Dice, links::TOPICS, real, whole};

/// The topic of live messages.
pub(crate) const MESSAGES: usize = 0;
/// The control topic.
pub(crate) const CONTROL: usize = 1;

/// Names of the topics, as long as Waku's are.
const NAMES: [&str; TOPICS] = ["/waku/2/rs/66/0", "/hearken/1/ihave/waku/2/rs/66/0"];
/// Bytes around a message beside its topic's name: tags and lengths of content, topic, message and RPC (protobuf).
const PUSH_OVERHEAD: u64 = 10;
/// Bytes of an IHAVE or IWANT without its topic's name and ids, and around each id.
const GOSSIP_OVERHEAD: u64 = 8;
const ID_OVERHEAD: u64 = 2;
/// What was asked for is not asked for again for so long (iwant_followup_time).
const FOLLOW_UP: Nanos = 3 * SECOND;

/// Everything that was ever published, and what each node has seen of it.
pub(crate) struct Relay {
    items: Vec<Item>,
    nodes: Vec<Seen>,
    interval: Nanos,
    scratch: Vec<usize>,
}

/// Something that is gossiped.
struct Item {
    topic: usize,
    bytes: u64,
    what: What,
}

#[derive(Clone)]
enum What {
    Message(MessageId),
    Announcement(Arc<Ihave>),
}

/// One node's part.
struct Seen {
    seen: Bits,
    /// What can be asked for, with the heartbeat at which it came.
    cache: VecDeque<(u64, u32)>,
    asked: VecDeque<(Nanos, u32)>,
    /// When its heartbeats come within the interval.
    phase: Nanos,
    beating: bool,
    /// The mesh may need mending.
    changed: bool,
}

impl Relay {
    pub(crate) fn new(nodes: usize, interval: Nanos, dice: &mut Dice) -> Relay {
        let seen = (0..nodes).map(|_| Seen {
            seen: Bits::default(),
            cache: VecDeque::new(),
            asked: VecDeque::new(),
            phase: dice.below(interval),
            beating: false,
            changed: false,
        });
        Relay { items: Vec::new(), nodes: seen.collect(), interval, scratch: Vec::new() }
    }

    fn item(&mut self, topic: usize, bytes: u64, what: What) -> u32 {
        let item = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        self.items.push(Item { topic, bytes, what });
        item
    }

    fn beat_of(&self, node: NodeId, now: Nanos) -> u64 {
        (now + self.interval - self.nodes[node as usize].phase) / self.interval
    }

    /// What a node forgets when it stops: gossipsub's caches lie in memory.
    pub(crate) fn forget(&mut self, node: NodeId) {
        let node = &mut self.nodes[node as usize];
        node.cache.clear();
        node.asked.clear();
    }
}

impl Sim<'_> {
    pub(crate) fn gossip_message(&mut self, node: NodeId, message: MessageId) {
        let bytes = u64::from(self.ledger.size(message)) + PUSH_OVERHEAD + NAMES[MESSAGES].len() as u64;
        let item = self.relay.item(MESSAGES, bytes, What::Message(message));
        self.gossip(node, item);
    }

    pub(crate) fn gossip_announcement(&mut self, node: NodeId, ihave: Ihave, bytes: u64) {
        let item = self.relay.item(
            CONTROL,
            bytes + PUSH_OVERHEAD + NAMES[CONTROL].len() as u64,
            What::Announcement(Arc::new(ihave)),
        );
        self.gossip(node, item);
    }

    /// Publishes: to all peers (flood_publish), or to the mesh. With nobody to send it to that fails, and gossipsub does not remember
    /// it (rust-libp2p: `NoPeersSubscribedToTopic`): nor will it gossip about it to who comes later.
    fn gossip(&mut self, node: NodeId, item: u32) {
        if !self.links.of(node).iter().any(|link| link.attached) {
            return;
        }
        self.relay.nodes[node as usize].seen.insert(item);
        self.remember(node, item);
        let topic = self.relay.items[item as usize].topic;
        let flood = self.scenario.gossipsub.flood_publish || !self.links.of(node).iter().any(|link| link.mesh[topic]);
        for at in 0..self.links.of(node).len() {
            let link = &self.links.of(node)[at];
            if link.attached && (flood || link.mesh[topic]) {
                self.push(node, at, item);
            }
        }
    }

    /// To the mesh, but not back to `from`.
    fn forward(&mut self, node: NodeId, item: u32, from: NodeId) {
        self.remember(node, item);
        let topic = self.relay.items[item as usize].topic;
        for at in 0..self.links.of(node).len() {
            let link = &self.links.of(node)[at];
            if link.mesh[topic] && link.peer != from {
                self.push(node, at, item);
            }
        }
    }

    fn push(&mut self, node: NodeId, link: usize, item: u32) {
        let Item { topic, bytes, .. } = self.relay.items[item as usize];
        self.count(node, if topic == CONTROL { Kind::Ihave } else { Kind::Relay }, bytes);
        self.gossip_to(node, link, bytes, Incident::Push { from: node, item });
    }

    /// One transmission, which may be lost.
    fn gossip_to(&mut self, node: NodeId, link: usize, bytes: u64, incident: Incident) {
        let link = &self.links.of(node)[link];
        let (to, latency, up) = (link.peer, link.latency, link.up);
        let (_, arrives) = self.transmit(node, to, latency, bytes);
        if up && !self.dice.chance(self.loss) {
            self.queue.push(arrives, (to, incident));
        }
    }

    pub(crate) fn on_push(&mut self, node: NodeId, from: NodeId, item: u32) -> Result<(), SimError> {
        if !self.nodes[node as usize].up {
            return Ok(());
        }
        let Item { topic, ref what, .. } = self.relay.items[item as usize];
        let new = self.relay.nodes[node as usize].seen.insert(item);
        if topic == MESSAGES {
            self.nodes[node as usize].counters.live[usize::from(!new)] += 1;
        }
        if !new || self.dice.chance(self.delivery_loss) {
            return Ok(());
        }
        match what.clone() {
            What::Message(message) => {
                self.forward(node, item, from);
                self.on_live(node, message)
            }
            What::Announcement(ihave) => {
                self.overhear(node, &ihave);
                self.nodes[node as usize].judging.push((item, from));
                let (id, ihave) = (GossipId(u64::from(item)), Ihave::clone(&ihave));
                self.feed(node, Event::Gossip { from, id, ihave })
            }
        }
    }

    /// The engine's verdict: forward it.
    pub(crate) fn accepted(&mut self, node: NodeId, id: GossipId) {
        let judging = &mut self.nodes[node as usize].judging;
        if let Some(at) = judging.iter().position(|(item, _)| u64::from(*item) == id.0) {
            let (item, from) = judging.swap_remove(at);
            self.forward(node, item, from);
        }
    }

    /// The engine's verdict: do not.
    pub(crate) fn ignored(&mut self, node: NodeId, id: GossipId) {
        self.nodes[node as usize].judging.retain(|(item, _)| u64::from(*item) != id.0);
    }

    fn remember(&mut self, node: NodeId, item: u32) {
        let beat = self.relay.beat_of(node, self.now);
        self.relay.nodes[node as usize].cache.push_back((beat, item));
        self.keep_beating(node);
    }

    /// A node hears that a neighbour is subscribed: it grafts it at once while it has fewer than mesh_n_low.
    pub(crate) fn subscribed(&mut self, node: NodeId, peer: NodeId) {
        let config = &self.scenario.gossipsub;
        for topic in 0..TOPICS {
            let size = |node| self.links.of(node).iter().filter(|link| link.mesh[topic]).count();
            if size(node) < config.mesh_n_low && size(peer) < config.mesh_n_high {
                self.links.both(node, peer, |link| link.mesh[topic] = true);
            }
        }
    }

    /// The mesh of this node may need mending.
    pub(crate) fn mesh_changed(&mut self, node: NodeId) {
        self.relay.nodes[node as usize].changed = true;
        self.keep_beating(node);
    }

    /// Heartbeats of a node that has nothing to gossip about and nothing to mend are left out: they would do nothing.
    fn keep_beating(&mut self, node: NodeId) {
        let beat = self.relay.beat_of(node, self.now);
        let (interval, state) = (self.relay.interval, &mut self.relay.nodes[node as usize]);
        if !state.beating {
            state.beating = true;
            self.queue.push(beat * interval + state.phase, (node, Incident::Beat));
        }
    }

    pub(crate) fn on_beat(&mut self, node: NodeId) {
        self.relay.nodes[node as usize].beating = false;
        if !self.nodes[node as usize].up {
            return;
        }
        if std::mem::take(&mut self.relay.nodes[node as usize].changed) {
            (0..TOPICS).for_each(|topic| self.mend(node, topic));
        }
        let history = u64::from(self.scenario.gossipsub.history_length);
        let beat = self.relay.beat_of(node, self.now);
        let cache = &mut self.relay.nodes[node as usize].cache;
        while cache.front().is_some_and(|(came, _)| came + history <= beat) {
            cache.pop_front();
        }
        if !cache.is_empty() {
            (0..TOPICS).for_each(|topic| self.gossip_lazily(node, topic, beat));
            self.keep_beating(node);
        }
    }

    /// Grafts when there are fewer than mesh_n_low, prunes when there are mesh_n_high (as rust-libp2p has it) or more.
    fn mend(&mut self, node: NodeId, topic: usize) {
        let config = &self.scenario.gossipsub;
        let (low, wanted, high) = (config.mesh_n_low, config.mesh_n, config.mesh_n_high);
        let size = |sim: &Self, node| sim.links.of(node).iter().filter(|link| link.mesh[topic]).count();
        let mut have = size(self, node);
        let graft = have < low;
        if !graft && have < high {
            return self.mend_outbound(node, topic);
        }
        let able = |link: &&crate::net::links::Link| link.attached && link.mesh[topic] != graft;
        let mut peers: Vec<NodeId> = self.links.of(node).iter().filter(able).map(|link| link.peer).collect();
        self.dice.shuffle(&mut peers);
        for peer in peers {
            if have == wanted {
                break;
            }
            // A peer whose mesh is full answers GRAFT with PRUNE.
            if graft && (size(self, peer) >= high || self.links.get(peer, node).is_none_or(|link| !link.attached)) {
                continue;
            }
            self.links.both(node, peer, |link| link.mesh[topic] = graft);
            if graft {
                have += 1;
            } else {
                have -= 1;
                self.mesh_changed(peer);
            }
        }
    }

    /// Grafts neighbours that the node has dialled, so that a mesh does not consist of such only as came by themselves. Of two
    /// neighbours the one with the lower number dials.
    fn mend_outbound(&mut self, node: NodeId, topic: usize) {
        let config = &self.scenario.gossipsub;
        let dialled = || self.links.of(node).iter().filter(|link| link.peer > node && link.attached);
        let have = dialled().filter(|link| link.mesh[topic]).count();
        let mut able: Vec<NodeId> = dialled().filter(|link| !link.mesh[topic]).map(|link| link.peer).collect();
        self.dice.shuffle(&mut able);
        for peer in able.into_iter().take(config.mesh_outbound_min.saturating_sub(have)) {
            let full = self.links.of(peer).iter().filter(|link| link.mesh[topic]).count() >= config.mesh_n_high;
            if !full {
                self.links.both(node, peer, |link| link.mesh[topic] = true);
            }
        }
    }

    /// IHAVE to some peers outside the mesh.
    fn gossip_lazily(&mut self, node: NodeId, topic: usize, beat: u64) {
        let config = &self.scenario.gossipsub;
        let mut peers = std::mem::take(&mut self.relay.scratch);
        peers.clear();
        let links = self.links.of(node).iter().enumerate();
        peers.extend(links.filter(|(_, link)| link.attached && !link.mesh[topic]).map(|(at, _)| at));
        let recent = u64::from(config.history_gossip);
        let (cache, all) = (&self.relay.nodes[node as usize].cache, &self.relay.items);
        let recent = cache.iter().filter(|(came, item)| came + recent >= beat && all[*item as usize].topic == topic);
        let items: Arc<[u32]> = if peers.is_empty() { Arc::new([]) } else { recent.map(|(_, item)| *item).collect() };
        if !items.is_empty() {
            let share = whole((real(peers.len() as u64) * config.gossip_factor).ceil());
            let many = usize::try_from(share).unwrap_or(0).max(config.gossip_lazy);
            self.dice.shuffle(&mut peers);
            for link in peers.iter().take(many) {
                self.send_ids(node, *link, topic, items.len(), Incident::Ihave { from: node, items: items.clone() });
            }
        }
        self.relay.scratch = peers;
    }

    fn send_ids(&mut self, node: NodeId, link: usize, topic: usize, ids: usize, incident: Incident) {
        // An IWANT names no topic.
        let name = if matches!(incident, Incident::Ihave { .. }) { 2 + NAMES[topic].len() as u64 } else { 0 };
        let bytes = GOSSIP_OVERHEAD + name + ids as u64 * (self.scenario.gossipsub.message_id_bytes + ID_OVERHEAD);
        self.count(node, if topic == CONTROL { Kind::Ihave } else { Kind::RelayControl }, bytes);
        self.gossip_to(node, link, bytes, incident);
    }

    pub(crate) fn on_gossip_ihave(&mut self, node: NodeId, from: NodeId, items: &[u32]) {
        if !self.nodes[node as usize].up {
            return;
        }
        let Some(link) = self.link_to(node, from) else { return };
        let now = self.now;
        let state = &mut self.relay.nodes[node as usize];
        while state.asked.front().is_some_and(|(at, _)| at + FOLLOW_UP <= now) {
            state.asked.pop_front();
        }
        let unknown =
            |item: &&u32| !state.seen.contains(**item) && !state.asked.iter().any(|(_, asked)| asked == *item);
        let wanted: Vec<u32> = items.iter().filter(unknown).copied().collect();
        let Some(first) = wanted.first() else { return };
        state.asked.extend(wanted.iter().map(|item| (now, *item)));
        let (topic, ids) = (self.relay.items[*first as usize].topic, wanted.len());
        self.send_ids(node, link, topic, ids, Incident::Iwant { from: node, items: wanted.into() });
    }

    pub(crate) fn on_gossip_iwant(&mut self, node: NodeId, from: NodeId, items: &[u32]) {
        let Some(link) = self.link_to(node, from) else { return };
        for item in items {
            if self.relay.nodes[node as usize].cache.iter().any(|(_, cached)| cached == item) {
                self.push(node, link, *item);
            }
        }
    }

    fn link_to(&self, node: NodeId, to: NodeId) -> Option<usize> {
        let links = self.links.of(node);
        links.binary_search_by_key(&to, |link| link.peer).ok().filter(|at| links[*at].attached)
    }
}
