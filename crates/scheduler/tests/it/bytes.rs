//! What one comparison costs on the wire at a million messages, without the engine: IHAVE, requests, answers until the
//! requester has been told exactly what it lacks. `cargo test -p hearken-scheduler --release --test it bytes:: -- --ignored --nocapture`
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::collections::BTreeSet;

use bytes::BytesMut;
use hearken_scheduler::{Difference, Job, JobResult, Selection, View};
use hearken_tree::{GroupId, Id, Key, Tree};
use hearken_wire::{
    Answer, Frame, Ihave, RangeWant, RequestId, Salt, Verdict, Want, Window, encode_frame, likely_spans,
};
use rand::{RngExt, SeedableRng, seq::IteratorRandom};
use rand_chacha::ChaCha8Rng;

const SECOND: u64 = 1_000_000_000;
const WINDOW: Window = Window { from: 1_750_000_000 * SECOND, to: 1_750_000_000 * SECOND + 30 * 86_400 * SECOND };

fn view(tree: &Tree) -> View {
    View { kept: tree.snapshot(), held: tree.snapshot() }
}

fn length(frame: &Frame) -> usize {
    let mut bytes = BytesMut::new();
    encode_frame(frame, &mut bytes).unwrap();
    bytes.len()
}

fn ihave(theirs: &Tree, salt: Salt) -> Ihave {
    let mut spans = likely_spans(1024);
    loop {
        let job = Job::Summarise { group: GroupId([1; 16]), window: WINDOW, spans, salt, budget: 1024 };
        if let JobResult::Summary(ihave) = job.run(&view(theirs)).unwrap() {
            return ihave;
        }
        spans = spans * 15 / 16;
    }
}

/// (bytes of the IHAVE, of requests, of answers, round trips, found)
fn reconcile(ours: &mut Tree, theirs: &Tree, rng: &mut ChaCha8Rng) -> (usize, usize, usize, usize, usize) {
    let ihave = ihave(theirs, Salt(rng.random()));
    let ihave_bytes = ihave.encode().unwrap().len();
    let job = Job::Compare { salt: ihave.salt, summary: ihave.summary, root: Some(ihave.root), within: WINDOW.keys() };
    let JobResult::Compared(compared) = job.run(&view(ours)).unwrap() else { panic!() };
    let (mut requests, mut answers, mut trips, mut found) = (0, 0, 0, 0);
    let mut differences = compared.differences;
    loop {
        let salt = Salt(rng.random());
        let job = Job::Plan {
            salt,
            part: 0..differences.len(),
            differences,
            confirmed: trips > 0,
            again: trips > 0,
            hidden: 0,
        };
        let JobResult::Planned(ranges) = job.run(&view(ours)).unwrap() else { panic!() };
        if ranges.is_empty() {
            return (ihave_bytes, requests, answers, trips, found);
        }
        trips += 1;
        differences = Vec::new();
        for ranges in ranges.chunks(200) {
            let (sent, received, keys, finer) = ask(theirs, salt, ranges.to_vec(), &view(ours));
            (requests, answers, found) = (requests + sent, answers + received, found + keys.len());
            assert_eq!(ours.insert_all(keys.iter().copied()).unwrap(), keys.len() as u64, "duplicates");
            differences.extend(finer);
        }
    }
}

