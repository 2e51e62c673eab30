//! A small virtual network: engines over trees in memory, a virtual clock, links with latency. A seed replays a run.
#![allow(
    clippy::disallowed_methods,
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    hash::{DefaultHasher, Hash, Hasher},
    rc::Rc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use hearken_scheduler::{
    Action, Admitted, Config, Engine, Event, GossipId, GossipVerdict, GroupConfig, Now, Offence, Selection,
    ServeOutcome, View,
};
use hearken_tree::{GroupId, Id, Key, KeyRange, Tree};
use hearken_wire::{Frame, Ihave, RequestId, encode_frame};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub const GROUP: GroupId = GroupId([7; 16]);
/// The wall clock when a network starts.
pub const EPOCH: u64 = 1_750_000_000_000_000_000;
pub const SECOND: u64 = 1_000_000_000;
/// Messages in a frame.
const BATCH: usize = 64;

/// What a node sent and received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub ihaves: u64,
    pub ihave_bytes: u64,
    pub forwarded_bytes: u64,
    pub wants: u64,
    pub want_bytes: u64,
    pub answers: u64,
    pub answer_bytes: u64,
    pub control_bytes: u64,
    pub payload_bytes: u64,
    pub served: u64,
    pub stored: u64,
    pub duplicates: u64,
    pub refused: u64,
    pub unasked: u64,
}

/// One node.
pub struct Node {
    pub engine: Engine<usize>,
    pub kept: Tree,
    pub held: Tree,
    /// Refuses a message when synced, if this says so.
    pub refuses: fn(&Key) -> bool,
    /// How far its wall clock is off, in seconds.
    pub skew: i64,
    /// How much longer than others it takes to send anything.
    pub lag: Duration,
    pub traffic: Traffic,
    /// The first request that it sent.
    pub first_want: Option<RequestId>,
    pub offences: Vec<(usize, Offence)>,
    pub peers: BTreeSet<usize>,
    /// The peers that gossip is forwarded to.
    pub mesh: BTreeSet<usize>,
    /// Speaks for the node in place of its engine.
    pub hostile: Option<Hostile>,
    seen: BTreeSet<(usize, u64)>,
    judging: BTreeMap<u64, Gossip>,
    wake: Option<Duration>,
}

/// What a hostile node does with what it gets: frames that it sends back. Its engine sees nothing.
pub type Hostile = fn(&mut ChaCha8Rng, &Frame) -> Vec<Frame>;

#[derive(Clone)]
struct Gossip {
    author: usize,
    number: u64,
    from: usize,
    ihave: Rc<Ihave>,
    bytes: u64,
}

#[derive(Clone)]
enum What {
    Wake,
    /// With the connection that it was sent over.
    Frame {
        from: usize,
        frame: Frame,
        connection: u64,
    },
    Gossip(Gossip),
    Live(Key),
}

struct Envelope {
    at: Duration,
    number: u64,
    to: usize,
    what: What,
}

impl PartialEq for Envelope {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}
impl Eq for Envelope {}
impl PartialOrd for Envelope {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Envelope {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

pub struct Net {
    pub now: Duration,
    pub nodes: Vec<Node>,
    pub config: Config,
    pub latency: Duration,
    /// Part of the frames that get lost, with their stream.
    pub loss: f64,
    pub rng: ChaCha8Rng,
    /// When each IHAVE was published.
    pub announced: Vec<(Duration, usize)>,
    /// Keys that were delivered to each node over streams, with how often.
    pub delivered: BTreeMap<(usize, Key), u32>,
    /// Keep a digest of everything that is done.
    pub tracing: bool,
    connections: BTreeMap<(usize, usize), u64>,
    queue: BinaryHeap<Reverse<Envelope>>,
    number: u64,
    trace: DefaultHasher,
}

/// A key at so many seconds before the network starts, with a fair id.
pub fn key(age: f64, id: u64) -> Key {
    Key::new(EPOCH - (age * 1e9) as u64, Id(blake3::hash(&id.to_be_bytes()).into()))
}

/// `count` keys at even random times between these ages in seconds, the newest last.
pub fn keys(seed: u64, count: usize, youngest: f64, oldest: f64) -> Vec<Key> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let made = (0..count).map(|_| key(rng.random_range(youngest..oldest), rng.random()));
    made.collect::<BTreeSet<Key>>().into_iter().collect()
}

pub fn test_config() -> Config {
    Config { interval_max: Duration::from_secs(30), ..Config::default() }
}

fn body(key: &Key) -> Bytes {
    Bytes::copy_from_slice(key.as_bytes())
}

impl Net {
    pub fn new(config: Config, seed: u64) -> Net {
        Net {
            now: Duration::ZERO,
            nodes: Vec::new(),
            config,
            latency: Duration::from_millis(100),
            loss: 0.0,
            rng: ChaCha8Rng::seed_from_u64(seed),
            announced: Vec::new(),
            delivered: BTreeMap::new(),
            tracing: false,
            connections: BTreeMap::new(),
            queue: BinaryHeap::new(),
            number: 0,
            trace: DefaultHasher::new(),
        }
    }

