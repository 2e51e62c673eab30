//! Small forms of the scenarios, and what makes a run worth trusting: the same seed gives the same run.
#![allow(clippy::unwrap_used)]

use std::{io::Write, sync::mpsc};

use hearken_sim::{
    run::{Outcome, minimise::minimise, random::random, simulate},
    scenario::Scenario,
};

fn run(name: &str, settings: &[&str]) -> Outcome {
    let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
    let scenario = Scenario::load(name, &settings).unwrap();
    simulate(&scenario, None, false).unwrap()
}

/// Everything that is expected has to come true.
fn passes(name: &str, settings: &[&str]) -> Outcome {
    let outcome = run(name, settings);
    assert!(outcome.passed, "{name} {settings:?}\n{}", outcome.summary());
    outcome
}

#[test]
fn equal_nodes_announce_once_an_interval() {
    let outcome = passes("equal-1000", &["network.nodes=300", "duration=3m"]);
    assert_eq!((outcome.repaired, outcome.messages), (0, 1_000));
}

#[test]
fn news_travels_along_a_chain() {
    let outcome = passes("chain", &["duration=4m"]);
    assert_eq!(outcome.repaired, 900);
}

#[test]
fn a_partition_heals() {
    let settings = ["network.nodes=30", "event.0.parts=[\"0..15\"]", "event.0.at=1m", "event.0.for=2m", "duration=6m"];
    let outcome = passes("partition", &[&settings[..], &["traffic.until=4m"]].concat());
    assert!(outcome.repaired > 1_000, "{}", outcome.summary());
}

#[test]
fn a_burst_comes_everywhere() {
    passes("burst", &["network.nodes=15", "event.0.messages=400", "expect.repaired_min=100", "duration=5m"]);
}

#[test]
fn what_gossip_loses_is_repaired() {
    let settings =
        ["network.nodes=20", "traffic.rate=5", "traffic.until=2m", "duration=4m", "expect.repaired_min=1000"];
    let outcome = passes("relay-loss", &settings);
    assert!(outcome.redundancy < 1.05, "{}", outcome.summary());
}

#[test]
fn a_late_node_becomes_whole() {
    let outcome = run("late-start", &["network.nodes=31", "event.0.nodes=30", "traffic.size=500", "duration=4m"]);
    assert!(outcome.converged && outcome.recovery_s.max < 10.0, "{}", outcome.summary());
}

#[test]
fn nobody_fetches_what_its_window_does_not_cover() {
    let outcome = passes("windows", &["duration=4m", "traffic.rate=1"]);
    assert!(outcome.repaired > 1_000, "{}", outcome.summary());
}

#[test]
fn refused_messages_are_not_sent_again() {
    let outcome = passes("refusals", &["network.nodes=20", "duration=6m", "node.0.nodes=0..4", "node.0.refuses=0.2"]);
    assert!(outcome.repaired > 50, "{}", outcome.summary());
}

#[test]
fn a_thousand_do_not_ask_one() {
    passes("thousand-gap", &["network.nodes=100", "node.0.nodes=10..100", "duration=3m", "expect.busiest_share=0.1"]);
}

#[test]
fn without_synchronisation_the_lost_stay_lost() {
    let settings = ["protocol=none", "network.nodes=20", "traffic.rate=5", "traffic.until=2m", "duration=4m"];
    let outcome = run("relay-loss", &settings);
    assert!(!outcome.passed && outcome.missing_at_end > 1_000 && outcome.bytes_per_node.max == 0.0);
}

#[test]
fn a_bit_of_everything_ends_equal() {
    (1..=3).for_each(|seed| {
        passes("mixed", &[&format!("seed={seed}")]);
    });
}

/// Crash, partition, burst, loss, regions and jitter: everything that uses chance.
#[test]
fn the_same_seed_gives_the_same_run() {
    let traced = |seed: u64| {
        let (sender, receiver) = mpsc::sync_channel(1);
        let settings = ["network.nodes=20", "duration=12m", "event.0.parts=[\"0..9\"]"].map(str::to_owned);
        let mut scenario = Scenario::load("default", &settings).unwrap();
        scenario.seed = seed;
        let outcome = simulate(&scenario, Some(Box::new(Collected(Vec::new(), sender))), false).unwrap();
        (outcome.trace_hash, receiver.recv().unwrap())
    };
    let (first, again, other) = (traced(5), traced(5), traced(6));
    assert!(first.1.len() > 100_000 && first == again);
    assert_ne!(first.0, other.0);
}

