//! What a real node's driver does for its engine: feeds it, carries out its actions, wakes it.

use bytes::{Bytes, BytesMut};
use hearken_scheduler::{Action, Admitted, Engine, Event, GossipVerdict, InvalidChange, Now, ServeOutcome, Ticket};
use hearken_tree::{Key, KeyRange};
use hearken_wire::{Frame, Ihave, RequestId, limits::FRAME_MAX};

use super::{
    SimError,
    ledger::MessageId,
    plan,
    sim::{GROUP, Incident, Sim},
};
use crate::net::{Nanos, NodeId, nanos, node_id};

/// An engine while it is being worked on.
pub(crate) type Worked = Box<Engine<NodeId>>;

impl Sim<'_> {
    /// Something happened to a node's engine.
    pub(crate) fn feed(&mut self, node: NodeId, event: Event<NodeId>) -> Result<(), SimError> {
        if self.nodes[node as usize].engine.is_none() {
            return self.feed_baseline(node, &event);
        }
        self.with_engine(node, |engine, now| {
            engine.handle(event, now);
            Ok(())
        })
    }

    /// Does something to a node's engine, if it has one, and carries out what that wants done.
    pub(crate) fn with_engine(
        &mut self,
        node: NodeId,
        act: impl FnOnce(&mut Engine<NodeId>, Now) -> Result<(), InvalidChange>,
    ) -> Result<(), SimError> {
        let at = node as usize;
        let Some(mut engine) = self.nodes[at].engine.take() else { return Ok(()) };
        let acted = act(&mut engine, self.nodes[at].clock(self.now));
        let done = self.carry_out(node, &mut engine);
        self.schedule_engine(node, &engine);
        self.nodes[at].engine = Some(engine);
        acted?;
        done
    }

    /// Takes from a node's engine what it alone has counted.
    pub(crate) fn close_engine(&mut self, node: NodeId) {
        let state = &mut self.nodes[node as usize];
        let groups = state.engine.iter().flat_map(|engine| engine.group_status());
        state.counters.suppressed += groups.map(|group| group.suppressed).sum::<u64>();
    }

    /// The run is over.
    pub(crate) fn close_engines(&mut self) {
        (0..self.nodes.len()).for_each(|node| self.close_engine(node_id(node)));
    }

    fn carry_out(&mut self, node: NodeId, engine: &mut Worked) -> Result<(), SimError> {
        while let Some(action) = engine.poll_action() {
            self.act(node, engine, action)?;
        }
        Ok(())
    }

    fn schedule_engine(&mut self, node: NodeId, engine: &Worked) {
        if let Some(deadline) = engine.next_deadline() {
            self.schedule_wake(node, nanos(deadline));
        }
    }

    /// Wakes are left in the queue when the deadline moves away, and looked at when they come.
    pub(crate) fn schedule_wake(&mut self, node: NodeId, deadline: Nanos) {
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
        let Some(engine) = state.engine.take() else { return self.feed_baseline(node, &Event::Wake) };
        let due = engine.next_deadline().is_some_and(|deadline| nanos(deadline) <= self.now);
        if !due {
            self.schedule_engine(node, &engine);
        }
        self.nodes[node as usize].engine = Some(engine);
        if due { self.feed(node, Event::Wake) } else { Ok(()) }
    }

    fn act(&mut self, node: NodeId, engine: &mut Worked, action: Action<NodeId>) -> Result<(), SimError> {
        let Some(action) = self.twist(node, engine, action)? else { return Ok(()) };
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
                self.note_muted(node, peer, engine);
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
        for message in messages {
            self.admit_one(node, message, |key| asked.iter().any(|range| range.contains(key)), &mut outcome);
        }
        let trip = self.nodes[node as usize].trip;
        self.admitted(node, trip, &outcome, messages.len());
        engine.handle(Event::Admitted { ticket, outcome }, self.nodes[node as usize].clock(self.now));
    }

    /// One delivered message. It travels as its key.
    pub(crate) fn admit_one(
        &mut self,
        node: NodeId,
        message: &Bytes,
        asked: impl Fn(&Key) -> bool,
        outcome: &mut Admitted,
    ) {
        let key = <[u8; Key::LEN]>::try_from(&message[..]).map(Key::from_bytes).ok().filter(asked);
        let Some((key, message)) = key.and_then(|key| Some((key, self.ledger.find(&key)?))) else {
            outcome.unasked += 1;
            return;
        };
        let old = key.timestamp() < self.nodes[node as usize].window_start(self.now);
        self.nodes[node as usize].counters.outside += u64::from(old);
        if self.nodes[node as usize].store.has(message) {
            outcome.duplicates += 1;
            if self.refuses(node, message) {
                self.nodes[node as usize].counters.refused_again += 1;
            }
        } else if self.nodes[node as usize].disk_full {
            outcome.failed += 1;
        } else if self.refuses(node, message) {
            outcome.refused += 1;
            self.hold(node, message);
        } else {
            outcome.stored += 1;
            self.hold(node, message);
            self.repaired(node, message);
        }
    }

    /// Counts what became of delivered messages.
    pub(crate) fn admitted(&mut self, node: NodeId, trips: u64, outcome: &Admitted, many: usize) {
        let counters = &mut self.nodes[node as usize].counters;
        counters.duplicates += outcome.duplicates;
        counters.refused += outcome.refused;
        counters.repaired += outcome.stored;
        if outcome.stored > 0 {
            self.measure.round_trips.add(trips, outcome.stored);
        }
        self.trace.record(self.now, node, "admit", outcome.stored, many as u64);
    }

    fn repaired(&mut self, node: NodeId, message: MessageId) {
        let took = self.now - self.ledger.published(message);
        self.measure.repair.add(took, 1);
        self.measure.repaired += 1;
        self.trace.record(self.now, node, "repaired", u64::from(message), took);
    }

    /// A node's validator refuses the same messages always.
    pub(crate) fn refuses(&self, node: NodeId, message: MessageId) -> bool {
        plan::refuses(self.scenario, self.nodes[node as usize].refuses, node, message)
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
        if state.disk_full {
            return false;
        }
        let new = if refused { state.store.refuse(message) } else { state.store.insert(message) };
        if new && self.undurable > 0 {
            while state.recent.front().is_some_and(|(came, _)| came + self.undurable < self.now) {
                state.recent.pop_front();
            }
            state.recent.push_back((self.now, message));
        }
        // Nobody owes a hostile node anything.
        if new && state.hostile.is_none() {
            self.ledger.held(state.class, message, self.now);
            self.recover(node, message);
        }
        new
    }

    fn recover(&mut self, node: NodeId, message: MessageId) {
        let state = &mut self.nodes[node as usize];
        if let Some(recovery) = &mut state.recovery
            && recovery.came(&self.ledger, message)
        {
            self.measure.recovery.push(crate::net::seconds(self.now - recovery.since));
            state.recovery = None;
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
        if self.answers_falsely(node, from, &frame)? {
            return Ok(());
        }
        let last = matches!(frame, Frame::Done { .. } | Frame::Refusal(_));
        if let (true, Frame::Messages { request, messages }) = (self.nodes[node as usize].baseline.is_some(), &frame) {
            self.take_in(node, *request, messages);
            return Ok(());
        }
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
