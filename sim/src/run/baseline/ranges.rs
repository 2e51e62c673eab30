//! Range-based reconciliation with XOR fingerprints, as nwaku's store sync does it and configures it: equal partitions in time,
//! items below a threshold, messages pushed by whoever finds that the other lacks them
//! (`waku_store_sync/storage/seq_storage.nim`, nwaku 7d1c6aba). The rules are theirs, what is bad about them included: more
//! messages with one timestamp than the threshold are never reconciled.

use std::collections::BTreeMap;

use hearken_tree::Key;

use super::{
    Baseline, Host,
    payload::{Range, What, decode, encode},
    rounds::Rounds,
};
use crate::{
    net::{Nanos, NodeId},
    run::measure::Kind,
    scenario::Polling,
};

/// What a message is for, its first byte: a round's first, and all others.
const OPEN: u8 = 0;
const MORE: u8 = 1;

/// One node's part.
pub(super) struct Ranges {
    rounds: Rounds,
    partitions: u64,
    threshold: usize,
    /// How many messages each session has taken so far.
    steps: BTreeMap<NodeId, u64>,
}

impl Ranges {
    pub(super) fn new(rounds: Rounds, settings: &Polling) -> Ranges {
        let (partitions, threshold) = (u64::from(settings.partitions), settings.threshold);
        Ranges { rounds, partitions, threshold, steps: BTreeMap::new() }
    }

    /// What to say to these ranges, and the messages that the other side lacks.
    fn process(&self, ranges: &[Range], keys: &[Key]) -> (Vec<Range>, Vec<Key>) {
        let (mut out, mut lacks) = (Vec::new(), Vec::new());
        for range in ranges {
            let (start, end) = (range.start, range.end);
            let ours = between(keys, start, end);
            match &range.what {
                What::Skip => out.push(range.clone()),
                What::Fingerprint(theirs) if *theirs == xor(ours) => out.push(Range { start, end, what: What::Skip }),
                What::Fingerprint(_) if ours.len() <= self.threshold => out.push(self.describe(keys, start, end)),
                What::Fingerprint(_) => {
                    out.extend(self.partition(start, end).map(|(start, end)| self.describe(keys, start, end)));
                }
                What::Items { keys: theirs, reconciled } => {
                    lacks.extend(ours.iter().filter(|key| theirs.binary_search(key).is_err()));
                    let what =
                        if *reconciled { What::Skip } else { What::Items { keys: ours.to_vec(), reconciled: true } };
                    out.push(Range { start, end, what });
                }
            }
        }
        (merge(out), lacks)
    }

    fn describe(&self, keys: &[Key], start: u64, end: u64) -> Range {
        let ours = between(keys, start, end);
        let what = if ours.len() > self.threshold {
            What::Fingerprint(xor(ours))
        } else {
            // An empty set has nothing to wait for.
            What::Items { keys: ours.to_vec(), reconciled: ours.is_empty() }
        };
        Range { start, end, what }
    }

    /// Equal in time; what is left over goes to the first. None where the range is too short to be cut.
    fn partition(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, u64)> + use<> {
        let (length, parts) = (end - start, self.partitions);
        let many = if length < parts { 0 } else { parts };
        let mut lower = start;
        (0..many).map(move |part| {
            let upper = lower + length / parts + u64::from(part < length % parts);
            (std::mem::replace(&mut lower, upper), upper)
        })
    }

    fn step(&mut self, from: NodeId, ranges: &[Range], host: &mut Host<'_>) {
        let steps = self.steps.entry(from).or_default();
        *steps += 1;
        let trips = steps.div_ceil(2);
        let first = *steps == 1;
        let (Some(start), Some(end)) = (ranges.first().map(|range| range.start), ranges.last().map(|range| range.end))
        else {
            self.steps.remove(&from);
            return;
        };
        let (answer, lacks) = self.process(ranges, &host.keys(start, end));
        host.deliver(from, lacks, trips);
        let kind = match (first, answer.is_empty()) {
            (true, true) => Kind::Probe,
            (true, false) => Kind::Answer,
            _ => Kind::Request,
        };
        host.send(from, kind, [&[MORE], &encode(&answer)[..]].concat());
        if answer.is_empty() {
            self.steps.remove(&from);
        }
    }
}

impl Baseline for Ranges {
    fn connected(&mut self, peer: NodeId) {
        self.rounds.connected(peer);
    }

    fn disconnected(&mut self, peer: NodeId) {
        self.rounds.disconnected(peer);
        self.steps.remove(&peer);
    }

    fn deadline(&self) -> Nanos {
        self.rounds.deadline()
    }

    fn wake(&mut self, host: &mut Host<'_>) {
        let Some((peer, start, end)) = self.rounds.begin(host) else { return };
        let what = What::Fingerprint(xor(&host.keys(start, end)));
        self.steps.insert(peer, 1);
        host.send(peer, Kind::Probe, [&[OPEN], &encode(&[Range { start, end, what }])[..]].concat());
    }

    fn receive(&mut self, from: NodeId, body: &[u8], host: &mut Host<'_>) {
        let Some((tag, body)) = body.split_first() else { return };
        if *tag == OPEN {
            self.steps.remove(&from);
        }
        if let Some(ranges) = decode(body) {
            self.step(from, &ranges, host);
        }
    }
}

fn between(keys: &[Key], start: u64, end: u64) -> &[Key] {
    let (from, to) = (Key::at(start), Key::at(end));
    &keys[keys.partition_point(|key| *key < from)..keys.partition_point(|key| *key < to)]
}

fn xor(keys: &[Key]) -> [u8; 32] {
    let mut sum = [0; 32];
    for key in keys {
        sum.iter_mut().zip(key.id().0).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

/// Ranges to be skipped that follow one another become one; if there is nothing else, there is nothing to say.
fn merge(ranges: Vec<Range>) -> Vec<Range> {
    let mut merged: Vec<Range> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if last.what == What::Skip && range.what == What::Skip => last.end = range.end,
            _ => merged.push(range),
        }
    }
    if merged.iter().all(|range| range.what == What::Skip) { Vec::new() } else { merged }
}

#[cfg(test)]
mod tests {
    use hearken_tree::Id;

    use super::*;

    /// Two nodes that talk until both are silent find exactly what each lacks.
    #[test]
    fn two_sets_become_equal() {
        let mut dice = crate::net::dice::Dice::new(3);
        let all: Vec<Key> = (0..5_000).map(|at| Key::new(1_000_000 + at * 1_000, Id(dice.id()))).collect();
        let mut sides: [Vec<Key>; 2] =
            std::array::from_fn(|_| all.iter().copied().filter(|_| !dice.chance(0.02)).collect());
        let rounds = || Rounds::start(&Polling::nwaku(), 0, &mut crate::net::dice::Dice::new(1));
        let ranges = Ranges::new(rounds(), &Polling::nwaku());
        let (start, end) = (0, 10_000_000);
        let mut whole = sides.concat();
        whole.sort_unstable();
        whole.dedup();
        let mut message = vec![Range { start, end, what: What::Fingerprint(xor(&sides[0])) }];
        let mut turn = 1;
        while !message.is_empty() {
            let heard = decode(&encode(&message)).expect("what was encoded");
            let (answer, lacks) = ranges.process(&heard, &sides[turn]);
            turn = 1 - turn;
            sides[turn].extend(lacks);
            sides[turn].sort_unstable();
            message = answer;
        }
        assert_eq!((&sides[0], &sides[1]), (&whole, &whole));
    }
}
