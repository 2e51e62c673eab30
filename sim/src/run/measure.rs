//! What is counted.

use serde::Serialize;

use crate::net::{Nanos, real, seconds, whole};

/// What bytes are spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Live messages: payload and gossipsub's frame around it.
    Relay,
    /// Gossipsub's own IHAVE and IWANT about live messages.
    RelayControl,
    /// Hearken's IHAVEs, published and forwarded, and gossip about them.
    Ihave,
    /// Probes, and answers that all is equal.
    Probe,
    /// Requests that look for, or ask for, what differs.
    Request,
    /// Answers to them.
    Answer,
    /// What frames repaired messages.
    Framing,
    /// Repaired messages.
    Repair,
}

/// How many kinds there are.
pub(crate) const KINDS: usize = 8;

/// The kinds' names in figures.
pub(crate) const KIND_NAMES: [&str; KINDS] =
    ["relay", "relay_control", "ihave", "probe", "request", "answer", "framing", "repair"];

/// Kinds that count as background: what synchronisation costs beside the messages it brings.
pub(crate) const BACKGROUND: [Kind; 5] = [Kind::Ihave, Kind::Probe, Kind::Request, Kind::Answer, Kind::Framing];

/// What one node has done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    /// Bytes sent, by kind.
    pub(crate) sent: [u64; KINDS],
    /// Background bytes sent before the last third of the run.
    pub(crate) background_before: u64,
    /// IHAVEs of its own, and those that it left out because others had said the same.
    pub(crate) announced: u64,
    pub(crate) suppressed: u64,
    /// Messages sent to others that asked.
    pub(crate) served: u64,
    /// Messages that synchronisation brought.
    pub(crate) repaired: u64,
    /// Messages that synchronisation brought although they were there.
    pub(crate) duplicates: u64,
    /// Messages that synchronisation brought and that were refused.
    pub(crate) refused: u64,
    /// Of these, messages that had been refused, or come, before.
    pub(crate) refused_again: u64,
    /// Messages that came from outside its window.
    pub(crate) outside: u64,
    /// Messages that a crash took because they were not durable yet.
    pub(crate) lost: u64,
    /// Offences that it saw.
    pub(crate) offences: u64,
    /// Live messages received for the first time, and again.
    pub(crate) live: [u64; 2],
}

impl Counters {
    /// Background bytes sent.
    pub(crate) fn background(&self) -> u64 {
        BACKGROUND.iter().map(|kind| self.sent[*kind as usize]).sum()
    }
}

/// Counts of durations or numbers, exact to about 3 %: 32 steps to each doubling.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

const STEPS: u64 = 32;

impl Histogram {
    pub(crate) fn add(&mut self, value: u64, times: u64) {
        let bucket = bucket(value);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += times;
        self.total += times;
        self.max = self.max.max(value);
    }

    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// The smallest value that this share of all does not exceed.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let mut left = whole((real(self.total) * share).ceil()).max(1);
        for (bucket, count) in self.counts.iter().enumerate() {
            if *count >= left {
                return lowest(bucket as u64).min(self.max);
            }
            left -= count;
        }
        self.max
    }
}

fn bucket(value: u64) -> usize {
    let doubling = u64::from(value.max(1).ilog2());
    let bucket = if value < STEPS { value } else { (doubling - 4) * STEPS + ((value >> (doubling - 5)) - STEPS) };
    usize::try_from(bucket).unwrap_or(usize::MAX)
}

fn lowest(bucket: u64) -> u64 {
    if bucket < STEPS { bucket } else { (bucket % STEPS + STEPS) << (bucket / STEPS - 1) }
}

/// Quantiles of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// Half are no more.
    pub p50: f64,
    /// 99 % are no more.
    pub p99: f64,
    /// All are no more.
    pub max: f64,
}

impl Quantiles {
    /// Of exact values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Quantiles {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| {
            let rank = whole((real(values.len() as u64) * share).ceil()).max(1) - 1;
            usize::try_from(rank).ok().and_then(|rank| values.get(rank)).copied().unwrap_or(0.0)
        };
        Quantiles { p50: at(0.5), p99: at(0.99), max: at(1.0) }
    }

    /// Of durations.
    pub(crate) fn of_times(histogram: &Histogram) -> Quantiles {
        let at = |share| seconds(histogram.quantile(share));
        Quantiles { p50: at(0.5), p99: at(0.99), max: seconds(histogram.max()) }
    }

    /// Of numbers.
    pub(crate) fn of_numbers(histogram: &Histogram) -> Quantiles {
        let at = |share| real(histogram.quantile(share));
        Quantiles { p50: at(0.5), p99: at(0.99), max: real(histogram.max()) }
    }
}

/// How things stood at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) at: Nanos,
    pub(crate) missing: u64,
    pub(crate) sent: [u64; KINDS],
    pub(crate) repaired: u64,
}

/// What is counted for the whole network.
#[derive(Default)]
pub(crate) struct Measure {
    /// Bytes sent by everyone, by kind.
    pub(crate) sent: [u64; KINDS],
    pub(crate) samples: Vec<Sample>,
    /// When IHAVEs were published.
    pub(crate) announced: Vec<Nanos>,
    /// From publication until gossip brought it to a node.
    pub(crate) live: Histogram,
    /// From publication until synchronisation brought it to a node.
    pub(crate) repair: Histogram,
    /// Round trips before a repaired message came.
    pub(crate) round_trips: Histogram,
    /// Seconds until nodes that lacked something when they started, or when the network healed, had it all.
    pub(crate) recovery: Vec<f64>,
    pub(crate) repaired: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_narrow_and_in_order() {
        for value in (0..5_000).chain([1 << 40, u64::MAX / 3, u64::MAX]) {
            let lowest = lowest(bucket(value) as u64);
            assert!(lowest <= value && value - lowest <= value / 32, "{value}: {lowest}");
        }
    }

    #[test]
    fn quantiles_are_values_that_came() {
        let mut histogram = Histogram::default();
        (1..=100).for_each(|value| histogram.add(value, 1));
        assert_eq!((histogram.quantile(0.5), histogram.quantile(1.0)), (50, 100));
        assert_eq!(Quantiles::of([3.0, 1.0, 2.0]), Quantiles { p50: 2.0, p99: 3.0, max: 3.0 });
        assert_eq!(Quantiles::of([]), Quantiles::default());
    }
}
