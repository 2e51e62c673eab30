use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Which node holds which messages of the history before it goes online.
pub(super) struct Plan {
    /// By node, then by message in the order of the trace.
    holds: Vec<Vec<bool>>,
}

/// What a node lacks beside its random share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing.
    Holes,
    /// The newest 30 %.
    Behind,
    /// Everything.
    Empty,
}

impl Plan {
    /// Every node lacks a random share of `loss`; the last one has nothing; the last but one, of three or more, also lacks the
    /// newest 30 %. What nobody would hold, the first node does.
    pub(super) fn new(messages: usize, nodes: usize, loss: f64, seed: u64) -> Plan {
        let newest = messages - messages * 3 / 10;
        let mut holds: Vec<Vec<bool>> = Vec::with_capacity(nodes);
        for node in 0..nodes {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(node as u64 + 1);
            let role = Role::of(node, nodes);
            let held = |message| {
                let lost = rng.random_bool(loss);
                role != Role::Empty && !lost && (role != Role::Behind || message < newest)
            };
            holds.push((0..messages).map(held).collect());
        }
        for message in 0..messages {
            let nobody = !holds.iter().any(|held| held.get(message) == Some(&true));
            if let Some(first) = holds.first_mut().and_then(|held| held.get_mut(message)) {
                *first |= nobody;
            }
        }
        Plan { holds }
    }

    pub(super) fn holds(&self, node: usize, message: usize) -> bool {
        self.holds.get(node).and_then(|held| held.get(message)).copied().unwrap_or_default()
    }

    /// How many messages a node holds.
    pub(super) fn count(&self, node: usize) -> usize {
        self.holds.get(node).map_or(0, |held| held.iter().filter(|held| **held).count())
    }
}

impl Role {
    pub(super) fn of(node: usize, nodes: usize) -> Role {
        match nodes - node {
            1 => Role::Empty,
            2 if nodes > 2 => Role::Behind,
            _ => Role::Holes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_lack_what_they_should() {
        let plan = Plan::new(10_000, 5, 0.05, 1);
        for node in 0..3 {
            assert!((9_400..9_600).contains(&plan.count(node)), "{}", plan.count(node));
        }
        assert!((6_550..6_750).contains(&plan.count(3)), "{}", plan.count(3));
        assert!((7_000..10_000).all(|message| !plan.holds(3, message)));
        assert_eq!(plan.count(4), 0);
        let both = (0..10_000).filter(|message| !plan.holds(0, *message) && !plan.holds(1, *message)).count();
        assert!(both < 60, "two nodes lack {both} of the same messages");
    }

    #[test]
    fn somebody_holds_every_message() {
        for (nodes, loss) in [(2, 0.05), (3, 0.9), (5, 1.0)] {
            let plan = Plan::new(1_000, nodes, loss, 3);
            assert!((0..1_000).all(|message| (0..nodes).any(|node| plan.holds(node, message))));
            assert_eq!(plan.count(nodes - 1), 0);
        }
    }

    #[test]
    fn a_seed_makes_the_same_plan() {
        let [one, same, other] = [1, 1, 2].map(|seed| Plan::new(1_000, 5, 0.05, seed).holds);
        assert_eq!(one, same);
        assert_ne!(one, other);
    }
}
