//! What a real node's driver does for its engine: feeds it, carries out its actions, wakes it.

use bytes::{Bytes, BytesMut};
use hearken_scheduler::{Action, Admitted, Engine, Event, GossipVerdict, ServeOutcome, Ticket};
use hearken_tree::{Key, KeyRange};
use hearken_wire::{Frame, Ihave, RequestId, limits::FRAME_MAX};

use super::{
    SimError,
    ledger::MessageId,
    sim::{GROUP, Incident, Sim},
};
use crate::net::{NodeId, nanos};

/// An engine while it is being worked on.
pub(crate) type Worked = Box<Engine<NodeId>>;

impl Sim<'_> {
    /// Something happened to a node's engine.
    pub(crate) fn feed(&mut self, node: NodeId, event: Event<NodeId>) -> Result<(), SimError> {
        let at = node as usize;
        let Some(mut engine) = self.nodes[at].engine.take() else { return Ok(()) };
        engine.handle(event, self.nodes[at].clock(self.now));
        let done = self.carry_out(node, &mut engine);
        self.schedule_wake(node, &engine);
        self.nodes[at].engine = Some(engine);
        done
    }

    fn carry_out(&mut self, node: NodeId, engine: &mut Worked) -> Result<(), SimError> {
        while let Some(action) = engine.poll_action() {
            self.act(node, engine, action)?;
        }
        Ok(())
    }

    /// Wakes are left in the queue when the deadline moves away, and looked at when they come.
    fn schedule_wake(&mut self, node: NodeId, engine: &Worked) {
        let Some(deadline) = engine.next_deadline().map(nanos) else { return };
        let deadline = deadline.max(self.now);
        let wake = &mut self.nodes[node as usize].wake;
        if wake.is_none_or(|wake| deadline < wake) {
            *wake = Some(deadline);
            self.queue.push(deadline, (node, Incident::Wake));
        }
    }

    pub(crate) fn on_wake(&mut self, node: NodeId) -> Result<(), SimError> {
        let state = &mut self.nodes[node as usize];
        if state.wake != Some(self.now) {
            return Ok(());
        }
        state.wake = None;
        let Some(engine) = state.engine.take() else { return Ok(()) };
        let due = engine.next_deadline().is_some_and(|deadline| nanos(deadline) <= self.now);
        if !due {
            self.schedule_wake(node, &engine);
        }
        self.nodes[node as usize].engine = Some(engine);
        if due { self.feed(node, Event::Wake) } else { Ok(()) }
    }

    fn act(&mut self, node: NodeId, engine: &mut Worked, action: Action<NodeId>) -> Result<(), SimError> {
        match action {
            Action::Announce(ihave) => self.announce(node, &ihave)?,
            Action::Judge { id, verdict: GossipVerdict::Accept } => self.accepted(node, id),
            Action::Judge { id, .. } => self.ignored(node, id),
            Action::Send { to, frame } => self.send(node, to, &frame, engine)?,
            Action::Index { ticket, job, .. } => {
                let state = &mut self.nodes[node as usize];
                let retained = state.retained(self.now);
                let view = state.store.view(&self.ledger, &mut self.sets, retained)?;
                let event = Event::Indexed { ticket, result: job.run(&view) };
                engine.handle(event, state.clock(self.now));
            }
            Action::Admit { ticket, asked, messages, .. } => self.admit(node, engine, ticket, &asked, &messages),
            Action::Serve { to, request, selection, .. } => self.serve(node, engine, to, request, selection)?,
            Action::StopServing { to, request } => self.stop_serving(node, engine, to, request),
            Action::Report { peer, .. } => {
                self.nodes[node as usize].counters.offences += 1;
                self.trace.record(self.now, node, "offence", u64::from(peer), 1);
            }
        }
        Ok(())
    }

    fn announce(&mut self, node: NodeId, ihave: &Ihave) -> Result<(), SimError> {
        let bytes = ihave.encode()?;
        self.nodes[node as usize].counters.announced += 1;
        self.measure.announced.push(self.now);
        self.trace.record(self.now, node, "announce", ihave.root.count, bytes.len() as u64);
        self.gossip_announcement(node, Ihave::decode(&bytes)?, bytes.len() as u64);
        Ok(())
    }

    /// A live message arrives: stored at once, as gossip validated it.
    pub(crate) fn on_live(&mut self, node: NodeId, message: MessageId) -> Result<(), SimError> {
        if self.hold(node, message) {
            let took = self.now - self.ledger.published(message);
            self.measure.live.add(took, 1);
            self.trace.record(self.now, node, "live", u64::from(message), took);
            return self.feed(node, Event::Live(GROUP));
        }
        Ok(())
    }

    fn admit(&mut self, node: NodeId, engine: &mut Worked, ticket: Ticket, asked: &[KeyRange], messages: &[Bytes]) {
        let mut outcome = Admitted::default();
        let window = self.nodes[node as usize].window_start(self.now);
        for message in messages {
            let key = <[u8; Key::LEN]>::try_from(&message[..]).map(Key::from_bytes).ok();
            let asked_for = key.filter(|key| asked.iter().any(|range| range.contains(key)));
            let Some(message) = asked_for.and_then(|key| self.ledger.find(&key)) else {
                outcome.unasked += 1;
                continue;
            };
            let old = key.is_some_and(|key| key.timestamp() < window);
            self.nodes[node as usize].counters.outside += u64::from(old);
            if self.nodes[node as usize].store.has(message) {
                outcome.duplicates += 1;
            } else if self.refuses(node, message) {
                outcome.refused += 1;
                self.hold(node, message);
            } else {
                outcome.stored += 1;
                self.hold(node, message);
                self.repaired(node, message);
            }
        }
        let state = &mut self.nodes[node as usize];
        state.counters.duplicates += outcome.duplicates;
        state.counters.refused += outcome.refused;
        state.counters.repaired += outcome.stored;
        let trip = state.trip;
        if outcome.stored > 0 {
            self.measure.round_trips.add(trip, outcome.stored);
        }
        self.trace.record(self.now, node, "admit", outcome.stored, messages.len() as u64);
        engine.handle(Event::Admitted { ticket, outcome }, state.clock(self.now));
    }

    fn repaired(&mut self, node: NodeId, message: MessageId) {
        let took = self.now - self.ledger.published(message);
        self.measure.repair.add(took, 1);
        self.measure.repaired += 1;
        self.trace.record(self.now, node, "repaired", u64::from(message), took);
    }

    /// A node's validator refuses the same messages always.
    fn refuses(&self, node: NodeId, message: MessageId) -> bool {
        let share = self.nodes[node as usize].refuses;
        share > 0.0 && {
            let seed = (u64::from(node) << 32) | u64::from(message);
            crate::net::dice::Dice::new(seed ^ self.scenario.seed.rotate_left(17)).chance(share)
        }
    }

    /// A message comes to a node, by whatever way; false if it was known there.
    pub(crate) fn hold(&mut self, node: NodeId, message: MessageId) -> bool {
        let refused = self.refuses(node, message);
        self.keep(node, message, refused)
    }

    /// A node's own message: it does not refuse that.
    pub(crate) fn hold_own(&mut self, node: NodeId, message: MessageId) {
        self.keep(node, message, false);
    }

    fn keep(&mut self, node: NodeId, message: MessageId, refused: bool) -> bool {
        let state = &mut self.nodes[node as usize];
        let new = if refused { state.store.refuse(message) } else { state.store.insert(message) };
        if new {
            self.ledger.held(state.class, message, self.now);
            self.recover(node, message);
        }
        new
    }

    fn recover(&mut self, node: NodeId, message: MessageId) {
        let state = &mut self.nodes[node as usize];
        let Some(recovery) = &mut state.recovery else { return };
        if message < recovery.before && self.ledger.key(message).timestamp() >= recovery.from {
            recovery.left -= 1;
            if recovery.left == 0 {
                self.measure.recovery.push(crate::net::seconds(self.now - recovery.since));
                state.recovery = None;
            }
        }
    }

    pub(crate) fn on_frame(&mut self, node: NodeId, from: NodeId, epoch: u32, bytes: Bytes) -> Result<(), SimError> {
        let open = self.links.get(node, from).is_some_and(|link| link.epoch == epoch && link.up);
        if !open {
            return Ok(());
        }
        let frame = hearken_wire::decode_frame(&mut BytesMut::from(&bytes[..]), FRAME_MAX)?;
        let Some(frame) = frame else { return Err(SimError::PartOfFrame) };
        let about = match &frame {
            Frame::Answer(answer) => Some(answer.request),
            Frame::Messages { request, .. } | Frame::Done { request } => Some(*request),
            Frame::Refusal(refusal) => Some(refusal.request),
            Frame::Want(_) | Frame::Cancel { .. } => None,
        };
        let last = matches!(frame, Frame::Done { .. } | Frame::Refusal(_));
        let state = &mut self.nodes[node as usize];
        state.trip = about.and_then(|request| state.trips.get(&request).copied()).unwrap_or(0);
        // What an answer leads to goes on with it. The end of a request only makes room for others.
        state.follows = matches!(frame, Frame::Answer(_));
        let fed = self.feed(node, Event::Frame { from, frame });
        let state = &mut self.nodes[node as usize];
        (state.trip, state.follows) = (0, false);
        if let (true, Some(request)) = (last, about) {
            state.trips.remove(&request);
        }
        fed
    }

    pub(crate) fn stop_serving(&mut self, node: NodeId, engine: &mut Worked, to: NodeId, request: RequestId) {
        let state = &mut self.nodes[node as usize];
        if let Some(stream) = state.streams.remove(&(to, request)) {
            let outcome = ServeOutcome::Stopped { messages: stream.next as u64, bytes: stream.bytes };
            engine.handle(Event::Served { to, request, outcome }, state.clock(self.now));
        }
    }
}
