//! What hostile nodes do: they run the engine, and twist what it wants done. Of the kinds, real ones do the first four (`real::twist`).

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use hearken_scheduler::{Action, Config, Event, GroupConfig, ServeOutcome};
use hearken_tree::{Id, Key, KeyRange};
use hearken_wire::{
    Answer, Ask, Frame, Ihave, RangeWant, RequestId, Salt, SaltedSpan, ShortDigest, ShortFingerprint, Summary,
    TinyDigest, TinyFingerprint, Verdict, Want, Window,
};

use super::{
    SimError,
    driver::Worked,
    facts::Lies,
    measure::{Kind, Quantiles},
    sim::{GROUP, Incident, Sim},
};
use crate::{
    net::{Nanos, NodeId, SECOND, dice::Dice, nanos, seconds},
    scenario::Hostile,
};

/// A forger or replayer announces so often: what a whole network of honest nodes does in an interval, each of them does in a minute.
pub(crate) const FORGES_EVERY: Nanos = 5 * SECOND;
/// So often each neighbour gets sketches of nothing.
const SKETCHES_EVERY: Nanos = 2 * SECOND;
/// So often a flooder sends a request to each neighbour, for so long at the beginning of each minute.
const FLOODS_EVERY: Nanos = SECOND / 40;
const FLOODS_FOR: Nanos = 15 * SECOND;
/// Spans of an announcement that is made up, and of an answer.
const SPANS: u64 = 40;
const ANSWER_SPANS: u64 = 8;
/// Announcements that a replayer remembers.
const OVERHEARD: usize = 64;
/// Nobody has asked for so many: these requests are not the engine's.
const REQUESTS_FROM: u64 = 1 << 40;
/// Intervals within which a liar is to be muted.
const PATIENCE: u64 = 10;
/// No frame: its length is more than any may have.
pub(crate) const GARBAGE: [u8; 32] = [0xff; 32];

/// What becomes of a frame that a hostile node's engine wants sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Sent,
    Dropped,
    /// [`GARBAGE`] goes instead.
    Spoiled,
}

impl Hostile {
    pub(crate) fn fate(self, frame: &Frame) -> Fate {
        match (self, frame) {
            (Hostile::Silent, Frame::Answer(_) | Frame::Refusal(_) | Frame::Done { .. }) => Fate::Dropped,
            (Hostile::Silent | Hostile::Empty | Hostile::Garbage, Frame::Messages { .. }) => Fate::Dropped,
            (Hostile::Garbage, Frame::Answer(_)) => Fate::Spoiled,
            _ => Fate::Sent,
        }
    }
}

/// An IHAVE for a set that nobody holds, of a node that lives at `unix`: of more messages than the `known` that there are. Its spans
/// cover the window and add up, so that nobody sees at once what it is.
pub(crate) fn forged(group: &GroupConfig, config: &Config, unix: u64, known: u64, dice: &mut Dice) -> Ihave {
    let window = window_at(group, config, unix);
    let count = known + 1 + dice.below(100);
    let root = made_up(window.keys(), count, dice).fingerprint;
    let summary = Summary::new(made_up_spans(window.keys(), count, SPANS, dice)).unwrap_or_default();
    Ihave { group: group.id, window, salt: Salt(dice.next()), root, summary }
}

fn window_at(group: &GroupConfig, config: &Config, unix: u64) -> Window {
    let to = unix.saturating_sub(nanos(config.settle_delay));
    let to = to - to % nanos(config.horizon_grid);
    Window { from: to.saturating_sub(nanos(group.window)), to }
}

fn made_up(range: KeyRange, count: u64, dice: &mut Dice) -> SaltedSpan {
    SaltedSpan { range, fingerprint: ShortFingerprint { digest: ShortDigest(dice.next().to_be_bytes()), count } }
}

/// So many spans over as long a time each, with `count` messages in all.
fn made_up_spans(range: KeyRange, count: u64, spans: u64, dice: &mut Dice) -> Vec<SaltedSpan> {
    let (from, to) = (range.start().timestamp(), range.end().timestamp());
    let bound = |at: u64| match at {
        0 => range.start(),
        at if at == spans => range.end(),
        at => Key::at(from + (to - from) / spans * at),
    };
    let share = |at: u64| count * (at + 1) / spans - count * at / spans;
    let ranges = (0..spans).filter_map(|at| Some((KeyRange::new(bound(at), bound(at + 1)).ok()?, share(at))));
    ranges.filter(|(range, _)| !range.is_empty()).map(|(range, count)| made_up(range, count, dice)).collect()
}

