//! Real engines on a virtual clock: every frame is encoded, counted, and decoded again at the other end.

use std::{collections::BTreeMap, error::Error, time::Duration};

use bytes::{Bytes, BytesMut};
use hearken_scheduler::{
    Action, Admitted, Config, Engine, Event, GossipId, GroupConfig, InvalidConfig, Now, Selection, ServeOutcome,
    Ticket, View,
};
use hearken_tree::{Key, KeyRange, Tree};
use hearken_wire::{Frame, Ihave, RequestId, decode_frame, encode_frame, limits::FRAME_MAX};

use crate::cpu::Stopwatch;

/// A node's name: its index.
pub type Peer = u32;

/// What a node has sent, in bytes as they would be written to the topic or the stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// IHAVEs, counted once each.
    pub ihave: u64,
    /// Requests, answers, refusals.
    pub control: u64,
    /// What frames messages, without the messages themselves.
    pub framing: u64,
}

/// One node: the real engine over an index in memory. Its messages are their keys: nothing else of them matters here.
pub struct Node {
    engine: Engine<Peer>,
    /// What it holds.
    pub set: Tree,
    deadline: Option<Duration>,
    /// What it has sent.
    pub sent: Sent,
    /// CPU time of its engine, its index jobs and its encoding and decoding; not of storing what arrives.
    pub cpu: Stopwatch,
    /// IHAVEs that it has heard.
    pub heard: u64,
}

/// When something happens, and in what order among what happens at the same time.
type Moment = (Duration, u64);

/// Nodes and what is on its way between them.
pub struct World {
    nodes: Vec<Node>,
    queue: BTreeMap<Moment, (Peer, Incoming)>,
    order: u64,
    now: Duration,
    epoch: u64,
    latency: Duration,
    unicast: Option<(Duration, Duration)>,
}

enum Incoming {
    Wake,
    Local(Box<Event<Peer>>),
    Gossip(Peer, Bytes),
    Frame(Peer, Bytes),
}

/// Messages in one frame of a delivery: 40 bytes each here.
const MESSAGES_PER_FRAME: usize = 1_000;

impl World {
    /// No nodes yet; the wall clock starts at `epoch` (nanoseconds since the Unix epoch), links take `latency` one way.
    pub fn new(epoch: u64, latency: Duration) -> World {
        World {
            nodes: Vec::new(),
            queue: BTreeMap::new(),
            order: 0,
            now: Duration::ZERO,
            epoch,
            latency,
            unicast: None,
        }
    }

    /// Adds a node that holds `set`.
    pub fn add(&mut self, config: Config, group: GroupConfig, set: Tree, seed: u64) -> Result<Peer, InvalidConfig> {
        let engine = Engine::new(config, [group], seed, self.clock())?;
        let peer = Peer::try_from(self.nodes.len()).unwrap_or(Peer::MAX);
        let node = Node { engine, set, deadline: None, sent: Sent::default(), cpu: Stopwatch::default(), heard: 0 };
        self.nodes.push(node);
        Ok(peer)
    }

    /// Connects two nodes.
    pub fn connect(&mut self, a: Peer, b: Peer) {
        self.push(self.now, a, Incoming::Local(Box::new(Event::Connected(b))));
        self.push(self.now, b, Incoming::Local(Box::new(Event::Connected(a))));
    }

    /// The node `peer`.
    pub fn node(&self, peer: Peer) -> &Node {
        &self.nodes[peer as usize]
    }

    /// When the first control frame was sent, and when the last one arrived.
    pub fn unicast(&self) -> Option<(Duration, Duration)> {
        self.unicast
    }