    /// A node that holds these keys.
    pub fn add(&mut self, keys: impl IntoIterator<Item = Key>) -> usize {
        let group = self.config.group(GROUP);
        self.add_with(keys, group)
    }

    pub fn add_with(&mut self, keys: impl IntoIterator<Item = Key>, group: GroupConfig) -> usize {
        self.add_tree(Tree::from_sorted(keys.into_iter().collect::<BTreeSet<Key>>()).unwrap(), group)
    }

    pub fn add_tree(&mut self, tree: Tree, group: GroupConfig) -> usize {
        let now = Now { monotonic: self.now, unix: EPOCH + self.now.as_nanos() as u64 };
        let engine = Engine::new(self.config.clone(), [group], self.rng.random(), now).unwrap();
        self.nodes.push(Node {
            engine,
            kept: tree.clone(),
            held: tree,
            refuses: |_| false,
            skew: 0,
            lag: Duration::ZERO,
            traffic: Traffic::default(),
            first_want: None,
            offences: Vec::new(),
            peers: BTreeSet::new(),
            mesh: BTreeSet::new(),
            hostile: None,
            seen: BTreeSet::new(),
            judging: BTreeMap::new(),
            wake: None,
        });
        let node = self.nodes.len() - 1;
        self.schedule_wake(node);
        node
    }

    pub fn connect(&mut self, a: usize, b: usize) {
        self.nodes[a].peers.insert(b);
        self.nodes[b].peers.insert(a);
        // Gossipsub's mesh: six neighbours at least, twelve at most.
        if self.nodes[a].mesh.len() < 6 || self.nodes[b].mesh.len() < 6 {
            self.nodes[a].mesh.insert(b);
            self.nodes[b].mesh.insert(a);
        }
        self.event(a, Event::Connected(b));
        self.event(b, Event::Connected(a));
    }

    pub fn disconnect(&mut self, a: usize, b: usize) {
        *self.connections.entry((a.min(b), a.max(b))).or_default() += 1;
        for (one, other) in [(a, b), (b, a)] {
            self.nodes[one].peers.remove(&other);
            self.nodes[one].mesh.remove(&other);
        }
        self.event(a, Event::Disconnected(b));
        self.event(b, Event::Disconnected(a));
    }

    /// Counts the connections between two nodes: what was under way over an earlier one is lost.
    fn connection(&self, a: usize, b: usize) -> u64 {
        self.connections.get(&(a.min(b), a.max(b))).copied().unwrap_or(0)
    }

    /// A random connected graph: a ring, and chords until each node has about `degree` links.
    pub fn connect_randomly(&mut self, degree: usize) {
        let count = self.nodes.len();
        for a in 0..count {
            self.connect(a, (a + 1) % count);
        }
        for a in 0..count {
            while self.nodes[a].peers.len() < degree {
                let b = self.rng.random_range(0..count);
                if b != a && !self.nodes[a].peers.contains(&b) {
                    self.connect(a, b);
                }
            }
        }
    }

    /// A live message reaches a node.
    pub fn live(&mut self, node: usize, key: Key, at: Duration) {
        self.post(node, at, What::Live(key));
    }

    pub fn run_until(&mut self, end: Duration) {
        while self.queue.peek().is_some_and(|Reverse(next)| next.at <= end) {
            let Some(Reverse(next)) = self.queue.pop() else { break };
            self.now = self.now.max(next.at);
            self.deliver(next);
        }
        self.now = end;
    }

    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// Runs until `done`; how long it took. Panics after `limit`.
    pub fn run_while(&mut self, limit: Duration, waiting: impl Fn(&Net) -> bool) -> Duration {
        let start = self.now;
        while waiting(self) {
            let took = self.now - start;
            assert!(took < limit, "still waiting after {took:?}");
            self.run_for(Duration::from_millis(100));
        }
        self.now - start
    }

    /// Whether all honest nodes keep the same settled messages.
    pub fn equal(&self) -> bool {
        let range = KeyRange::between(0, EPOCH + self.now.as_nanos() as u64 - 60 * SECOND);
        let mut roots = self.honest().map(|node| node.held.snapshot().fingerprint(&range).unwrap());
        let Some(first) = roots.next() else { return true };
        roots.all(|root| root == first)
    }

