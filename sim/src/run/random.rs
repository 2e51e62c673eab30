//! A scenario made up from a seed: whatever it is, all stores must end equal, and nobody honest may be muted.

use std::time::Duration;

use hearken_scheduler::Config;

use crate::{
    net::dice::Dice,
    scenario::{
        Archive, EventKind, Expect, Gossipsub, Hostile, LatencyModel, Network, NodeSettings, Nodes, Scenario, Signed,
        Size, TimedEvent, Topology, Traffic,
    },
};

/// The scenario of this seed.
pub fn random(seed: u64) -> Scenario {
    let mut dice = Dice::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x5eed);
    let nodes = 4 + dice.index(36);
    let sync = sync(&mut dice);
    let network = network(&mut dice, nodes);
    let events = events(&mut dice, nodes);
    let last = events.iter().map(|event| event.at + event.lasts.unwrap_or_default()).max().unwrap_or_default();
    let until = last.max(Duration::from_secs(120)) + Duration::from_secs(30);
    // What came last settles, and whoever lacks it hears of that: announcements may be suppressed for an interval or two. On a
    // long way each hop takes another two, for a neighbour asked at random is the right one half of the time.
    let hops = if network.topology == Topology::Random { 4 } else { 6 + u32::try_from(nodes).unwrap_or(20) };
    let rest = sync.settle_delay + sync.horizon_grid + sync.interval_max * hops;
    let hostile = network.topology == Topology::Random && network.degree >= 8 && nodes >= 20 && dice.chance(0.3);
    Scenario {
        title: format!("Random scenario {seed}"),
        description: "Made up from its seed.".to_owned(),
        seed,
        duration: until + rest,
        gossipsub: Gossipsub { delivery_loss: some(&mut dice, 0.2), ..Gossipsub::default() },
        traffic: traffic(&mut dice, until),
        nodes: tables(&mut dice, hostile, network.topology),
        network,
        sync,
        events,
        expect: Expect { muted: Some(0), ..Expect::default() },
        ..Scenario::default()
    }
}

/// Nothing, as often as not; else up to `most`.
fn some(dice: &mut Dice, most: f64) -> f64 {
    if dice.chance(0.5) { 0.0 } else { (dice.unit() * most * 1e3).round() / 1e3 }
}

fn pick<T: Copy>(dice: &mut Dice, items: &[T]) -> T {
    items[dice.index(items.len())]
}

fn seconds(dice: &mut Dice, from: u64, to: u64) -> Duration {
    Duration::from_secs(from + dice.below(to - from))
}

fn sync(dice: &mut Dice) -> Config {
    let interval_min = Duration::from_secs(pick(dice, &[10, 20, 30]));
    Config {
        interval_min,
        interval_max: interval_min * pick(dice, &[1, 2, 4]),
        settle_delay: Duration::from_secs(pick(dice, &[10, 20, 30])),
        horizon_grid: Duration::from_secs(pick(dice, &[5, 10])),
        network_size: pick(dice, &[30, 1_000, 10_000]),
        ..Config::default()
    }
}

fn network(dice: &mut Dice, nodes: usize) -> Network {
    let small = [Topology::Random, Topology::Ring, Topology::Full, Topology::Chain];
    Network {
        nodes,
        topology: if nodes <= 12 { pick(dice, &small) } else { Topology::Random },
        degree: 4 + dice.index(6),
        latency_model: pick(dice, &[LatencyModel::Constant, LatencyModel::Uniform, LatencyModel::Regions]),
        latency: Duration::from_millis(5 + dice.below(150)),
        latency_spread: Duration::from_millis(dice.below(5)),
        jitter: Duration::from_millis(dice.below(20)),
        upload: Size(pick(dice, &[0, 500_000, 5_000_000])),
        loss: some(dice, 0.05),
        ..Network::default()
    }
}

fn traffic(dice: &mut Dice, until: Duration) -> Traffic {
    let size = 50 + dice.below(2_000);
    Traffic {
        rate: pick(dice, &[0.2, 1.0, 3.0]),
        burst: pick(dice, &[1, 1, 5]),
        size: Size(size),
        size_max: Some(Size(size + dice.below(8_000))),
        until: Some(until),
        stored: dice.below(800),
        stored_over: seconds(dice, 600, 3_000),
        ..Traffic::default()
    }
}

