//! Connections: who can reach whom, how far away, and in what order things arrive.

use super::{Nanos, NodeId, dice::Dice, node_id, real, regions, whole};
use crate::scenario::{LatencyModel, Network};

/// Topics that gossip runs on: messages, and IHAVEs.
pub(crate) const TOPICS: usize = 2;

/// One end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// Who is at the other end.
    pub(crate) peer: NodeId,
    /// One way.
    pub(crate) latency: Nanos,
    /// What is sent arrives. Down while an end is down or a partition lies between.
    pub(crate) up: bool,
    /// Both ends know of the connection. A partition goes unnoticed for a while.
    pub(crate) attached: bool,
    /// Counts how often it went up or down: what was on its way before is lost.
    pub(crate) epoch: u32,
    /// When the last frame arrives: a stream keeps its order.
    pub(crate) last: Nanos,
    /// In the gossip mesh of each topic.
    pub(crate) mesh: [bool; TOPICS],
}

/// All connections, by node and sorted by peer.
pub(crate) struct Links {
    of: Vec<Vec<Link>>,
}

impl Links {
    /// Both ends of all `edges`, down.
    pub(crate) fn new(
        network: &Network,
        edges: impl IntoIterator<Item = (NodeId, NodeId)>,
        region: &[usize],
        dice: &mut Dice,
    ) -> Links {
        let mut of = vec![Vec::new(); network.nodes];
        for (a, b) in edges {
            let latency = latency(network, region[a as usize], region[b as usize], dice);
            for (from, to) in [(a, b), (b, a)] {
                let mesh = [false; TOPICS];
                let link = Link { peer: to, latency, up: false, attached: false, epoch: 0, last: 0, mesh };
                of[from as usize].push(link);
            }
        }
        of.iter_mut().for_each(|links: &mut Vec<Link>| links.sort_unstable_by_key(|link| link.peer));
        Links { of }
    }

    pub(crate) fn of(&self, node: NodeId) -> &[Link] {
        &self.of[node as usize]
    }

    pub(crate) fn of_mut(&mut self, node: NodeId) -> &mut [Link] {
        &mut self.of[node as usize]
    }

    /// This end of the connection between two nodes.
    pub(crate) fn get(&self, from: NodeId, to: NodeId) -> Option<&Link> {
        let links = &self.of[from as usize];
        links.binary_search_by_key(&to, |link| link.peer).ok().map(|at| &links[at])
    }

    pub(crate) fn get_mut(&mut self, from: NodeId, to: NodeId) -> Option<&mut Link> {
        let links = &mut self.of[from as usize];
        links.binary_search_by_key(&to, |link| link.peer).ok().map(|at| &mut links[at])
    }

    /// Changes both ends.
    pub(crate) fn both(&mut self, a: NodeId, b: NodeId, change: impl Fn(&mut Link)) {
        for (from, to) in [(a, b), (b, a)] {
            if let Some(link) = self.get_mut(from, to) {
                change(link);
            }
        }
    }

    /// Every connection once, by its two ends.
    pub(crate) fn pairs(&self) -> Vec<(NodeId, NodeId)> {
        let ends = self.of.iter().enumerate().flat_map(|(from, links)| {
            let from = node_id(from);
            links.iter().filter(move |link| from < link.peer).map(move |link| (from, link.peer))
        });
        ends.collect()
    }
}

/// One way between two nodes, fixed for the run.
fn latency(network: &Network, from: usize, to: usize, dice: &mut Dice) -> Nanos {
    let (mean, spread) = (super::nanos(network.latency), super::nanos(network.latency_spread));
    match network.latency_model {
        LatencyModel::Constant => mean,
        LatencyModel::Uniform => mean.saturating_sub(spread) + dice.below(spread.saturating_mul(2).max(1)),
        // A tenth of the mean at least: nothing arrives before it was sent.
        LatencyModel::Normal => whole(real(mean) + dice.normal() * real(spread)).max(mean / 10),
        LatencyModel::Regions if network.round_trips_ms.is_empty() => one_way(regions::ROUND_TRIPS_MS[from][to]),
        LatencyModel::Regions => one_way(network.round_trips_ms[from][to]),
    }
}

fn one_way(round_trip_ms: f64) -> Nanos {
    whole(round_trip_ms * 0.5e6)
}
