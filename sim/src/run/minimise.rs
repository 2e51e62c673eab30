//! Makes a scenario that fails as small as it will go while it fails.

use crate::scenario::{LatencyModel, Nodes, Scenario, Size};

/// Runs at most: what is left then is small enough.
const RUNS: usize = 300;

/// The smallest scenario found for which `fails` still holds, as it does for `scenario`.
pub fn minimise(scenario: &Scenario, fails: impl Fn(&Scenario) -> bool) -> Scenario {
    let (mut best, mut runs) = (scenario.clone(), 0);
    loop {
        let mut smaller = None;
        for candidate in candidates(&best) {
            runs += 1;
            if runs > RUNS {
                return best;
            }
            if fails(&candidate) {
                smaller = Some(candidate);
                break;
            }
        }
        match smaller {
            Some(smaller) => best = smaller,
            None => return best,
        }
    }
}

/// Each a little smaller or simpler, those that leave out most first; only such as can be run.
fn candidates(scenario: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut Scenario) -> bool| {
        let mut candidate = scenario.clone();
        if change(&mut candidate) {
            all.push(candidate);
        }
    };
    add(&|s| !std::mem::take(&mut s.events).is_empty());
    add(&|s| !std::mem::take(&mut s.nodes).is_empty());
    for index in 0..scenario.events.len() {
        add(&|s| {
            s.events.remove(index);
            !s.events.is_empty()
        });
    }
    for index in 0..scenario.nodes.len() {
        add(&|s| {
            s.nodes.remove(index);
            !s.nodes.is_empty()
        });
    }
    add(&|s| halve_nodes(s));
    add(&|s| std::mem::take(&mut s.traffic.stored) > 0);
    add(&|s| {
        s.traffic.stored /= 2;
        s.traffic.stored > 0
    });
    add(&|s| std::mem::take(&mut s.traffic.rate) > 0.0);
    add(&|s| {
        s.traffic.rate = (s.traffic.rate * 50.0).round() / 100.0;
        s.traffic.rate > 0.04
    });
    add(&|s| std::mem::take(&mut s.gossipsub.delivery_loss) > 0.0);
    add(&|s| std::mem::take(&mut s.network.loss) > 0.0);
    add(&|s| !std::mem::take(&mut s.network.jitter).is_zero());
    add(&|s| std::mem::replace(&mut s.network.upload, Size(0)) != Size(0));
    add(&|s| std::mem::replace(&mut s.network.latency_model, LatencyModel::Constant) != LatencyModel::Constant);
    add(&|s| s.traffic.size_max.take().is_some());
    add(&|s| std::mem::replace(&mut s.traffic.burst, 1) > 1);
    all.retain(Scenario::is_possible);
    all
}

/// Time is left as it is: in less of it even a sound network does not become whole.
fn halve_nodes(scenario: &mut Scenario) -> bool {
    let half = scenario.network.nodes / 2;
    let cut = |nodes: &mut Nodes| {
        if let Nodes::Range(from, to) = nodes {
            let half = u32::try_from(half).unwrap_or(u32::MAX);
            (*from, *to) = (*from / 2, (*to / 2).clamp(*from / 2 + 1, half.max(1)));
        }
    };
    scenario.network.nodes = half;
    scenario.nodes.iter_mut().for_each(|some| cut(&mut some.nodes));
    for event in &mut scenario.events {
        event.nodes.iter_mut().chain(&mut event.parts).for_each(cut);
    }
    half >= 2
}
