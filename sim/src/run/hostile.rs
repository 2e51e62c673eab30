//! What hostile nodes do: they run the engine, and twist what it wants done. Real ones do the same (`real::twist`).

use hearken_scheduler::{Action, Config, Event, GroupConfig, ServeOutcome};
use hearken_wire::{Frame, Ihave, Salt, ShortDigest, ShortFingerprint, Summary, Window};

use super::{
    SimError,
    driver::Worked,
    measure::Kind,
    sim::{Incident, Sim},
};
use crate::{
    net::{Nanos, NodeId, SECOND, dice::Dice, nanos},
    scenario::Hostile,
};

/// A forger announces so often: what a whole network of honest nodes does in an interval, each of them does in a minute.
pub(crate) const FORGES_EVERY: Nanos = 5 * SECOND;
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

/// An IHAVE for a set that nobody holds, of a node that lives at `unix`: of more messages than the `known` that there are.
pub(crate) fn forged(group: &GroupConfig, config: &Config, unix: u64, known: u64, dice: &mut Dice) -> Ihave {
    let grid = nanos(config.horizon_grid);
    let to = unix.saturating_sub(nanos(config.settle_delay));
    let to = to - to % grid;
    let window = Window { from: to.saturating_sub(nanos(group.window)), to };
    let digest = ShortDigest(dice.next().to_be_bytes());
    let root = ShortFingerprint { digest, count: known + 1 + dice.below(1_000) };
    Ihave { group: group.id, window, salt: Salt(dice.next()), root, summary: Summary::default() }
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
            (_, Action::Send { to, frame }) => match hostile.fate(&frame) {
                Fate::Sent => Ok(Some(Action::Send { to, frame })),
                Fate::Dropped => Ok(None),
                Fate::Spoiled => {
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
            (_, action) => Ok(Some(action)),
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

    pub(crate) fn schedule_forge(&mut self, node: NodeId) {
        if self.nodes[node as usize].hostile == Some(Hostile::Forger) {
            let after = self.other_dice.below(FORGES_EVERY);
            self.queue.push(self.now + after, (node, Incident::Forge));
        }
    }

    /// Announces a set that nobody holds.
    pub(crate) fn on_forge(&mut self, node: NodeId) -> Result<(), SimError> {
        let state = &self.nodes[node as usize];
        if !state.up || state.hostile != Some(Hostile::Forger) {
            return Ok(());
        }
        let (unix, known) = (state.unix(self.now), self.ledger.len() as u64);
        let ihave = forged(&state.group, &state.config, unix, known, &mut self.other_dice);
        let bytes = ihave.encode()?.len() as u64;
        self.gossip_announcement(node, ihave, bytes);
        self.queue.push(self.now + FORGES_EVERY, (node, Incident::Forge));
        Ok(())
    }
}
