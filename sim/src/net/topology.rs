//! Who knows whom.

use std::collections::BTreeSet;

use super::{NodeId, dice::Dice, node_id};
use crate::scenario::Topology;

/// The pairs of nodes that are connected, each once, sorted.
pub(crate) fn edges(nodes: usize, topology: Topology, degree: usize, dice: &mut Dice) -> BTreeSet<(NodeId, NodeId)> {
    let mut edges = BTreeSet::new();
    match topology {
        Topology::Chain => path(&order(nodes), false, &mut edges),
        Topology::Ring => path(&order(nodes), true, &mut edges),
        Topology::Random if degree + 1 < nodes => random(nodes, degree, dice, &mut edges),
        Topology::Full | Topology::Random => {
            for a in 0..nodes {
                edges.extend((a + 1..nodes).map(|b| (node_id(a), node_id(b))));
            }
        }
    }
    edges
}

/// Rings over all nodes in random orders: connected, of even degree, and as good at spreading as a random graph.
fn random(nodes: usize, degree: usize, dice: &mut Dice, edges: &mut BTreeSet<(NodeId, NodeId)>) {
    let mut order = order(nodes);
    for _ in 0..(degree / 2).max(1) {
        dice.shuffle(&mut order);
        path(&order, true, edges);
    }
    if degree % 2 == 1 && degree > 1 {
        dice.shuffle(&mut order);
        edges.extend(order.chunks_exact(2).map(|pair| sorted(pair[0], pair[1])));
    }
}

fn order(nodes: usize) -> Vec<NodeId> {
    (0..nodes).map(node_id).collect()
}

fn path(order: &[NodeId], closed: bool, edges: &mut BTreeSet<(NodeId, NodeId)>) {
    edges.extend(order.windows(2).map(|pair| sorted(pair[0], pair[1])));
    if let (true, [first, .., last]) = (closed, order) {
        edges.insert(sorted(*first, *last));
    }
}

fn sorted(a: NodeId, b: NodeId) -> (NodeId, NodeId) {
    (a.min(b), a.max(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_are_as_asked() {
        let mut dice = Dice::new(3);
        assert_eq!(edges(8, Topology::Chain, 0, &mut dice).len(), 7);
        assert_eq!(edges(8, Topology::Ring, 0, &mut dice).len(), 8);
        assert_eq!(edges(8, Topology::Full, 0, &mut dice).len(), 28);
        assert_eq!(edges(8, Topology::Random, 20, &mut dice).len(), 28);
        for degree in [2, 5, 8] {
            let edges = edges(1_000, Topology::Random, degree, &mut dice);
            let average = 2.0 * crate::net::real(edges.len() as u64) / 1_000.0;
            let wanted = crate::net::real(degree as u64);
            assert!(average > wanted * 0.97 && average <= wanted, "{average} for {degree}");
        }
    }
}
