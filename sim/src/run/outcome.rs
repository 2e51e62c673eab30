//! What came of a run: every figure that the terminal, the JSON and the page show.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    facts::{Facts, Lies, NodeFacts},
    ledger::{EPOCH, Ledger},
    measure::{BACKGROUND, KIND_NAMES, KINDS, Kind, Quantiles},
    verdict::Check,
};
use crate::{
    net::{NodeId, nanos, node_id, real, seconds, whole},
    scenario::Protocol,
};

/// Points of a curve that is drawn.
const POINTS: usize = 200;
/// Nodes in the table at most: those that served, or lack, most come first.
const ROWS: usize = 50;

/// What came of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The scenario's title.
    pub title: String,
    /// What kept stores equal: `hearken`, or what it is compared with.
    pub protocol: Protocol,
    /// `virtual`, or `real` where real nodes ran in real time.
    pub mode: &'static str,
    /// Whether everything expected came true.
    pub passed: bool,
    /// Nothing that has settled is missing anywhere at the end.
    pub converged: bool,
    /// Nodes, whether they are up or not.
    pub nodes: usize,
    /// The seed.
    pub seed: u64,
    /// Virtual time simulated, in seconds.
    pub virtual_s: f64,
    /// Messages, those in the stores at the beginning included.
    pub messages: u64,
    /// Copies of settled messages that are missing at the end.
    pub missing_at_end: u64,
    /// Some of them.
    pub missing: Vec<Missing>,
    /// Copies that were missing when they left the window: nothing brings them back.
    pub expired_missing: u64,
    /// Since when nothing that has settled was missing, in seconds; `null` if something is.
    pub converged_at_s: Option<f64>,
    /// The same, since the last event of the scenario.
    pub converged_after_event_s: Option<f64>,
    /// From publication until everyone had it, by message.
    pub completeness_s: Quantiles,
    /// Messages that became complete during the run.
    pub completed: u64,
    /// Within so many seconds 99 % of the messages were everywhere or, where none were published, all nodes whole; `null` if
    /// something is missing.
    pub staleness_s: Option<f64>,
    /// From publication until gossip brought it, by node and message.
    pub live_s: Quantiles,
    /// From publication until synchronisation brought it, by node and message.
    pub repair_s: Quantiles,
    /// Until a node that lacked something, at the start or after a partition, had it, by node.
    pub recovery_s: Quantiles,
    /// Nodes that have not.
    pub recovering_at_end: u64,
    /// Background bytes sent by a node in the whole run, and bytes of all kinds, per node on average.
    pub bytes_per_node: BytesPerNode,
    /// Background bytes sent by a node in a second.
    pub background_bytes_per_s: Quantiles,
    /// IHAVEs in the whole network, by interval.
    pub ihaves_per_interval: PerInterval,
    /// Round trips before a repaired message came, by message.
    pub round_trips: Quantiles,
    /// Messages that synchronisation brought.
    pub repaired: u64,
    /// Bytes of requests and answers for each of them, probes that found nothing excluded.
    pub bytes_per_repair: f64,
    /// Messages received by synchronisation for each one that was new.
    pub redundancy: f64,
    /// Live messages received for each one that was new.
    pub relay_redundancy: f64,
    /// Who served.
    pub providers: Providers,
    /// Refused messages that were brought, and messages from outside a window.
    pub refused: u64,
    /// Messages that came although they were older than the window.
    pub outside_window: u64,
    /// Messages that crashes took because they were not durable yet.
    pub lost_in_crashes: u64,
    /// Copies that nobody who is up has: nothing brings them, so that they do not count as missing.
    pub unreachable: u64,
    /// Offences that nodes saw in others.
    pub offences: u64,
    /// Pairs of honest nodes of which one mutes the other at the end.
    pub muted: u64,
    /// Pairs of an honest and a hostile node of which the first mutes the second at the end.
    pub muted_hostile: u64,
    /// What hostile nodes told whom, and what came of it.
    pub lies: Lies,
    /// Messages sent to a node again that it had refused.
    pub refused_again: u64,
    /// Beside the same network where all behave, if something of that is expected.
    pub beside_honest: Option<BesideHonest>,
    /// Background bytes that an honest node sends in a second on average, and in the last third of a virtual run.
    #[serde(skip)]
    pub(crate) background_mean: [f64; 2],
    /// Wall time.
    pub wall_s: f64,
    /// Simulated events.
    pub events: u64,
    /// Simulated events in a second of wall time.
    pub events_per_s: f64,
    /// Of everything that happened, in order: the same for the same scenario and seed.
    pub trace_hash: String,
    /// What was expected.
    pub checks: Vec<Check>,
    /// Curves over time.
    pub series: Series,
    /// The share of messages (second) that were everywhere within so many seconds (first).
    pub completeness_cdf: Vec<(f64, f64)>,
    /// The share of repairing nodes (second) that were whole within so many seconds (first).
    pub recovery_cdf: Vec<(f64, f64)>,
    /// What happened.
    pub timeline: Vec<Happened>,
    /// The nodes that served or lack most.
    pub node_table: Vec<Row>,
    /// The same scenario with what else it was compared with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub against: Vec<Outcome>,
}