    pub fn honest(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.hostile.is_none())
    }

    pub fn total(&self, of: impl Fn(&Traffic) -> u64) -> u64 {
        self.nodes.iter().map(|node| of(&node.traffic)).sum()
    }

    /// A digest of everything that was sent, in order.
    pub fn trace(&self) -> u64 {
        self.trace.finish()
    }

    fn post(&mut self, to: usize, at: Duration, what: What) {
        self.number += 1;
        self.queue.push(Reverse(Envelope { at, number: self.number, to, what }));
    }

    fn schedule_wake(&mut self, node: usize) {
        let Some(at) = self.nodes[node].engine.next_deadline() else { return };
        if self.nodes[node].wake.is_none_or(|wake| at < wake || wake <= self.now) {
            self.nodes[node].wake = Some(at);
            self.post(node, at, What::Wake);
        }
    }

    fn deliver(&mut self, envelope: Envelope) {
        let to = envelope.to;
        match envelope.what {
            What::Wake => {
                if self.nodes[to].wake == Some(envelope.at) {
                    self.nodes[to].wake = None;
                    self.event(to, Event::Wake);
                }
            }
            What::Frame { from, frame, connection }
                if self.nodes[to].peers.contains(&from) && connection == self.connection(from, to) =>
            {
                self.frame(to, from, frame);
            }
            What::Frame { .. } => {}
            What::Gossip(gossip) => self.gossip(to, gossip),
            What::Live(key) => {
                self.nodes[to].kept.insert(key).unwrap();
                self.nodes[to].held.insert(key).unwrap();
                self.event(to, Event::Live(GROUP));
            }
        }
    }

    fn frame(&mut self, to: usize, from: usize, frame: Frame) {
        if let Some(hostile) = self.nodes[to].hostile {
            for frame in hostile(&mut self.rng, &frame) {
                self.send(to, from, frame);
            }
            return;
        }
        self.event(to, Event::Frame { from, frame });
    }

    fn gossip(&mut self, to: usize, gossip: Gossip) {
        if !self.nodes[to].seen.insert((gossip.author, gossip.number)) || self.nodes[to].hostile.is_some() {
            return;
        }
        self.number += 1;
        let id = self.number;
        let (from, ihave) = (gossip.from, Ihave::clone(&gossip.ihave));
        self.nodes[to].judging.insert(id, gossip);
        self.event(to, Event::Gossip { from, id: GossipId(id), ihave });
    }

    pub fn event(&mut self, node: usize, event: Event<usize>) {
        if self.nodes[node].hostile.is_some() {
            return;
        }
        let skew = self.nodes[node].skew * SECOND as i64;
        let unix = (EPOCH + self.now.as_nanos() as u64).saturating_add_signed(skew);
        self.nodes[node].engine.handle(event, Now { monotonic: self.now, unix });
        // All of them first: what they lead to takes further events, and not as many on the stack as there are actions.
        let actions: Vec<Action<usize>> = std::iter::from_fn(|| self.nodes[node].engine.poll_action()).collect();
        for action in actions {
            self.act(node, action);
        }
        let deadline = self.nodes[node].engine.next_deadline();
        assert!(deadline.is_none_or(|at| at > self.now), "node {node} has a deadline in the past");
        self.schedule_wake(node);
    }

    fn act(&mut self, node: usize, action: Action<usize>) {
        if self.tracing {
            (node, format!("{action:?}")).hash(&mut self.trace);
        }
        match action {
            Action::Announce(ihave) => self.publish(node, ihave),
            Action::Judge { id, verdict } => {
                let Some(gossip) = self.nodes[node].judging.remove(&id.0) else { return };
                if verdict == GossipVerdict::Accept {
                    self.forward(node, gossip);
                }
            }
            Action::Send { to, frame } => self.send(node, to, frame),
            Action::Index { ticket, job, .. } => {
                let view = View { kept: self.nodes[node].kept.snapshot(), held: self.nodes[node].held.snapshot() };
                let result = job.run(&view);
                self.event(node, Event::Indexed { ticket, result });
            }
            Action::Admit { ticket, asked, messages, .. } => {
                let outcome = self.admit(node, &asked, &messages);
                self.event(node, Event::Admitted { ticket, outcome });
            }
            Action::Serve { to, request, selection, .. } => self.serve(node, to, request, &selection),
            Action::StopServing { .. } => {}
            Action::Report { peer, offence } => self.nodes[node].offences.push((peer, offence)),
        }
    }

