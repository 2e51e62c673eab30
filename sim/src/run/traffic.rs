//! Who publishes what, and when.

use hearken_tree::{Id, Key};

use super::{
    SimError,
    sim::{GROUP, Incident, Sim},
};
use crate::net::{Nanos, NodeId, SECOND, nanos, real, whole};

impl Sim<'_> {
    pub(crate) fn message_size(&mut self) -> u32 {
        let traffic = &self.scenario.traffic;
        let (from, to) = (traffic.size.0, traffic.size_max.unwrap_or(traffic.size).0);
        let size = from + self.traffic_dice.below(to - from + 1);
        u32::try_from(size.max(1)).unwrap_or(u32::MAX)
    }

    /// The next publication after `from`: exponential gaps, so that messages come as from many independent users.
    pub(crate) fn schedule_publish(&mut self, from: Nanos) {
        let traffic = &self.scenario.traffic;
        if traffic.rate > 0.0 && !self.publishers.is_empty() {
            let mean = real(u64::from(traffic.burst)) / traffic.rate;
            let at = from + whole(self.traffic_dice.exponential() * mean * real(SECOND));
            if at < nanos(self.scenario.traffic_until()) {
                self.queue.push(at, (0, Incident::Publish));
            }
        }
    }

    pub(crate) fn on_publish(&mut self) -> Result<(), SimError> {
        let publisher = self.publishers[self.traffic_dice.index(self.publishers.len())];
        for _ in 0..self.scenario.traffic.burst {
            self.publish(publisher)?;
        }
        self.schedule_publish(self.now);
        Ok(())
    }

    /// Many at once, from everyone in turn.
    pub(crate) fn burst(&mut self, event: usize) -> Result<(), SimError> {
        let befallen = &self.befalls[event];
        let publishers = if befallen.is_empty() { self.publishers.clone() } else { befallen.clone() };
        let messages = self.scenario.events[event].messages.unwrap_or(0);
        for (_, publisher) in (0..messages).zip(publishers.iter().cycle()) {
            self.publish(*publisher)?;
        }
        Ok(())
    }

    fn publish(&mut self, publisher: NodeId) -> Result<(), SimError> {
        if !self.nodes[publisher as usize].up {
            return Ok(());
        }
        let key = Key::new(self.nodes[publisher as usize].unix(self.now), Id(self.traffic_dice.id()));
        let size = self.message_size();
        let message = self.ledger.publish(key, size, self.now);
        self.trace.record(self.now, publisher, "publish", u64::from(message), u64::from(size));
        self.hold_own(publisher, message);
        self.gossip_message(publisher, message);
        self.feed(publisher, hearken_scheduler::Event::Live(GROUP))
    }
}
