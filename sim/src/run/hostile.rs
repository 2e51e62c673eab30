//! What hostile nodes do: they run the engine, and twist what it wants done.

use hearken_scheduler::{Action, Event, ServeOutcome};
use hearken_wire::{Frame, Ihave, Salt, ShortDigest, ShortFingerprint, Summary, Window};

use super::{
    SimError,
    driver::Worked,
    measure::Kind,
    sim::{GROUP, Incident, Sim},
};
use crate::{
    net::{Nanos, NodeId, SECOND, nanos},
    scenario::Hostile,
};

/// A forger announces so often: what a whole network of honest nodes does in an interval, each of them does in a minute.
const FORGES_EVERY: Nanos = 5 * SECOND;
/// No frame: its length is more than any may have.
const GARBAGE: [u8; 32] = [0xff; 32];

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
            (
                Hostile::Silent,
                Action::Send { frame: Frame::Answer(_) | Frame::Refusal(_) | Frame::Done { .. }, .. },
            ) => Ok(None),
            (Hostile::Garbage, Action::Send { to, frame: Frame::Answer(_) }) => {
                self.put_foreign(node, to, Kind::Answer, GARBAGE.to_vec());
                Ok(None)
            }
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
        if !state.up {
            return Ok(());
        }
        let to = state.unix(self.now).saturating_sub(nanos(state.config.settle_delay));
        let grid = nanos(state.config.horizon_grid);
        let to = to - to % grid;
        let window = Window { from: to.saturating_sub(nanos(state.group.window)), to };
        let root = ShortFingerprint {
            digest: ShortDigest(self.other_dice.next().to_be_bytes()),
            count: self.ledger.len() as u64 + 1 + self.other_dice.below(1_000),
        };
        let salt = Salt(self.other_dice.next());
        let ihave = Ihave { group: GROUP, window, salt, root, summary: Summary::default() };
        let bytes = ihave.encode()?.len() as u64;
        self.gossip_announcement(node, ihave, bytes);
        self.queue.push(self.now + FORGES_EVERY, (node, Incident::Forge));
        Ok(())
    }
}
