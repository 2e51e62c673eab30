//! What the README's tables name is recorded, and what is recorded is named there.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::net::{self, GROUP, Net, keys, test_config};
use bytes::Bytes;
use hearken_scheduler::{Event, GossipId};
use hearken_wire::{
    Answer, Ask, Frame, Ihave, Refusal, RefusalReason, RequestId, Salt, SaltedSpan, ShortDigest, ShortFingerprint,
    Summary, Verdict, Window,
};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use rand_chacha::ChaCha8Rng;

/// The names of what was recorded, with the labels' names.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<BTreeSet<String>>>);

struct Noted(String, Names);

impl Noted {
    fn of(key: &Key, names: &Names) -> Arc<Noted> {
        let labels: Vec<&str> = key.labels().map(metrics::Label::key).collect();
        Arc::new(Noted(format!("{} {}", key.name(), labels.join(",")).trim_end().to_owned(), names.clone()))
    }

    fn note(&self) {
        self.1.0.lock().unwrap().insert(self.0.clone());
    }
}

impl CounterFn for Noted {
    fn increment(&self, value: u64) {
        if value > 0 {
            self.note();
        }
    }

    fn absolute(&self, _: u64) {
        self.note();
    }
}

impl GaugeFn for Noted {
    fn increment(&self, _: f64) {
        self.note();
    }

    fn decrement(&self, _: f64) {
        self.note();
    }

    fn set(&self, _: f64) {
        self.note();
    }
}

impl HistogramFn for Noted {
    fn record(&self, _: f64) {
        self.note();
    }
}

impl Recorder for Names {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Noted::of(key, self))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Noted::of(key, self))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Noted::of(key, self))
    }
}

/// Rows of the README's tables: names, with the names of their labels.
fn documented() -> BTreeSet<String> {
    let readme = include_str!("../../README.md");
    let mut rows = BTreeSet::new();
    for line in readme.lines().filter(|line| line.starts_with("| `hearken_")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let labels: Vec<&str> = cells[2].split('`').skip(1).step_by(2).collect();
        for name in cells[1].split('`').skip(1).step_by(2) {
            rows.insert(format!("{name} {}", labels.join(",")).trim_end().to_owned());
        }
    }
    rows
}

/// Somebody claims to hold a thousand messages more than there are.
fn rumour(now: Duration, number: u64) -> Ihave {
    let to = net::EPOCH + (now.as_secs() - 30) / 10 * 10 * net::SECOND;
    let window = Window { from: to - 3600 * net::SECOND, to };
    let fingerprint = ShortFingerprint { digest: ShortDigest([7; 8]), count: 1600 };
    let summary = Summary::new(vec![SaltedSpan { range: window.keys(), fingerprint }]).unwrap();
    Ihave { group: GROUP, window, salt: Salt(1 << 40 | number), root: fingerprint, summary }
}

/// Lies, withholds, refuses, sleeps, in turn.
fn troublesome(rng: &mut ChaCha8Rng, frame: &Frame) -> Vec<Frame> {
    use rand::RngExt;
    let Frame::Want(want) = frame else { return Vec::new() };
    let request = want.request;
    let promise = |asked: &hearken_wire::RangeWant| match asked.ask {
        Ask::Check(_) => Verdict::TooCostly,
        _ => Verdict::Deliver { count: 1, lacks: Vec::new() },
    };
    let verdicts = want.ranges.iter().map(|asked| promise(&asked)).collect();
    let answer = Frame::Answer(Answer { request, holds: want.holds, verdicts });
    match rng.random_range(0..4) {
        0 => vec![answer, Frame::Messages { request, messages: vec![Bytes::from_static(b"?")] }],
        1 => vec![answer],
        2 => vec![Frame::Refusal(Refusal { request, reason: RefusalReason::Busy })],
        _ => Vec::new(),
    }
}

#[test]
fn everything_documented_is_recorded_and_nothing_else() {
    let names = Names::default();
    metrics::with_local_recorder(&names, || {
        let all = keys(1, 600, 60.0, 3500.0);
        let mut net = Net::new(test_config(), 1);
        for node in 0..6usize {
            net.add(all.iter().enumerate().filter(|(at, _)| at % 7 != node).map(|(_, key)| *key));
        }
        for _ in 0..2 {
            let liar = net.add([]);
            net.nodes[liar].hostile = Some(troublesome);
        }
        net.connect_randomly(4);
        for number in 0..60 {
            net.run_for(Duration::from_secs(40));
            net.event(0, Event::SyncNow(GROUP));
            // What nobody has is asked for, and given up.
            let ihave = rumour(net.now, number);
            net.event(0, Event::Gossip { from: 1, id: GossipId(number), ihave });
        }
        // Somebody who asks for what is not there, and more often than anyone may.
        let group = hearken_tree::GroupId([9; 16]);
        let window = hearken_wire::Window { from: net::EPOCH - 100 * net::SECOND, to: net::EPOCH };
        for request in 0..300 {
            let ranges = vec![hearken_wire::RangeWant { range: window.keys(), ask: Ask::All }].into();
            let salt = hearken_wire::Salt(1);
            let want = hearken_wire::Want { request: RequestId(1 << 40 | request), group, salt, holds: window, ranges };
            net.event(0, Event::Frame { from: 6, frame: Frame::Want(want) });
        }
    });
    let (recorded, documented) = (names.0.lock().unwrap().clone(), documented());
    let silent: Vec<&String> = documented.difference(&recorded).collect();
    let unknown: Vec<&String> = recorded.difference(&documented).collect();
    assert!(silent.is_empty() && unknown.is_empty(), "never recorded: {silent:?}; not documented: {unknown:?}");
}
