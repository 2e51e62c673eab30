//! The index jobs against each other, without the engine: whatever two sets look like, the exchanges between them end, and
//! bring everything that is missing, nothing else, and nothing twice.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use hearken_scheduler::{Difference, Job, JobResult, Selection, View};
use hearken_tree::{GroupId, Id, Key, KeyRange, Tree};
use hearken_wire::{Ask, RangeWant, RequestId, Salt, Verdict, Want, Window};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ALL: Window = Window { from: 0, to: 1 << 40 };

struct Side {
    tree: Tree,
    view: View,
}

impl Side {
    fn new(keys: &BTreeSet<Key>) -> Side {
        let tree = Tree::from_sorted(keys.iter().copied()).unwrap();
        Side { view: View { kept: tree.snapshot(), held: tree.snapshot() }, tree }
    }

    fn insert(&mut self, keys: &[Key]) {
        assert_eq!(self.tree.insert_all(keys.iter().copied()).unwrap(), keys.len() as u64, "a duplicate");
        self.view = View { kept: self.tree.snapshot(), held: self.tree.snapshot() };
    }

    fn plan(&self, salt: Salt, differences: Vec<Difference>) -> Vec<RangeWant> {
        match (Job::Plan { salt, part: 0..differences.len(), differences, confirmed: true, again: true, hidden: 0 })
            .run(&self.view)
            .unwrap()
        {
            JobResult::Planned(ranges) => ranges,
            other => panic!("{other:?}"),
        }
    }

    fn answer(&self, salt: Salt, ranges: Vec<RangeWant>) -> (Vec<Verdict>, Vec<Selection>) {
        let want = Want { request: RequestId(1), group: GroupId([0; 16]), salt, holds: ALL, ranges: ranges.into() };
        match (Job::Answer { want, within: ALL.keys(), budget: u64::MAX, spans: usize::MAX }).run(&self.view).unwrap() {
            JobResult::Answered { verdicts, selection, .. } => (verdicts, selection),
            other => panic!("{other:?}"),
        }
    }

    fn compare(&self, salt: Salt, verdicts: &[Verdict]) -> Vec<Difference> {
        let mut differences = Vec::new();
        for verdict in verdicts {
            if let Verdict::Finer(summary) = verdict {
                let job = Job::Compare { salt, summary: summary.clone(), root: None, within: ALL.keys() };
                match job.run(&self.view).unwrap() {
                    JobResult::Compared(compared) => differences.extend(compared.differences),
                    other => panic!("{other:?}"),
                }
            }
        }
        differences
    }

    fn select(&self, selection: &[Selection]) -> Vec<Key> {
        let mut keys = Vec::new();
        for part in selection {
            match part {
                Selection::Range { range, .. } => keys.extend(self.view.kept.keys(range).map(Result::unwrap)),
                Selection::Keys(some) => keys.extend(some),
            }
        }
        keys
    }
}

/// One pursuit of `ours` at `theirs`, from a check of everything on. Returns how many exchanges it took.
fn pursue(ours: &mut Side, theirs: &Side, rng: &mut ChaCha8Rng) -> usize {
    let mut salt = Salt(rng.random());
    let root = salt.shorten(&ours.view.held.fingerprint(&ALL.keys()).unwrap());
    let mut ranges = vec![RangeWant { range: ALL.keys(), ask: Ask::Check(root) }];
    for exchange in 1.. {
        in_order(&ranges);
        let (verdicts, selection) = theirs.answer(salt, ranges);
        ours.insert(&theirs.select(&selection));
        let differences = ours.compare(salt, &verdicts);
        salt = Salt(rng.random());
        ranges = ours.plan(salt, differences);
        if ranges.is_empty() {
            return exchange;
        }
        assert!(exchange < 24, "no end");
    }
    unreachable!()
}

fn in_order(ranges: &[RangeWant]) {
    for pair in ranges.windows(2) {
        assert!(pair[0].range.end() <= pair[1].range.start(), "ranges overlap");
    }
    assert!(ranges.iter().all(|want| !want.range.is_empty()));
}

/// Pursues to and fro until the sides are equal. Returns how many exchanges it took.
fn settle(mut a: Side, mut b: Side, rng: &mut ChaCha8Rng) -> usize {
    let mut exchanges = 0;
    for _ in 0..8 {
        exchanges += pursue(&mut a, &b, rng);
        exchanges += pursue(&mut b, &a, rng);
        if a.view.kept.root().unwrap() == b.view.kept.root().unwrap() {
            return exchanges;
        }
    }
    panic!("not equal after {exchanges} exchanges");
}