    /// Lets things happen until `done` holds or `limit` has come; whether it held.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&World) -> bool) -> Result<bool, Box<dyn Error>> {
        for peer in 0..self.nodes.len() {
            self.settle(Peer::try_from(peer).unwrap_or(Peer::MAX))?;
        }
        while !done(self) {
            let Some(((at, _), _)) = self.queue.first_key_value() else { return Ok(false) };
            if *at > limit {
                return Ok(false);
            }
            let Some(((at, _), (peer, incoming))) = self.queue.pop_first() else { return Ok(false) };
            self.now = at;
            self.arrive(peer, incoming)?;
        }
        Ok(true)
    }

    fn clock(&self) -> Now {
        Now { monotonic: self.now, unix: self.epoch + u64::try_from(self.now.as_nanos()).unwrap_or(u64::MAX) }
    }

    fn push(&mut self, at: Duration, to: Peer, incoming: Incoming) {
        self.order += 1;
        self.queue.insert((at, self.order), (to, incoming));
    }

    fn arrive(&mut self, peer: Peer, incoming: Incoming) -> Result<(), Box<dyn Error>> {
        let now = self.clock();
        let node = &mut self.nodes[peer as usize];
        let event = match incoming {
            Incoming::Wake if node.deadline.is_none_or(|deadline| deadline > now.monotonic) => return Ok(()),
            Incoming::Wake => {
                node.deadline = None;
                Event::Wake
            }
            Incoming::Local(event) => *event,
            Incoming::Gossip(from, bytes) => {
                node.heard += 1;
                let ihave = node.cpu.run(|| Ihave::decode(&bytes))?;
                Event::Gossip { from, id: GossipId(node.heard), ihave }
            }
            Incoming::Frame(from, bytes) => {
                let frame = node.cpu.run(|| decode_frame(&mut BytesMut::from(&bytes[..]), FRAME_MAX))?;
                let frame = frame.ok_or("a frame arrived in part")?;
                if !matches!(frame, Frame::Messages { .. } | Frame::Done { .. }) {
                    self.unicast = self.unicast.map(|(first, _)| (first, now.monotonic));
                }
                Event::Frame { from, frame }
            }
        };
        let node = &mut self.nodes[peer as usize];
        node.cpu.run(|| node.engine.handle(event, now));
        self.settle(peer)
    }

    /// Does what the engine of `peer` asks for, and notes when it wants to be woken.
    fn settle(&mut self, peer: Peer) -> Result<(), Box<dyn Error>> {
        while let Some(action) = self.nodes[peer as usize].engine.poll_action() {
            self.act(peer, action)?;
        }
        let node = &mut self.nodes[peer as usize];
        let deadline = node.engine.next_deadline();
        if deadline != node.deadline {
            node.deadline = deadline;
            if let Some(deadline) = deadline {
                self.push(deadline.max(self.now), peer, Incoming::Wake);
            }
        }
        Ok(())
    }

    fn act(&mut self, peer: Peer, action: Action<Peer>) -> Result<(), Box<dyn Error>> {
        match action {
            Action::Announce(ihave) => self.announce(peer, &ihave)?,
            Action::Send { to, frame } => self.send(peer, to, &frame)?,
            Action::Index { ticket, job, .. } => {
                let node = &mut self.nodes[peer as usize];
                let view = View { kept: node.set.snapshot(), held: node.set.snapshot() };
                let result = node.cpu.run(|| job.run(&view));
                self.push(self.now, peer, Incoming::Local(Box::new(Event::Indexed { ticket, result })));
            }
            Action::Admit { ticket, asked, messages, .. } => self.admit(peer, ticket, &asked, &messages)?,
            Action::Serve { to, request, selection, .. } => self.serve(peer, to, request, selection)?,
            Action::Judge { .. } | Action::StopServing { .. } | Action::Report { .. } => {}
        }
        Ok(())
    }

    fn announce(&mut self, peer: Peer, ihave: &Ihave) -> Result<(), Box<dyn Error>> {
        let node = &mut self.nodes[peer as usize];
        let bytes = Bytes::from(node.cpu.run(|| ihave.encode())?);
        node.sent.ihave += bytes.len() as u64;
        for to in 0..self.nodes.len() {
            let to = Peer::try_from(to).unwrap_or(Peer::MAX);
            if to != peer {
                self.push(self.now + self.latency, to, Incoming::Gossip(peer, bytes.clone()));
            }
        }
        Ok(())
    }

    fn send(&mut self, from: Peer, to: Peer, frame: &Frame) -> Result<(), Box<dyn Error>> {
        let node = &mut self.nodes[from as usize];
        let mut bytes = BytesMut::new();
        node.cpu.run(|| encode_frame(frame, &mut bytes))?;
        let length = bytes.len() as u64;
        match frame {
            Frame::Messages { messages, .. } => {
                node.sent.framing += length - messages.iter().map(|message| message.len() as u64).sum::<u64>();
            }
            Frame::Done { .. } => node.sent.framing += length,
            _ => {
                node.sent.control += length;
                self.unicast.get_or_insert((self.now, self.now));
            }
        }
        self.push(self.now + self.latency, to, Incoming::Frame(from, bytes.freeze()));
        Ok(())
    }

    fn admit(
        &mut self,
        peer: Peer,
        ticket: Ticket,
        asked: &[KeyRange],
        messages: &[Bytes],
    ) -> Result<(), Box<dyn Error>> {
        let mut outcome = Admitted::default();
        for message in messages {
            let key = <[u8; Key::LEN]>::try_from(&message[..]).map(Key::from_bytes);
            match key {
                Ok(key) if asked.iter().any(|range| range.contains(&key)) => {
                    let new = self.nodes[peer as usize].set.insert(key)?;
                    *(if new { &mut outcome.stored } else { &mut outcome.duplicates }) += 1;
                }
                _ => outcome.unasked += 1,
            }
        }
        self.push(self.now, peer, Incoming::Local(Box::new(Event::Admitted { ticket, outcome })));
        Ok(())
    }

    fn serve(
        &mut self,
        peer: Peer,
        to: Peer,
        request: RequestId,
        selection: Vec<Selection>,
    ) -> Result<(), Box<dyn Error>> {
        let set = self.nodes[peer as usize].set.snapshot();
        let mut keys = Vec::new();
        for selected in selection {
            match selected {
                Selection::Range { range, count } => {
                    let first = set.keys(&range).take(usize::try_from(count)?);
                    keys.extend(first.collect::<Result<Vec<_>, _>>()?);
                }
                Selection::Keys(selected) => keys.extend(selected),
            }
        }
        let messages = keys.len() as u64;
        for some in keys.chunks(MESSAGES_PER_FRAME) {
            let messages = some.iter().map(|key| Bytes::copy_from_slice(key.as_bytes())).collect();
            self.send(peer, to, &Frame::Messages { request, messages })?;
        }
        self.send(peer, to, &Frame::Done { request })?;
        let outcome = ServeOutcome::Complete { messages, bytes: messages * Key::LEN as u64 };
        self.push(self.now, peer, Incoming::Local(Box::new(Event::Served { to, request, outcome })));
        Ok(())
    }
}
