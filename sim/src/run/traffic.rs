//! Publishing.

use hearken_tree::Key;

use super::{
    SimError,
    plan::Next,
    sim::{GROUP, Incident, Sim},
};
use crate::net::NodeId;

impl Sim<'_> {
    pub(crate) fn on_publish(&mut self, next: Next) -> Result<(), SimError> {
        let (publisher, sizes) = self.traffic.now(next);
        for size in sizes {
            self.publish(publisher, size)?;
        }
        if let Some((at, next)) = self.traffic.after(self.now, next) {
            self.queue.push(at, (0, Incident::Publish(next)));
        }
        Ok(())
    }

    /// Many at once, from everyone in turn.
    pub(crate) fn burst(&mut self, event: usize) -> Result<(), SimError> {
        let befallen = &self.befalls[event];
        let publishers = if befallen.is_empty() { self.traffic.publishers.clone() } else { befallen.clone() };
        let messages = self.scenario.events[event].messages.unwrap_or(0);
        for (_, publisher) in (0..messages).zip(publishers.iter().cycle()) {
            let size = self.traffic.size();
            self.publish(*publisher, size)?;
        }
        Ok(())
    }

    fn publish(&mut self, publisher: NodeId, size: u32) -> Result<(), SimError> {
        // What is dated a day ahead nobody takes.
        let state = &self.nodes[publisher as usize];
        if !state.up || state.hostile == Some(crate::scenario::Hostile::Future) {
            return Ok(());
        }
        let key = Key::new(self.nodes[publisher as usize].unix(self.now), self.new_id(publisher));
        let message = self.ledger.publish(key, size, self.now);
        self.trace.record(self.now, publisher, "publish", u64::from(message), u64::from(size));
        self.hold_own(publisher, message);
        self.gossip_message(publisher, message);
        self.feed(publisher, hearken_scheduler::Event::Live(GROUP))
    }
}