/// Both sides lack a twentieth, here and there. The counts of a few spans tell that roughly, those of many well.
#[test]
fn a_rough_guess_is_checked_before_it_is_sketched() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let all: Vec<Key> = (0..120_000).map(|at| Key::new(at << 3, Id(rng.random()))).collect();
    let mut lossy = || Side::new(&all.iter().filter(|_| rng.random_range(0..20) > 0).copied().collect());
    let (ours, theirs) = (lossy(), lossy());
    let plan = |spans: usize| {
        let differences = theirs.view.kept.split(&ALL.keys(), spans).unwrap().into_iter().map(|span| Difference {
            range: span.range,
            theirs: span.fingerprint.count,
            ours: ours.view.held.count(&span.range).unwrap(),
            before: None,
            apart: None,
        });
        ours.plan(Salt(1), differences.collect())
    };
    let few = plan(6);
    assert!(few.len() == 6 && few.iter().all(|want| matches!(want.ask, Ask::Check(_))), "{} ranges", few.len());
    let many = plan(40);
    assert!(
        many.len() > 100 && many.iter().all(|want| matches!(want.ask, Ask::Sketch { .. })),
        "{} ranges",
        many.len()
    );
}

/// Where messages are, and who lacks which: clumps, gaps, single ones, shared timestamps.
fn shape() -> impl Strategy<Value = (u64, usize, Vec<(u64, u64, u8)>)> {
    (any::<u64>(), 0usize..3000, prop::collection::vec((0u64..1 << 20, 1u64..1 << 20, 0u8..6), 0..8))
}

fn build(seed: u64, count: usize, holes: &[(u64, u64, u8)]) -> (BTreeSet<Key>, BTreeSet<Key>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let coarse = rng.random_range(1u64..20);
    let (mut a, mut b) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..count {
        let time = rng.random_range(0u64..1 << 20) >> coarse << coarse;
        let key = Key::new(time, Id(rng.random()));
        let (mut in_a, mut in_b) = (true, true);
        for (start, length, kind) in holes.iter().filter(|(start, length, _)| (*start..start + length).contains(&time))
        {
            let _ = (start, length);
            let chance = rng.random_range(0..10);
            match kind {
                0 => in_a = false,
                1 => in_b = false,
                2 => in_a &= chance > 0,
                3 => in_b &= chance > 0,
                4 => (in_a, in_b) = (in_a && chance != 1, in_b && chance != 2),
                _ => (in_a, in_b) = (in_a && chance < 2, in_b && chance > 0),
            }
        }
        in_a.then(|| a.insert(key));
        in_b.then(|| b.insert(key));
    }
    (a, b)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn every_pursuit_ends_and_brings_everything((seed, count, holes) in shape()) {
        let (a, b) = build(seed, count, &holes);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        settle(Side::new(&a), Side::new(&b), &mut rng);
    }

    /// However the provider lies in its spans, the requester's plans stay in order, and end.
    #[test]
    fn made_up_differences_are_planned_for(
        seed in any::<u64>(),
        count in 0usize..500,
        claims in prop::collection::vec((1u64..1 << 20, any::<u64>()), 1..40),
    ) {
        let (a, _) = build(seed, count, &[]);
        let side = Side::new(&a);
        let mut start = 0;
        let mut differences = Vec::new();
        for (length, theirs) in claims {
            let range = KeyRange::between(start, start + length);
            start += length;
            let theirs = theirs >> (theirs % 64);
            let apart = (length % 2 == 0).then_some(theirs % 300);
            differences.push(Difference { range, theirs, ours: 0, before: None, apart });
        }
        for confirmed in [true, false] {
            let job = Job::Plan { salt: Salt(seed), differences: differences.clone(), part: 0..differences.len(), confirmed, again: !confirmed, hidden: 3 };
            let JobResult::Planned(ranges) = job.run(&side.view).unwrap() else { panic!() };
            in_order(&ranges);
            let words: usize = ranges.iter().map(|want| match &want.ask {
                Ask::Sketch { syndromes, .. } => {
                    assert!(syndromes.len() <= hearken_wire::limits::SYNDROMES_MAX);
                    syndromes.len()
                }
                _ => 0,
            }).sum();
            prop_assert!(words <= 40 * 384 * 128);
        }
    }
}
