//! Carries out what baselines want done.

use bytes::Bytes;
use hearken_scheduler::{Admitted, Event};
use hearken_tree::Key;
use hearken_wire::RequestId;

use super::{Baseline, Host, Out};
use crate::{
    net::NodeId,
    run::{
        SimError,
        measure::Kind,
        node::Stream,
        sim::{Incident, Sim},
    },
};

/// On the wire, what a frame of Hearken's has around its content: a length of two or three bytes.
const PREFIX: u64 = 3;

impl Sim<'_> {
    /// Something happened to a node that a baseline keeps equal.
    pub(crate) fn feed_baseline(&mut self, node: NodeId, event: &Event<NodeId>) -> Result<(), SimError> {
        let Some(mut baseline) = self.nodes[node as usize].baseline.take() else { return Ok(()) };
        let done = match event {
            Event::Connected(peer) => {
                baseline.connected(*peer);
                Ok(())
            }
            Event::Disconnected(peer) => {
                baseline.disconnected(*peer);
                Ok(())
            }
            Event::Wake if baseline.deadline() <= self.now => {
                self.with_host(node, |host| baseline.wake(host)).and_then(|out| self.carry_out_for(node, out))
            }
            _ => Ok(()),
        };
        self.wake_baseline(node, baseline);
        done
    }

    /// A message of a baseline arrives.
    pub(crate) fn on_foreign(&mut self, node: NodeId, from: NodeId, epoch: u32, body: &[u8]) -> Result<(), SimError> {
        let open = self.links.get(node, from).is_some_and(|link| link.epoch == epoch && link.up);
        let Some(mut baseline) = self.nodes[node as usize].baseline.take_if(|_| open) else { return Ok(()) };
        let out = self.with_host(node, |host| baseline.receive(from, body, host));
        self.wake_baseline(node, baseline);
        out.and_then(|out| self.carry_out_for(node, out))
    }

    fn wake_baseline(&mut self, node: NodeId, baseline: Box<dyn Baseline>) {
        self.schedule_wake(node, baseline.deadline());
        self.nodes[node as usize].baseline = Some(baseline);
    }

    fn with_host(&mut self, node: NodeId, work: impl FnOnce(&mut Host<'_>)) -> Result<Vec<Out>, SimError> {
        let state = &mut self.nodes[node as usize];
        let retained = state.retained(self.now);
        let view = state.store.view(&self.ledger, &mut self.sets, retained)?;
        let unix = state.unix(self.now);
        let mut host = Host { now: self.now, unix, dice: &mut self.other_dice, view, out: Vec::new() };
        work(&mut host);
        Ok(host.out)
    }

    fn carry_out_for(&mut self, node: NodeId, out: Vec<Out>) -> Result<(), SimError> {
        for out in out {
            match out {
                Out::Send { to, kind, body } => self.put_foreign(node, to, kind, body),
                Out::Deliver { to, keys, trips } => self.deliver(node, to, &keys, trips)?,
            }
        }
        Ok(())
    }

    fn deliver(&mut self, node: NodeId, to: NodeId, keys: &[Key], trips: u64) -> Result<(), SimError> {
        self.deliveries += 1;
        let request = RequestId(self.deliveries);
        self.nodes[to as usize].trips.insert(request, trips);
        let kept = keys.iter().filter_map(|key| self.ledger.find(key));
        let messages = kept.filter(|message| !self.refuses(node, *message)).collect();
        self.nodes[node as usize].streams.insert((to, request), Stream { messages, next: 0, bytes: 0 });
        self.pump(node, to, request).map(|_| ())
    }

    /// Messages that a baseline brought.
    pub(crate) fn take_in(&mut self, node: NodeId, request: RequestId, messages: &[Bytes]) {
        let mut outcome = Admitted::default();
        for message in messages {
            self.admit_one(node, message, |_| true, &mut outcome);
        }
        let trips = self.nodes[node as usize].trips.get(&request).copied().unwrap_or(1);
        self.admitted(node, trips, &outcome, messages.len());
    }

    /// Sends what a hostile node makes up, or a baseline says.
    pub(crate) fn put_foreign(&mut self, node: NodeId, to: NodeId, kind: Kind, body: Vec<u8>) {
        let length = body.len() as u64 + PREFIX;
        self.put(node, to, kind, length, |from, epoch| Incident::Foreign { from, epoch, body: Bytes::from(body) });
    }
}