fn ask(theirs: &Tree, salt: Salt, ranges: Vec<RangeWant>, ours: &View) -> (usize, usize, Vec<Key>, Vec<Difference>) {
    let want = Want { request: RequestId(1), group: GroupId([1; 16]), salt, holds: WINDOW, ranges: ranges.into() };
    let sent = length(&Frame::Want(want.clone()));
    let job = Job::Answer { want, within: WINDOW.keys(), budget: u64::MAX, spans: usize::MAX };
    let JobResult::Answered { verdicts, selection, .. } = job.run(&view(theirs)).unwrap() else { panic!() };
    let mut finer = Vec::new();
    for verdict in &verdicts {
        if let Verdict::Finer(summary) = verdict {
            let job = Job::Compare { salt, summary: summary.clone(), root: None, within: WINDOW.keys() };
            let JobResult::Compared(compared) = job.run(ours).unwrap() else { panic!() };
            finer.extend(compared.differences);
        }
    }
    let mut keys = Vec::new();
    for part in selection {
        match part {
            Selection::Range { range, .. } => keys.extend(theirs.snapshot().keys(&range).map(Result::unwrap)),
            Selection::Keys(some) => keys.extend(some),
        }
    }
    let answer = Answer { request: RequestId(1), holds: WINDOW, verdicts: verdicts.into() };
    (sent, length(&Frame::Answer(answer)) + 5, keys, finer)
}

/// The length is known before anything is hashed, to the byte. What is a little too long joins some of many spans.
#[test]
fn a_summary_is_too_long_by_the_bytes_that_it_would_take() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let keys = (0..20_000).map(|_| Key::new(rng.random_range(WINDOW.from..WINDOW.to), Id(rng.random())));
    let view = view(&Tree::from_sorted(keys.collect::<BTreeSet<Key>>()).unwrap());
    for spans in [1, 2, 9, 70] {
        let (group, salt) = (GroupId([1; 16]), Salt(7));
        let run = |budget| Job::Summarise { group, window: WINDOW, spans, salt, budget }.run(&view).unwrap();
        let JobResult::Summary(ihave) = run(usize::MAX) else { panic!() };
        let length = ihave.encode().unwrap().len();
        assert!(matches!(run(length), JobResult::Summary(same) if same == ihave));
        assert!(matches!(run(length / 2), JobResult::TooLong(found) if found == length));
        match run(length - 1) {
            JobResult::TooLong(found) => assert!(found == length && spans < 8),
            JobResult::Summary(shorter) => {
                assert!(shorter.encode().unwrap().len() < length);
                assert_eq!((shorter.root, shorter.summary.len() + 1), (ihave.root, ihave.summary.len()));
            }
            _ => panic!(),
        }
    }
}

#[test]
#[ignore = "long"]
fn table() {
    let count = 1_000_000;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let made = (0..count).map(|_| Key::new(rng.random_range(WINDOW.from..WINDOW.to), Id(rng.random())));
    let all: Vec<Key> = made.collect::<BTreeSet<Key>>().into_iter().collect();
    let full = Tree::from_sorted(all.iter().copied()).unwrap();
    let without = |missing: &[Key]| {
        let mut tree = full.clone();
        for key in missing {
            tree.remove(key).unwrap();
        }
        tree
    };
    println!("{:<16} {:>6} {:>8} {:>8} {:>8} {:>5} {:>8}", "", "ihave", "request", "answer", "total", "trips", "found");
    let mut show = |name: &str, mut ours: Tree, theirs: &Tree, missing: usize| {
        let (ihave, request, answer, trips, found) = reconcile(&mut ours, theirs, &mut rng);
        let total = ihave + request + answer;
        println!("{name:<16} {ihave:>6} {request:>8} {answer:>8} {total:>8} {trips:>5} {found:>8} of {missing}");
    };
    show("equal", full.clone(), &full, 0);
    for missing in [1, 10, 100, 1000, 10_000, 200_000] {
        let mut rng = ChaCha8Rng::seed_from_u64(missing as u64);
        let lost = all.iter().copied().sample(&mut rng, missing);
        show(&format!("scatter {missing}"), without(&lost), &full, missing);
    }
    show("gap newest", without(&all[count - 10_000..]), &full, 10_000);
    show("gap oldest", without(&all[..10_000]), &full, 10_000);
    show("gap middle", without(&all[500_000..510_000]), &full, 10_000);
    for seed in 0..6 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let lost = all.iter().copied().sample(&mut rng, 10_000);
        show("two-way", without(&lost[..5000]), &without(&lost[5000..]), 5000);
    }
    show("empty", Tree::new(), &full, count);
}
