//! Jobs with the help of workers: they find the same.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Mutex;

use hearken_scheduler::{Job, JobResult, View, Workers};
use hearken_tree::{GroupId, Id, Key, KeyRange, Tree};
use hearken_wire::{Ask, RequestId, Salt, Verdict, Want, Window};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const WINDOW: Window = Window { from: 0, to: 1_000_000 };

/// Two threads, the last pieces first; one piece in five is left out.
#[derive(Default)]
struct Careless {
    done: Mutex<BTreeSet<usize>>,
}

impl Workers for Careless {
    fn each(&self, pieces: usize, work: &(dyn Fn(usize) + Sync)) {
        let half = |from: usize| {
            for piece in (0..pieces).rev().filter(|piece| piece % 2 == from && piece % 5 != 4) {
                work(piece);
                assert!(self.done.lock().unwrap().insert(piece));
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| half(0));
            half(1);
        });
    }
}

impl Careless {
    fn pieces(&self) -> usize {
        self.done.lock().unwrap().len()
    }
}

fn keys(count: usize) -> Vec<Key> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    (0..count).map(|_| Key::new(rng.random_range(0..WINDOW.to), Id(rng.random()))).collect()
}

fn view(keys: impl Iterator<Item = Key>) -> View {
    let tree = Tree::from_sorted(keys.collect::<BTreeSet<Key>>()).unwrap();
    View { kept: tree.snapshot(), held: tree.snapshot() }
}

/// Runs a job with workers and without.
fn both(job: &Job, view: &View, pieces: usize) -> JobResult {
    let workers = Careless::default();
    let (alone, helped) = (job.clone().run(view).unwrap(), job.clone().run_on(view, &workers).unwrap());
    assert_eq!(format!("{helped:?}"), format!("{alone:?}"));
    assert!(workers.pieces() >= pieces, "{} pieces", workers.pieces());
    alone
}

#[test]
fn a_request_and_its_answer_are_the_same_whoever_works() {
    let all = keys(60_000);
    // In one place both lack so much that its sketch is too small, which their counts do not tell.
    let lacks = |every: usize, also: u64| {
        let lacks = move |at: usize, key: &Key| at.is_multiple_of(every) || key.timestamp() / 1_000 == also;
        (0..).zip(&all).filter(move |(at, key)| !lacks(*at, key)).map(|(_, key)| *key)
    };
    let (ours, theirs) = (view(lacks(700, 500)), view(lacks(900, 501)));
    let salt = Salt(7);
    let spans = theirs.kept.summary(&KeyRange::new(Key::at(0), Key::at(WINDOW.to)).unwrap(), 30).unwrap();
    let differences: Vec<_> = spans
        .into_iter()
        .map(|span| hearken_scheduler::Difference {
            range: span.range,
            theirs: span.fingerprint.count,
            ours: 0,
            before: None,
            apart: None,
        })
        .collect();
    let plan = Job::Plan { salt, part: 0..differences.len(), differences, confirmed: true, again: false, hidden: 0 };
    let JobResult::Planned(ranges) = both(&plan, &ours, 20) else { panic!() };
    assert!(ranges.iter().filter(|range| matches!(range.ask, Ask::Sketch { .. })).count() >= 20, "{ranges:?}");

    let want = Want { request: RequestId(1), group: GroupId([1; 16]), salt, holds: WINDOW, ranges: ranges.into() };
    let answer = Job::Answer { want, within: WINDOW.keys(), budget: u64::MAX, spans: usize::MAX };
    let JobResult::Answered { verdicts, .. } = both(&answer, &theirs, 20) else { panic!() };
    let says = |what: fn(&Verdict) -> bool| verdicts.iter().filter(|verdict| what(verdict)).count();
    assert!(says(|verdict| matches!(verdict, Verdict::Deliver { count: 1.., .. })) >= 10, "{verdicts:?}");
    assert!(says(|verdict| matches!(verdict, Verdict::Finer(_))) > 0, "{verdicts:?}");
}

/// A plan in parts asks what it asks at once: the other differences tell it how messages are missing.
#[test]
fn a_plan_in_parts_is_the_same() {
    let all = keys(40_000);
    let lacks =
        |every: usize| (0..).zip(&all).filter(move |(at, _)| !usize::is_multiple_of(*at, every)).map(|(_, key)| *key);
    let (ours, theirs) = (view(lacks(70)), view(lacks(90)));
    let spans = theirs.kept.summary(&KeyRange::new(Key::at(0), Key::at(WINDOW.to)).unwrap(), 30).unwrap();
    let of = |span: hearken_tree::Span| hearken_scheduler::Difference {
        range: span.range,
        theirs: span.fingerprint.count,
        ours: ours.held.count(&span.range).unwrap(),
        before: None,
        apart: None,
    };
    let differences: Vec<_> = spans.into_iter().map(of).collect();
    let plan = |part: std::ops::Range<usize>| {
        let differences = differences.clone();
        let job = Job::Plan { salt: Salt(7), part, differences, confirmed: true, again: false, hidden: 0 };
        let JobResult::Planned(ranges) = job.run(&ours).unwrap() else { panic!() };
        ranges
    };
    let (whole, count) = (plan(0..differences.len()), differences.len());
    assert!(whole.iter().filter(|want| matches!(want.ask, Ask::Sketch { .. })).count() >= 20, "{whole:?}");
    let parts = [0..7, 7..8, 8..count].map(plan);
    assert!(parts.iter().all(|part| !part.is_empty()), "{parts:?}");
    assert_eq!(parts.concat(), whole);
}

/// What takes less than a millisecond is not spread.
#[test]
fn small_jobs_are_done_alone() {
    let some = view(keys(1_000).into_iter());
    let half = KeyRange::new(Key::at(0), Key::at(WINDOW.to / 2)).unwrap();
    let rest = KeyRange::new(half.end(), Key::at(WINDOW.to)).unwrap();
    let differences = [half, rest].map(|range| hearken_scheduler::Difference {
        range,
        theirs: 510,
        ours: 0,
        before: None,
        apart: None,
    });
    let plan = Job::Plan {
        salt: Salt(7),
        differences: differences.into(),
        part: 0..2,
        confirmed: true,
        again: false,
        hidden: 0,
    };
    let workers = Careless::default();
    assert!(matches!(plan.run_on(&some, &workers).unwrap(), JobResult::Planned(ranges) if ranges.len() == 2));
    assert_eq!(workers.pieces(), 0);
}
