//! Frames between neighbours, and streams of messages at the pace of the network.

use bytes::{Bytes, BytesMut};
use hearken_scheduler::{Event, Selection, ServeOutcome};
use hearken_tree::Key;
use hearken_wire::{Ask, Frame, RequestId, Verdict, encode_frame, messages_frame_len};

use super::{
    SimError,
    driver::Worked,
    ledger::MessageId,
    measure::Kind,
    node::Stream,
    sim::{Incident, Sim},
};
use crate::net::{Nanos, NodeId, SECOND};

/// Messages go in frames of about so many bytes, as a real node sends them.
const FRAME_TARGET: u64 = 64 << 10;
/// Beside a round trip, what a lost packet delays a stream by: about a retransmission timeout of TCP.
pub(crate) const RETRANSMIT: Nanos = SECOND / 5;
/// Requests remembered for counting round trips.
const TRIPS: usize = 4_096;

impl Sim<'_> {
    /// Sends a frame other than messages.
    pub(crate) fn send(
        &mut self,
        node: NodeId,
        to: NodeId,
        frame: &Frame,
        engine: &mut Worked,
    ) -> Result<(), SimError> {
        if let Frame::Want(want) = frame {
            if self.links.get(node, to).is_none_or(|link| !link.attached) {
                let event = Event::SendFailed { to, request: want.request };
                engine.handle(event, self.nodes[node as usize].clock(self.now));
                return Ok(());
            }
            let state = &mut self.nodes[node as usize];
            if state.trips.len() >= TRIPS {
                state.trips.pop_first();
            }
            let before = if state.follows { state.trip } else { 0 };
            state.trips.insert(want.request, before + 1);
        }
        self.send_frame(node, to, frame)
    }

    pub(crate) fn send_frame(&mut self, node: NodeId, to: NodeId, frame: &Frame) -> Result<(), SimError> {
        let mut bytes = BytesMut::new();
        encode_frame(frame, &mut bytes)?;
        let length = bytes.len() as u64;
        let frame_of = |from, epoch| Incident::Frame { from, epoch, frame: bytes.freeze() };
        self.put(node, to, kind(frame), length, frame_of);
        Ok(())
    }

    /// Puts something that takes `length` bytes on its way; when it has left, and when it arrives. `incident` is told from whom it
    /// comes, and the connection's epoch.
    pub(crate) fn put(
        &mut self,
        node: NodeId,
        to: NodeId,
        kind: Kind,
        length: u64,
        incident: impl FnOnce(NodeId, u32) -> Incident,
    ) -> (Nanos, Nanos) {
        self.count(node, kind, length);
        self.trace.record(self.now, node, super::measure::KIND_NAMES[kind as usize], u64::from(to), length);
        let Some(link) = self.links.get(node, to) else { return (self.now, self.now) };
        let (latency, up, epoch) = (link.latency, link.up, link.epoch);
        let (left, mut arrives) = self.transmit(node, to, latency, length);
        if self.dice.chance(self.loss) {
            arrives += 2 * latency + RETRANSMIT;
        }
        if up {
            if let Some(link) = self.links.get_mut(node, to) {
                // A stream keeps its order.
                arrives = arrives.max(link.last);
                link.last = arrives;
            }
            self.queue.push(arrives, (to, incident(node, epoch)));
        }
        (left, arrives)
    }

    pub(crate) fn serve(
        &mut self,
        node: NodeId,
        engine: &mut Worked,
        to: NodeId,
        request: RequestId,
        selection: Vec<Selection>,
    ) -> Result<(), SimError> {
        let state = &mut self.nodes[node as usize];
        let retained = state.retained(self.now);
        let view = state.store.view(&self.ledger, &mut self.sets, retained)?;
        let mut messages = Vec::new();
        for selected in selection {
            match selected {
                Selection::Range { range, count } => {
                    for key in view.kept.keys(&range).take(usize::try_from(count).unwrap_or(usize::MAX)) {
                        messages.extend(self.ledger.find(&key?));
                    }
                }
                Selection::Keys(keys) => messages.extend(keys.iter().filter_map(|key| self.ledger.find(key))),
            }
        }
        state.streams.insert((to, request), Stream { messages, next: 0, bytes: 0 });
        if let Some(outcome) = self.pump(node, to, request)? {
            engine.handle(Event::Served { to, request, outcome }, self.nodes[node as usize].clock(self.now));
        }
        Ok(())
    }

    pub(crate) fn on_pump(&mut self, node: NodeId, to: NodeId, request: RequestId) -> Result<(), SimError> {
        match self.pump(node, to, request)? {
            Some(outcome) => self.feed(node, Event::Served { to, request, outcome }),
            None => Ok(()),
        }
    }

    /// Sends frames of a stream as long as there is room now; comes back when there is again. What came of it, once it is over.
    pub(crate) fn pump(
        &mut self,
        node: NodeId,
        to: NodeId,
        request: RequestId,
    ) -> Result<Option<ServeOutcome>, SimError> {
        loop {
            let Some(stream) = self.nodes[node as usize].streams.get_mut(&(to, request)) else { return Ok(None) };
            let mut filled = 0;
            let mut some: Vec<MessageId> = Vec::new();
            while let Some(message) = stream.messages.get(stream.next)
                && (some.is_empty() || filled + u64::from(self.ledger.size(*message)) <= FRAME_TARGET)
            {
                filled += u64::from(self.ledger.size(*message));
                some.push(*message);
                stream.next += 1;
            }
            stream.bytes += filled;
            if some.is_empty() {
                let (messages, bytes) = (stream.messages.len() as u64, stream.bytes);
                self.nodes[node as usize].streams.remove(&(to, request));
                self.send_frame(node, to, &Frame::Done { request })?;
                return Ok(Some(ServeOutcome::Complete { messages, bytes }));
            }
            let (left, arrives) = self.send_messages(node, to, request, &some)?;
            let latency = self.links.get(node, to).map_or(0, |link| link.latency);
            // The receiver's pace counts as well: no more than a frame waits for it.
            let next = left.max(arrives.saturating_sub(4 * latency));
            if next > self.now {
                self.queue.push(next, (node, Incident::Pump { to, request }));
                return Ok(None);
            }
        }
    }

    /// Messages travel as their keys; what they would take is counted.
    fn send_messages(
        &mut self,
        node: NodeId,
        to: NodeId,
        request: RequestId,
        some: &[MessageId],
    ) -> Result<(Nanos, Nanos), SimError> {
        let sizes = || some.iter().map(|message| self.ledger.size(*message) as usize);
        let (payload, body) = (sizes().sum::<usize>() as u64, messages_frame_len(request, sizes()) as u64);
        let keys: Vec<Key> = some.iter().map(|message| self.ledger.key(*message)).collect();
        let messages = keys.iter().map(|key| Bytes::copy_from_slice(key.as_bytes())).collect();
        let mut bytes = BytesMut::new();
        encode_frame(&Frame::Messages { request, messages }, &mut bytes)?;
        self.nodes[node as usize].counters.served += some.len() as u64;
        self.count(node, Kind::Repair, payload);
        let framing = body + prefix(body) - payload;
        // Counted as framing, sent whole.
        let frame_of = |from, epoch| Incident::Frame { from, epoch, frame: bytes.freeze() };
        let times = self.put(node, to, Kind::Framing, payload + framing, frame_of);
        self.nodes[node as usize].counters.sent[Kind::Framing as usize] -= payload;
        self.measure.sent[Kind::Framing as usize] -= payload;
        Ok(times)
    }
}

/// Bytes of a frame's length.
fn prefix(body: u64) -> u64 {
    match body {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        _ => 3,
    }
}

/// What a frame's bytes are spent on; those of messages in it apart.
pub(crate) fn kind(frame: &Frame) -> Kind {
    match frame {
        Frame::Want(want) if want.ranges.only().is_some_and(|only| matches!(only.ask, Ask::Check(_))) => Kind::Probe,
        Frame::Answer(answer) if answer.verdicts.only() == Some(Verdict::Equal) => Kind::Probe,
        Frame::Want(_) | Frame::Refusal(_) | Frame::Cancel { .. } => Kind::Request,
        Frame::Answer(_) => Kind::Answer,
        Frame::Messages { .. } | Frame::Done { .. } => Kind::Framing,
    }
}