/// Figures as multiples of those of the same network where nobody is hostile and all clocks are right.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BesideHonest {
    /// Until the last node is whole.
    pub recovery: f64,
    /// Background bytes of an honest node.
    pub bytes: f64,
    /// The same in the last third.
    pub late_bytes: f64,
}

/// A message that a node lacks.
#[derive(Clone, Debug, Serialize)]
pub struct Missing {
    /// Who lacks it.
    pub node: NodeId,
    /// How old it is, in seconds.
    pub age_s: f64,
    /// How many nodes have it.
    pub holders: u32,
    /// Its key, as hexadecimal digits.
    pub key: String,
}

/// Bytes sent by a node.
#[derive(Clone, Debug, Serialize)]
pub struct BytesPerNode {
    /// Background bytes.
    pub p50: f64,
    /// Background bytes.
    pub p99: f64,
    /// Background bytes.
    pub max: f64,
    /// Average of all nodes.
    pub by_kind: BTreeMap<&'static str, f64>,
    /// Of honest nodes.
    pub spread_by_kind: BTreeMap<&'static str, Quantiles>,
}

/// Something counted by interval.
#[derive(Clone, Debug, Serialize)]
pub struct PerInterval {
    /// The interval, in seconds.
    pub interval_s: f64,
    /// The least, the first interval left out.
    pub min: u64,
    /// On average, the first interval left out.
    pub mean: f64,
    /// The most, the first interval left out.
    pub max: u64,
    /// Every interval that was over.
    pub counts: Vec<u64>,
    /// In the whole run.
    pub sent: u64,
    /// Left out in the whole run, because others had said the same, or enough.
    pub suppressed: u64,
}

/// Who served.
#[derive(Clone, Debug, Serialize)]
pub struct Providers {
    /// Messages served by all.
    pub served: u64,
    /// Nodes that served.
    pub serving: u64,
    /// The busiest node's share.
    pub busiest_share: f64,
    /// Times that the busiest served as much as the median of those that served.
    pub busiest_over_median: f64,
    /// Messages served by each, the busiest first, thinned out.
    pub curve: Vec<u64>,
}

/// Curves over time, at the same moments.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Series {
    /// Seconds.
    pub at_s: Vec<f64>,
    /// Copies of settled messages that are missing.
    pub missing: Vec<u64>,
    /// Background bytes per node and second, since the moment before.
    pub background: Vec<f64>,
    /// Repaired messages since the moment before.
    pub repaired: Vec<u64>,
}

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
pub struct Happened {
    /// When, in seconds.
    pub at_s: f64,
    /// Until when.
    pub until_s: Option<f64>,
    /// What.
    pub what: String,
}