fn tables(dice: &mut Dice, hostile: bool, topology: Topology) -> Vec<NodeSettings> {
    let mut tables = Vec::new();
    let tenth = || Nodes::Percent(10.0);
    if dice.chance(0.5) {
        tables.push(NodeSettings { nodes: tenth(), missing: Some(some(dice, 1.0)), ..NodeSettings::default() });
    }
    if dice.chance(0.3) {
        tables.push(NodeSettings { nodes: tenth(), gap: Some([0.3, 0.6]), ..NodeSettings::default() });
    }
    if dice.chance(0.4) {
        let by = i64::try_from(dice.below(40)).unwrap_or(0) - 20;
        tables.push(NodeSettings { nodes: tenth(), skew: Some(Signed(by * 1_000_000_000)), ..NodeSettings::default() });
    }
    // What a node refuses it does not pass on either: where there is only one way, nobody behind it can have it.
    if dice.chance(0.3) && matches!(topology, Topology::Random | Topology::Full) {
        tables.push(NodeSettings { nodes: tenth(), refuses: Some(0.05), ..NodeSettings::default() });
    }
    if dice.chance(0.3) {
        let window = Some(Duration::from_secs(1_800));
        tables.push(NodeSettings { nodes: Nodes::Percent(30.0), window, ..NodeSettings::default() });
    }
    if hostile {
        let kinds = vec![Hostile::Silent, Hostile::Empty, Hostile::Garbage, Hostile::Forger];
        tables.push(NodeSettings { nodes: tenth(), hostile: kinds, ..NodeSettings::default() });
    }
    tables
}

fn events(dice: &mut Dice, nodes: usize) -> Vec<TimedEvent> {
    let mut events = Vec::new();
    for _ in 0..dice.below(6) {
        let at = seconds(dice, 20, 300);
        let lasts = Some(seconds(dice, 10, 120));
        let whom = Some(Nodes::Percent(pick(dice, &[5.0, 10.0, 25.0])));
        let kinds = [
            EventKind::Crash,
            EventKind::Crash,
            EventKind::Partition,
            EventKind::Loss,
            EventKind::Skew,
            EventKind::Slow,
            EventKind::Burst,
            EventKind::DiskFull,
            EventKind::Settings,
        ];
        let kind = pick(dice, &kinds);
        let event = TimedEvent { at, kind, ..TimedEvent::default() };
        events.push(match kind {
            EventKind::Crash => {
                let undurable = dice.chance(0.5).then_some(Duration::from_millis(500));
                TimedEvent { nodes: whom, lasts, undurable, archive: Some(Archive::Kept), ..event }
            }
            EventKind::Partition => {
                let half = u32::try_from(nodes / 2).unwrap_or(2);
                TimedEvent { parts: vec![Nodes::Range(0, half)], lasts, ..event }
            }
            EventKind::Loss => TimedEvent { delivery_loss: Some(0.5), loss: Some(0.1), lasts, ..event },
            EventKind::Skew => TimedEvent { nodes: whom, by: Some(Signed(-10_000_000_000)), lasts, ..event },
            EventKind::Slow => {
                let latency = Some(Duration::from_millis(500));
                TimedEvent { nodes: whom, latency, upload: Some(Size(100_000)), lasts, ..event }
            }
            EventKind::Burst => TimedEvent { messages: Some(1 + dice.below(300)), ..event },
            EventKind::DiskFull => TimedEvent { nodes: whom, lasts, ..event },
            _ => {
                let change = toml::Table::from_iter([("redundancy_any".to_owned(), toml::Value::Integer(6))]);
                TimedEvent { nodes: whom, sync: Some(change), ..event }
            }
        });
    }
    events.sort_by_key(|event| event.at);
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a file it is the same scenario: what fails can be handed on.
    #[test]
    fn comes_back_from_its_file() {
        for seed in 0..200 {
            let scenario = random(seed);
            let text = toml::to_string(&scenario).expect("a scenario is TOML");
            let read = Scenario::parse("random.toml", &text, &[]).expect("a sound scenario");
            assert_eq!(toml::to_string(&read).expect("a scenario is TOML"), text, "seed {seed}");
        }
    }
}