/// A trace that comes back when it is dropped.
struct Collected(Vec<u8>, mpsc::SyncSender<Vec<u8>>);

impl Write for Collected {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Collected {
    fn drop(&mut self) {
        let _ = self.1.send(std::mem::take(&mut self.0));
    }
}

/// Every protocol that is compared, in the same network: what relays lose, they bring.
#[test]
fn what_hearken_is_compared_with_works_too() {
    let settings = ["network.nodes=20", "traffic.rate=2", "traffic.until=2m", "duration=6m", "expect.repaired_min=300"];
    for protocol in ["full_ids", "negentropy", "nwaku"] {
        let protocol = format!("protocol={protocol}");
        let outcome = passes("relay-loss", &[&settings[..], &["baseline.interval=20s", &protocol]].concat());
        assert!(outcome.round_trips.max >= 1.0 && outcome.bytes_per_repair > 40.0, "{}", outcome.summary());
    }
}

/// As nwaku has it, three minutes are not enough for its interval of five.
#[test]
fn nwaku_has_its_own_settings() {
    let scenario = Scenario::load("relay-loss", &["protocol=nwaku".to_owned()]).unwrap();
    let polling = scenario.polling();
    let seconds = [polling.interval, polling.window, polling.settle_delay].map(|time| time.as_secs());
    assert_eq!((seconds, polling.partitions, polling.threshold), ([300, 3_600, 20], 8, 100));
    let scenario = Scenario::load("relay-loss", &["baseline.threshold=10".to_owned()]).unwrap();
    assert_eq!((scenario.polling().interval.as_secs(), scenario.polling().threshold), (30, 10));
}

#[test]
fn a_full_disk_takes_nothing_and_gets_it_later() {
    let outcome = passes("operations", &["network.nodes=30", "traffic.rate=2", "expect.repaired_min=300"]);
    assert!(outcome.lost_in_crashes > 0 && outcome.recovery_s.max > 0.0, "{}", outcome.summary());
}

/// Hostile nodes are muted by those that they harm; nobody else is.
#[test]
fn a_hostile_fifth_is_muted() {
    let settings = ["network.nodes=40", "node.0.nodes=0..8", "traffic.publishers=8..40", "expect.repaired_min=200"];
    let outcome = passes("hostile-fifth", &settings);
    assert!(outcome.offences > 0 && outcome.muted_hostile > 0, "{}", outcome.summary());
}

/// Who withholds also asks, and shows by its sketches what it really holds: that does not clear it.
#[test]
fn who_withholds_is_muted_within_three_intervals_and_costs_nobody_an_interval() {
    let settings = [
        "network.nodes=100",
        "node.1.nodes=0..20",
        "node.1.hostile=[\"withholder\"]",
        "traffic.until=5m",
        "expect.repaired_min=1000",
    ];
    for seed in 1..=3 {
        let outcome = passes("hostile-200", &[&settings[..], &[&format!("seed={seed}")]].concat());
        let (lies, recovery) = (&outcome.lies, outcome.recovery_s);
        assert!(lies.lied_to > 100 && lies.muted_after_s.max <= 90.0, "seed {seed}: {lies:?}");
        assert!(recovery.max <= 10.0, "seed {seed}: {recovery:?}");
    }
}

#[test]
fn random_scenarios_end_equal() {
    for seed in 1..=12 {
        let outcome = simulate(&random(seed), None, false).unwrap();
        assert!(outcome.passed, "seed {seed}\n{}", outcome.summary());
    }
}

/// What cannot come true fails whatever is left out: then nearly everything is.
#[test]
fn what_fails_is_made_small() {
    let mut scenario = Scenario::load("mixed", &["network.nodes=12".to_owned()]).unwrap();
    let fails = |scenario: &Scenario| !simulate(scenario, None, false).unwrap().completeness_cdf.is_empty();
    scenario.traffic.rate = 0.5;
    let least = minimise(&scenario, fails);
    assert!(
        fails(&least) && least.network.nodes <= 3 && least.events.is_empty() && least.nodes.is_empty(),
        "{least:?}"
    );
}