/// A node.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Which.
    pub node: NodeId,
    /// Whether it is up at the end.
    pub up: bool,
    /// Messages that gossip brought.
    pub live: u64,
    /// Messages that synchronisation brought.
    pub repaired: u64,
    /// Messages sent to others that asked.
    pub served: u64,
    /// IHAVEs of its own.
    pub announced: u64,
    /// Background bytes sent.
    pub background: u64,
    /// All bytes sent.
    pub sent: u64,
}

impl Outcome {
    pub(crate) fn of(facts: &Facts<'_>, wall_s: f64, trace_hash: u64) -> Outcome {
        let virtual_s = seconds(facts.end);
        let count = real(facts.nodes.len() as u64);
        let honest = || facts.nodes.iter().filter(|node| !node.hostile);
        let background = || honest().map(|node| real(node.counters.background()));
        let bytes = Quantiles::of(background());
        let by_kind = (0..KINDS).map(|kind| (KIND_NAMES[kind], real(facts.measure.sent[kind]) / count));
        let spread = |kind: usize| Quantiles::of(honest().map(|node| real(node.counters.sent[kind])));
        let spread_by_kind = (0..KINDS).map(|kind| (KIND_NAMES[kind], spread(kind))).collect();
        let by_kind = by_kind.collect();
        let sum = |get: fn(&NodeFacts<'_>) -> u64| facts.nodes.iter().map(get).sum::<u64>();
        let (repaired, duplicates) = (facts.measure.repaired, sum(|node| node.counters.duplicates));
        let identification = facts.measure.sent[Kind::Request as usize] + facts.measure.sent[Kind::Answer as usize];
        let (first, again) = (sum(|node| node.counters.live[0]), sum(|node| node.counters.live[1]));
        let missing = facts.measure.samples.last().map_or(0, |sample| sample.missing);
        let converged_at = converged_at(facts);
        Outcome {
            title: facts.scenario.title.clone(),
            protocol: facts.scenario.protocol,
            mode: facts.mode,
            passed: false,
            converged: missing == 0,
            nodes: facts.nodes.len(),
            seed: facts.scenario.seed,
            virtual_s,
            messages: facts.ledger.len() as u64,
            missing_at_end: missing,
            missing: if missing > 0 { some_missing(facts) } else { Vec::new() },
            expired_missing: facts.ledger.expired,
            converged_at_s: converged_at,
            converged_after_event_s: converged_at.map(|at| (at - seconds(facts.last_event)).max(0.0)),
            completeness_s: Quantiles::of(facts.ledger.completeness.iter().copied()),
            completed: facts.ledger.completeness.len() as u64,
            staleness_s: staleness(facts, missing),
            live_s: Quantiles::of_times(&facts.measure.live),
            repair_s: Quantiles::of_times(&facts.measure.repair),
            recovery_s: Quantiles::of(facts.measure.recovery.iter().copied()),
            recovering_at_end: facts.nodes.iter().filter(|node| node.recovering).count() as u64,
            bytes_per_node: BytesPerNode { p50: bytes.p50, p99: bytes.p99, max: bytes.max, by_kind, spread_by_kind },
            background_bytes_per_s: Quantiles::of(background().map(|bytes| bytes / virtual_s)),
            ihaves_per_interval: per_interval(facts),
            round_trips: Quantiles::of_numbers(&facts.measure.round_trips),
            repaired,
            bytes_per_repair: if repaired > 0 { real(identification) / real(repaired) } else { 0.0 },
            redundancy: if repaired > 0 { real(repaired + duplicates) / real(repaired) } else { 1.0 },
            relay_redundancy: if first > 0 { real(first + again) / real(first) } else { 1.0 },
            providers: providers(facts),
            refused: sum(|node| node.counters.refused),
            outside_window: sum(|node| node.counters.outside),
            lost_in_crashes: sum(|node| node.counters.lost),
            unreachable: facts.ledger.unreachable,
            offences: sum(|node| node.counters.offences),
            muted: facts.muted,
            muted_hostile: facts.muted_hostile,
            lies: facts.lies.clone(),
            refused_again: sum(|node| node.counters.refused_again),
            beside_honest: None,
            background_mean: background_mean(facts),
            wall_s,
            events: facts.events,
            events_per_s: real(facts.events) / wall_s.max(1e-9),
            trace_hash: format!("{trace_hash:016x}"),
            checks: Vec::new(),
            series: series(facts),
            completeness_cdf: cdf(&facts.ledger.completeness, facts.ledger.len()),
            recovery_cdf: cdf(&facts.measure.recovery, facts.measure.recovery.len()),
            timeline: timeline(facts),
            node_table: rows(facts),
            against: Vec::new(),
        }
    }
}

/// Of honest nodes: in the whole run, and in its last third.
fn background_mean(facts: &Facts<'_>) -> [f64; 2] {
    let honest: Vec<&NodeFacts<'_>> = facts.nodes.iter().filter(|node| !node.hostile).collect();
    let many = real(honest.len().max(1) as u64);
    let all: u64 = honest.iter().map(|node| node.counters.background()).sum();
    let late: u64 = honest.iter().map(|node| node.counters.background() - node.counters.background_before).sum();
    let over = seconds(facts.end);
    [real(all) / many / over, real(late) / many / (over / 3.0)]
}

fn staleness(facts: &Facts<'_>, missing: u64) -> Option<f64> {
    let Ledger { completeness, expired, .. } = facts.ledger;
    let whole = missing == 0 && *expired == 0 && !facts.nodes.iter().any(|node| node.recovering);
    let time = if completeness.is_empty() {
        Quantiles::of(facts.measure.recovery.iter().copied()).max
    } else {
        Quantiles::of(completeness.iter().copied()).p99
    };
    whole.then_some(time)
}

/// What is missing, for those who look into it.
fn some_missing(facts: &Facts<'_>) -> Vec<Missing> {
    let settle = nanos(facts.scenario.sync.settle_delay + facts.scenario.sync.horizon_grid);
    let settled = facts.ledger.published_before(facts.end.saturating_sub(settle));
    let nodes = facts.nodes.iter().enumerate().filter(|(_, node)| node.up && !node.hostile);
    let missing = nodes.flat_map(|(index, node)| {
        let lacks = facts.ledger.incomplete(node.class).take_while(move |message| *message < settled);
        lacks.filter(|message| !node.holds.contains(*message)).map(move |message| {
            let key = facts.ledger.key(message);
            Missing {
                node: node_id(index),
                age_s: seconds((EPOCH + facts.end).saturating_sub(key.timestamp())),
                holders: facts.ledger.holders(message),
                key: key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect(),
            }
        })
    });
    missing.take(ROWS).collect()
}

/// Since when nothing was missing.
fn converged_at(facts: &Facts<'_>) -> Option<f64> {
    let samples = &facts.measure.samples;
    let last_missing = samples.iter().rposition(|sample| sample.missing > 0);
    match last_missing {
        None => Some(0.0),
        Some(at) => samples.get(at + 1).map(|sample| seconds(sample.at)),
    }
}

fn per_interval(facts: &Facts<'_>) -> PerInterval {
    let interval = nanos(facts.scenario.sync.interval_min);
    let over = usize::try_from(facts.end / interval).unwrap_or(0);
    let mut counts = vec![0; over];
    for at in &facts.measure.announced {
        if let Some(count) = usize::try_from(at / interval).ok().and_then(|interval| counts.get_mut(interval)) {
            *count += 1;
        }
    }
    let later = counts.get(1..).unwrap_or(&[]);
    let sum: u64 = later.iter().sum();
    PerInterval {
        interval_s: seconds(interval),
        min: later.iter().min().copied().unwrap_or(0),
        mean: real(sum) / real(later.len().max(1) as u64),
        max: later.iter().max().copied().unwrap_or(0),
        counts,
        sent: facts.measure.announced.len() as u64,
        suppressed: facts.nodes.iter().map(|node| node.counters.suppressed).sum(),
    }
}

fn providers(facts: &Facts<'_>) -> Providers {
    let served = facts.nodes.iter().map(|node| node.counters.served);
    let mut served: Vec<u64> = served.filter(|served| *served > 0).collect();
    served.sort_unstable_by(|a, b| b.cmp(a));
    let all: u64 = served.iter().sum();
    let busiest = served.first().copied().unwrap_or(0);
    let median = served.get(served.len() / 2).copied().unwrap_or(0);
    let every = served.len().div_ceil(POINTS).max(1);
    Providers {
        served: all,
        serving: served.len() as u64,
        busiest_share: real(busiest) / real(all.max(1)),
        busiest_over_median: real(busiest) / real(median.max(1)),
        curve: served.into_iter().step_by(every).collect(),
    }
}

fn series(facts: &Facts<'_>) -> Series {
    let mut series = Series::default();
    let nodes = real(facts.nodes.len() as u64);
    let mut before = super::measure::Sample::default();
    for sample in &facts.measure.samples {
        let background = |sent: &[u64; KINDS]| BACKGROUND.iter().map(|kind| sent[*kind as usize]).sum::<u64>();
        let elapsed = seconds(sample.at - before.at);
        let sent = real(background(&sample.sent) - background(&before.sent));
        series.at_s.push(seconds(sample.at));
        series.missing.push(sample.missing);
        series.background.push(if elapsed > 0.0 { sent / nodes / elapsed } else { 0.0 });
        series.repaired.push(sample.repaired - before.repaired);
        before = *sample;
    }
    series
}

/// At `POINTS` ranks at most.
fn cdf(values: &[f64], of: usize) -> Vec<(f64, f64)> {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    let every = values.len().div_ceil(POINTS).max(1);
    let share = |rank: usize| real(rank as u64 + 1) / real(of.max(1) as u64);
    let mut points: Vec<(f64, f64)> =
        values.iter().enumerate().step_by(every).map(|(rank, value)| (*value, share(rank))).collect();
    if let Some(last) = values.last() {
        points.push((*last, share(values.len() - 1)));
    }
    points
}

fn timeline(facts: &Facts<'_>) -> Vec<Happened> {
    let happened = facts.scenario.events.iter().map(|event| Happened {
        at_s: event.at.as_secs_f64(),
        until_s: event.lasts.map(|lasts| (event.at + lasts).as_secs_f64()),
        what: event.label(),
    });
    happened.collect()
}

fn rows(facts: &Facts<'_>) -> Vec<Row> {
    let rows = facts.nodes.iter().enumerate().map(|(node, state)| Row {
        node: node_id(node),
        up: state.up,
        live: state.counters.live[0],
        repaired: state.counters.repaired,
        served: state.counters.served,
        announced: state.counters.announced,
        background: state.counters.background(),
        sent: state.counters.sent.iter().sum(),
    });
    let mut rows: Vec<Row> = rows.collect();
    if rows.len() > ROWS {
        rows.sort_by_key(|row| (std::cmp::Reverse(row.served + row.repaired), row.node));
        rows.truncate(ROWS);
    }
    rows
}

/// A number as people read it: 1,234,567.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as people read them.
pub(crate) fn bytes(bytes: f64) -> String {
    crate::scenario::Size(whole(bytes)).to_string()
}

/// Seconds as people read them.
pub(crate) fn time(seconds: f64) -> String {
    match seconds {
        s if s <= 0.0 => "0 s".to_owned(),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 100.0 => format!("{s:.1} s"),
        s if s < 600.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.1} min", s / 60.0),
        s => format!("{:.1} h", s / 3_600.0),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(super::grouped(7), "7");
        assert_eq!(super::grouped(1_234), "1,234");
        assert_eq!(super::grouped(1_000_000), "1,000,000");
    }
}