/// What hostile nodes have done.
#[derive(Default)]
pub(crate) struct Mischief {
    /// When a hostile node first lied to an honest neighbour, and when that muted it.
    lies: BTreeMap<(NodeId, NodeId), (Nanos, Option<Nanos>)>,
    overheard: BTreeMap<NodeId, Vec<Arc<Ihave>>>,
    requests: u64,
}

impl Mischief {
    /// What came of the lies by the end.
    pub(crate) fn lies(&self, end: Nanos, interval: Nanos) -> Lies {
        let patience = PATIENCE * interval;
        let took = |(told, muted): &(Nanos, Option<Nanos>)| muted.map(|muted| muted - told);
        let late = |lie: &&(Nanos, Option<Nanos>)| match took(lie) {
            Some(took) => took > patience,
            None => lie.0 + patience <= end,
        };
        Lies {
            lied_to: self.lies.len() as u64,
            unmuted: self.lies.values().filter(late).count() as u64,
            muted_after_s: Quantiles::of(self.lies.values().filter_map(took).map(seconds)),
        }
    }
}

impl Sim<'_> {
    /// What is left of an action to be done as it was meant.
    pub(crate) fn twist(
        &mut self,
        node: NodeId,
        engine: &mut Worked,
        action: Action<NodeId>,
    ) -> Result<Option<Action<NodeId>>, SimError> {
        let Some(hostile) = self.nodes[node as usize].hostile else { return Ok(Some(action)) };
        match (hostile, action) {
            (Hostile::RandomRoots | Hostile::Replayer, Action::Announce(_)) => Ok(None),
            (_, Action::Send { to, frame }) => match hostile.fate(&frame) {
                Fate::Sent => Ok(Some(Action::Send { to, frame })),
                Fate::Dropped => Ok(None),
                Fate::Spoiled => {
                    self.lied(node, to);
                    self.put_foreign(node, to, Kind::Answer, GARBAGE.to_vec());
                    Ok(None)
                }
            },
            (Hostile::Silent | Hostile::Empty | Hostile::Garbage, Action::Serve { to, request, .. }) => {
                if hostile == Hostile::Empty {
                    self.send(node, to, &Frame::Done { request }, engine)?;
                }
                let outcome = ServeOutcome::Complete { messages: 0, bytes: 0 };
                engine.handle(Event::Served { to, request, outcome }, self.nodes[node as usize].clock(self.now));
                Ok(None)
            }
            (Hostile::FalseSpans, Action::Announce(mut ihave)) => {
                let spans =
                    ihave.summary.spans().map(|span| made_up(span.range, span.fingerprint.count, &mut self.other_dice));
                ihave.summary = Summary::new(spans.collect()).unwrap_or_default();
                Ok(Some(Action::Announce(ihave)))
            }
            (_, action) => Ok(Some(action)),
        }
    }

    /// A hostile node that lies when it is asked does so in place of its engine; false if it does not.
    pub(crate) fn answers_falsely(&mut self, node: NodeId, to: NodeId, frame: &Frame) -> Result<bool, SimError> {
        let Some(hostile) = self.nodes[node as usize].hostile else { return Ok(false) };
        let Frame::Want(want) = frame else {
            // What comes of requests that are not its engine's, it does not want to know.
            return Ok(about(frame).is_some_and(|request| request.0 >= REQUESTS_FROM));
        };
        let probe = want.ranges.only().is_some_and(|only| matches!(only.ask, Ask::Check(_)));
        let lies = match hostile {
            Hostile::FalseSpans => probe,
            Hostile::Withholder | Hostile::Future => true,
            _ => false,
        };
        if !lies {
            return Ok(false);
        }
        let verdicts = want.ranges.iter().map(|asked| self.false_verdict(node, &asked));
        let verdicts = verdicts.collect::<Result<Vec<Verdict>, SimError>>()?;
        let promised = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Deliver { .. })).count();
        // What a span claims is a lie; to claim more than there is in order to withhold it becomes one later.
        if promised > 0 || hostile == Hostile::FalseSpans {
            self.lied(node, to);
        }
        let request = want.request;
        self.send_frame(node, to, &Frame::Answer(Answer { request, holds: want.holds, verdicts: verdicts.into() }))?;
        if hostile == Hostile::Future && promised > 0 {
            let tomorrow = self.nodes[node as usize].unix(self.now);
            let keys = (0..promised).map(|_| Key::new(tomorrow, Id(self.other_dice.id())));
            let messages = keys.map(|key| Bytes::copy_from_slice(key.as_bytes())).collect();
            self.send_frame(node, to, &Frame::Messages { request, messages })?;
        }
        self.send_frame(node, to, &Frame::Done { request })?;
        Ok(true)
    }

    /// One message more in each span than there is.
    fn false_verdict(&mut self, node: NodeId, asked: &RangeWant) -> Result<Verdict, SimError> {
        let Ask::Check(theirs) = &asked.ask else { return Ok(Verdict::Deliver { count: 1, lacks: Vec::new() }) };
        let state = &mut self.nodes[node as usize];
        if state.hostile == Some(Hostile::Future) {
            // It has dropped all that is of today.
            let spans = made_up_spans(asked.range, theirs.count + ANSWER_SPANS, ANSWER_SPANS, &mut self.other_dice);
            return Ok(Summary::new(spans).map_or(Verdict::TooCostly, Verdict::Finer));
        }
        let retained = state.retained(self.now);
        let view = state.store.view(&self.ledger, &mut self.sets, retained)?;
        let mut spans = made_up_spans(asked.range, 0, ANSWER_SPANS, &mut self.other_dice);
        for span in &mut spans {
            span.fingerprint.count = view.kept.count(&span.range)? + 1;
        }
        Ok(Summary::new(spans).map_or(Verdict::TooCostly, Verdict::Finer))
    }

    fn lied(&mut self, node: NodeId, to: NodeId) {
        if self.nodes[to as usize].hostile.is_none() {
            self.mischief.lies.entry((node, to)).or_insert((self.now, None));
        }
    }

    /// An honest node has noticed an offence.
    pub(crate) fn note_muted(&mut self, node: NodeId, offender: NodeId, engine: &Worked) {
        let Some((_, muted)) = self.mischief.lies.get_mut(&(offender, node)) else { return };
        let mut status = engine.peer_status();
        if muted.is_none() && status.any(|peer| peer.peer == offender && peer.muted_for.is_some()) {
            *muted = Some(self.now);
        }
    }

    /// What is no frame arrives: the stream it came on is closed, the connection stays.
    pub(crate) fn on_garbage(&mut self, node: NodeId, from: NodeId, epoch: u32, body: &[u8]) -> Result<(), SimError> {
        let open = self.links.get(node, from).is_some_and(|link| link.epoch == epoch && link.up);
        let mut bytes = bytes::BytesMut::from(body);
        if open && hearken_wire::decode_frame(&mut bytes, hearken_wire::limits::FRAME_MAX).is_err() {
            self.feed(node, Event::Garbage(from))?;
        }
        Ok(())
    }

    /// How often a hostile node does harm unasked.
    fn mischief_every(&self, node: NodeId) -> Option<Nanos> {
        match self.nodes[node as usize].hostile? {
            Hostile::Forger | Hostile::Replayer => Some(FORGES_EVERY),
            Hostile::RandomRoots => Some(nanos(self.scenario.sync.interval_min)),
            Hostile::GarbageSketch => Some(SKETCHES_EVERY),
            Hostile::Flooder => Some(FLOODS_EVERY),
            _ => None,
        }
    }

    pub(crate) fn schedule_mischief(&mut self, node: NodeId) {
        if let Some(every) = self.mischief_every(node) {
            let after = self.other_dice.below(every);
            self.queue.push(self.now + after, (node, Incident::Mischief));
        }
    }

    pub(crate) fn on_mischief(&mut self, node: NodeId) -> Result<(), SimError> {
        let (true, Some(every)) = (self.nodes[node as usize].up, self.mischief_every(node)) else { return Ok(()) };
        let mut next = self.now + every;
        match self.nodes[node as usize].hostile {
            Some(Hostile::Replayer) => self.replay(node)?,
            Some(Hostile::GarbageSketch) => self.pester(node, 8)?,
            Some(Hostile::Flooder) if self.now % (60 * SECOND) < FLOODS_FOR => self.pester(node, 0)?,
            Some(Hostile::Flooder) => next = self.now.next_multiple_of(60 * SECOND),
            _ => self.forge(node)?,
        }
        self.queue.push(next, (node, Incident::Mischief));
        Ok(())
    }

    /// Announces a set that nobody holds.
    fn forge(&mut self, node: NodeId) -> Result<(), SimError> {
        let state = &self.nodes[node as usize];
        let (unix, known) = (state.unix(self.now), self.ledger.len() as u64);
        let ihave = forged(&state.group, &state.config, unix, known, &mut self.other_dice);
        let bytes = ihave.encode()?.len() as u64;
        self.gossip_announcement(node, ihave, bytes);
        Ok(())
    }

    /// A replayer remembers what it hears.
    pub(crate) fn overhear(&mut self, node: NodeId, ihave: &Arc<Ihave>) {
        if self.nodes[node as usize].hostile == Some(Hostile::Replayer) {
            let overheard = self.mischief.overheard.entry(node).or_default();
            if overheard.len() >= OVERHEARD {
                overheard.remove(0);
            }
            overheard.push(ihave.clone());
        }
    }

    /// Announces what it has heard before, as if it were new to gossipsub.
    fn replay(&mut self, node: NodeId) -> Result<(), SimError> {
        let overheard = self.mischief.overheard.get(&node);
        let many = overheard.map_or(0, Vec::len);
        if many > 0 {
            let at = self.other_dice.index(many);
            if let Some(ihave) = overheard.and_then(|overheard| overheard.get(at)).map(|ihave| Ihave::clone(ihave)) {
                let bytes = ihave.encode()?.len() as u64;
                self.gossip_announcement(node, ihave, bytes);
            }
        }
        Ok(())
    }

    /// Sends each neighbour a request with so many sketches of nothing, or a probe if there are none.
    fn pester(&mut self, node: NodeId, sketches: u64) -> Result<(), SimError> {
        let state = &self.nodes[node as usize];
        let holds = window_at(&state.group, &state.config, state.unix(self.now));
        let neighbours: Vec<NodeId> =
            self.links.of(node).iter().filter(|link| link.attached).map(|link| link.peer).collect();
        for to in neighbours {
            let spans = made_up_spans(holds.keys(), 1_000, sketches.max(1), &mut self.other_dice);
            let ranges = spans.into_iter().map(|span| {
                let ask = match sketches {
                    0 => Ask::Check(span.fingerprint),
                    _ => {
                        let digest =
                            TinyDigest(self.other_dice.next().to_be_bytes()[..4].try_into().unwrap_or_default());
                        let syndromes =
                            (0..32).map(|_| u32::try_from(self.other_dice.next() >> 32).unwrap_or_default()).collect();
                        Ask::Sketch {
                            fingerprint: TinyFingerprint { digest, count: span.fingerprint.count },
                            syndromes,
                        }
                    }
                };
                RangeWant { range: span.range, ask }
            });
            let ranges: Vec<RangeWant> = ranges.collect();
            if sketches == 0 {
                self.lied(node, to);
            }
            self.mischief.requests += 1;
            let request = RequestId(REQUESTS_FROM + self.mischief.requests);
            let salt = Salt(self.other_dice.next());
            self.send_frame(
                node,
                to,
                &Frame::Want(Want { request, group: GROUP, salt, holds, ranges: ranges.into() }),
            )?;
        }
        Ok(())
    }

    /// The id of a message that is published.
    pub(crate) fn new_id(&mut self, publisher: NodeId) -> Id {
        let grinds = self.nodes[publisher as usize].hostile == Some(Hostile::Grinder);
        loop {
            let id = self.traffic.id();
            if !grinds || !bounds_a_chunk(&id) {
                return id;
            }
        }
    }
}

/// The request of the receiver's that a frame is about.
fn about(frame: &Frame) -> Option<RequestId> {
    match frame {
        Frame::Answer(answer) => Some(answer.request),
        Frame::Messages { request, .. } | Frame::Done { request } => Some(*request),
        Frame::Refusal(refusal) => Some(refusal.request),
        Frame::Want(_) | Frame::Cancel { .. } => None,
    }
}

/// Whether a key with this id starts a chunk of a tree, as `hearken-tree` has it: whoever grinds ids knows.
fn bounds_a_chunk(id: &Id) -> bool {
    let mut mix = 0u64;
    for (at, word) in (0u32..).zip(id.0.as_chunks::<8>().0) {
        mix ^= u64::from_le_bytes(*word).rotate_left(16 * at);
    }
    mix ^= mix >> 33;
    mix = mix.wrapping_mul(0xff51_afd7_ed55_8ccd);
    mix ^= mix >> 33;
    mix = mix.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (mix ^ (mix >> 33)).trailing_zeros() >= 7
}
