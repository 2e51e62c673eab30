//! The driver's gossip: IHAVEs out and in.

use std::sync::atomic::Ordering::Relaxed;

use hearken_scheduler::{Event, GossipId, GossipVerdict};
use hearken_wire::Ihave;
use libp2p::PeerId;
use libp2p::gossipsub::{MessageAcceptance, MessageId};

use crate::Command;
use crate::driver::Driver;
use crate::inbox::Gossiped;

/// IHAVEs that wait for the engine's verdict at most.
const UNJUDGED: usize = 1024;

impl Driver {
    pub(crate) fn announce(&mut self, ihave: &Ihave) {
        let Some(topic) = self.parts.topics.get(&ihave.group).cloned() else { return };
        match ihave.encode() {
            Ok(data) => self.command(Command::Publish { topic, data }),
            Err(error) => tracing::error!(group = %ihave.group, %error, "an IHAVE cannot be encoded"),
        }
    }

    /// Gives an IHAVE to the engine. What is no IHAVE is nobody's to forward.
    pub(crate) fn hear(&mut self, gossiped: Gossiped) {
        self.parts.streams.counters.heard.fetch_add(1, Relaxed);
        let ihave = match Ihave::decode(&gossiped.data) {
            Ok(ihave) => ihave,
            Err(error) => {
                tracing::debug!(source = %gossiped.source, %error, "what came on a control topic is no IHAVE");
                return self.verdict(gossiped.source, gossiped.id, MessageAcceptance::Reject);
            }
        };
        let (id, from) = (GossipId(self.gossip_ids), gossiped.source);
        self.gossip_ids += 1;
        if self.parts.validates {
            self.unjudged.insert(id, (gossiped.source, gossiped.id));
            if self.unjudged.len() > UNJUDGED {
                // Not judged for so long, gossipsub has forgotten it.
                self.unjudged.pop_first();
            }
        }
        self.handle(Event::Gossip { from, id, ihave });
    }

    pub(crate) fn judge(&mut self, id: GossipId, verdict: GossipVerdict) {
        let Some((source, id)) = self.unjudged.remove(&id) else { return };
        let acceptance = match verdict {
            GossipVerdict::Accept => MessageAcceptance::Accept,
            GossipVerdict::Ignore => MessageAcceptance::Ignore,
            GossipVerdict::Reject => MessageAcceptance::Reject,
        };
        self.verdict(source, id, acceptance);
    }

    /// A gossipsub that forwards at once must not be told: it would forward a second time.
    fn verdict(&self, source: PeerId, id: MessageId, acceptance: MessageAcceptance) {
        if self.parts.validates {
            self.command(Command::Report { id, source, acceptance });
        }
    }

    /// Hands a command to the host, unless too many wait.
    pub(crate) fn command(&self, command: Command) {
        if self.parts.commands.try_send(command).is_err() {
            self.parts.streams.counters.dropped();
        }
    }
}