    fn publish(&mut self, node: usize, ihave: Ihave) {
        self.number += 1;
        let bytes = ihave.encode().unwrap().len() as u64;
        assert!(bytes <= self.config.summary_budget as u64, "an IHAVE of {bytes} bytes");
        self.announced.push((self.now, node));
        self.nodes[node].traffic.ihaves += 1;
        self.nodes[node].traffic.ihave_bytes += bytes;
        self.nodes[node].seen.insert((node, self.number));
        self.forward(node, Gossip { author: node, number: self.number, from: node, ihave: Rc::new(ihave), bytes });
    }

    fn forward(&mut self, node: usize, gossip: Gossip) {
        let at = self.now + self.latency;
        let peers: Vec<usize> = self.nodes[node].mesh.iter().copied().filter(|peer| *peer != gossip.from).collect();
        for to in peers {
            // Gossipsub tells a neighbour what it has, so that it is sent at most once over most links.
            self.nodes[node].traffic.forwarded_bytes += gossip.bytes;
            self.post(to, at, What::Gossip(Gossip { from: node, ..gossip.clone() }));
        }
    }

    pub fn send(&mut self, from: usize, to: usize, frame: Frame) {
        let mut bytes = BytesMut::new();
        encode_frame(&frame, &mut bytes).unwrap();
        if std::env::var_os("SHOW").is_some() && !matches!(frame, Frame::Messages { .. }) {
            let what = format!("{frame:?}");
            println!("{:?} {from} -> {to} {} B {}", self.now, bytes.len(), &what[..what.len().min(1500)]);
        }
        if let Frame::Want(want) = &frame {
            self.nodes[from].first_want.get_or_insert(want.request);
        }
        let (length, traffic) = (bytes.len() as u64, &mut self.nodes[from].traffic);
        match &frame {
            Frame::Want(_) => (traffic.wants, traffic.want_bytes) = (traffic.wants + 1, traffic.want_bytes + length),
            Frame::Answer(_) => {
                (traffic.answers, traffic.answer_bytes) = (traffic.answers + 1, traffic.answer_bytes + length);
            }
            Frame::Messages { .. } => traffic.payload_bytes += length,
            _ => traffic.control_bytes += length,
        }
        if self.loss > 0.0 && self.rng.random_bool(self.loss) {
            self.disconnect(from, to);
            self.connect(from, to);
            return;
        }
        let at = self.now + self.latency + self.nodes[from].lag;
        if to >= self.nodes.len() {
            return;
        }
        let connection = self.connection(from, to);
        self.post(to, at, What::Frame { from, frame, connection });
    }

    fn serve(&mut self, node: usize, to: usize, request: hearken_wire::RequestId, selection: &[Selection]) {
        let kept = self.nodes[node].kept.snapshot();
        let mut keys: Vec<Key> = Vec::new();
        for part in selection {
            match part {
                Selection::Range { range, count } => {
                    keys.extend(kept.keys(range).take(usize::try_from(*count).unwrap()).map(|key| key.unwrap()));
                }
                Selection::Keys(some) => keys.extend(some.iter().filter(|key| kept.contains(key).unwrap())),
            }
        }
        for batch in keys.chunks(BATCH) {
            self.send(node, to, Frame::Messages { request, messages: batch.iter().map(body).collect() });
        }
        self.send(node, to, Frame::Done { request });
        let count = keys.len() as u64;
        self.nodes[node].traffic.served += count;
        let outcome = ServeOutcome::Complete { messages: count, bytes: count * Key::LEN as u64 };
        self.event(node, Event::Served { to, request, outcome });
    }

    fn admit(&mut self, node: usize, asked: &[KeyRange], messages: &[Bytes]) -> Admitted {
        let mut outcome = Admitted::default();
        for message in messages {
            let key = <[u8; Key::LEN]>::try_from(message.as_ref()).ok().map(Key::from_bytes);
            let Some(key) = key.filter(|key| asked.iter().any(|range| range.contains(key))) else {
                outcome.unasked += 1;
                continue;
            };
            *self.delivered.entry((node, key)).or_default() += 1;
            let node = &mut self.nodes[node];
            if node.held.snapshot().contains(&key).unwrap() {
                outcome.duplicates += 1;
            } else if (node.refuses)(&key) {
                outcome.refused += 1;
                node.held.insert(key).unwrap();
            } else {
                outcome.stored += 1;
                node.held.insert(key).unwrap();
                node.kept.insert(key).unwrap();
            }
        }
        let traffic = &mut self.nodes[node].traffic;
        traffic.stored += outcome.stored;
        traffic.duplicates += outcome.duplicates;
        traffic.refused += outcome.refused;
        traffic.unasked += outcome.unasked;
        outcome
    }
}
