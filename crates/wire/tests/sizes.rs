//! What typical messages cost, pinned: a change of any of these numbers is a change of the protocol's price.
#![allow(clippy::unwrap_used)]

mod support;

use hearken_tree::{GroupId, Id, Key, KeyRange, shortest_separator};
use hearken_wire::{
    Answer, Ask, Frame, Ihave, RangeWant, RequestId, Salt, SaltedSpan, ShortDigest, ShortFingerprint, Summary, Verdict,
    Want, Window, likely_spans, max_spans,
};
use support::{Numbers, encoded};

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;
const HORIZON: u64 = 1_763_800_000 * SECOND;
const MONTH: Window = Window { from: HORIZON - 30 * DAY, to: HORIZON };

/// `count` messages spread evenly over a month, at times that are multiples of `tick`.
fn month(count: usize, tick: u64) -> Vec<Key> {
    let mut numbers = Numbers(1);
    let mut key = || {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&numbers.next().to_be_bytes());
        Key::new((MONTH.from + numbers.next() % (MONTH.to - MONTH.from)) / tick * tick, Id(id))
    };
    let mut keys: Vec<Key> = (0..count).map(|_| key()).collect();
    keys.sort();
    keys
}

/// The window cut at these ranks, shortest separators between neighbouring keys as bounds.
fn summary(keys: &[Key], ranks: &[usize]) -> Summary {
    let cuts = ranks.iter().map(|rank| shortest_separator(&keys[rank - 1], &keys[*rank]));
    let whole = MONTH.keys();
    let bounds: Vec<Key> = [whole.start()].into_iter().chain(cuts).chain([whole.end()]).collect();
    let mut before = 0;
    let ends = ranks.iter().copied().chain([keys.len()]);
    let spans = bounds.windows(2).zip(ends).map(|(bounds, end)| {
        let count = (end - std::mem::replace(&mut before, end)) as u64;
        SaltedSpan { range: KeyRange::new(bounds[0], bounds[1]).unwrap(), fingerprint: fingerprint(count) }
    });
    Summary::new(spans.collect()).unwrap()
}

fn fingerprint(count: u64) -> ShortFingerprint {
    ShortFingerprint { digest: ShortDigest([0xab; 8]), count }
}

fn ihave(keys: &[Key], ranks: &[usize]) -> usize {
    let root = fingerprint(keys.len() as u64);
    let ihave =
        Ihave { group: GroupId([7; 16]), window: MONTH, salt: Salt(u64::MAX), root, summary: summary(keys, ranks) };
    ihave.encode().unwrap().len()
}

fn equal_counts(keys: &[Key], spans: usize) -> Vec<usize> {
    (1..spans).map(|i| i * keys.len() / spans).collect()
}

/// Half of the spans of equal counts, of these the youngest cut again and again where three quarters are left.
fn also_by_age(keys: &[Key], spans: usize) -> Vec<usize> {
    let mut ranks = equal_counts(keys, spans / 2);
    let mut left = keys.len() - ranks.last().unwrap();
    while ranks.len() + 1 < spans && left > 1 {
        left = left * 3 / 4;
        ranks.push(keys.len() - left);
    }
    ranks
}

/// How many spans of this shape fit into a kibibyte.
fn spans_in_1_kib(keys: &[Key], cut: impl Fn(&[Key], usize) -> Vec<usize>) -> usize {
    (4..200).take_while(|spans| ihave(keys, &cut(keys, *spans)) <= 1024).last().unwrap()
}

#[test]
fn ihaves() {
    let million = month(1_000_000, 1);
    let sizes = [
        ("without spans", ihave_bare()),
        ("1,000,000 messages, 70 spans of 14,286", ihave(&million, &equal_counts(&million, 70))),
        ("1,000,000 messages: spans of equal counts in 1 KiB", spans_in_1_kib(&million, equal_counts)),
        ("1,000,000 messages: half of the spans by age in 1 KiB", spans_in_1_kib(&million, also_by_age)),
        ("200,000 messages at full seconds: equal counts in 1 KiB", {
            spans_in_1_kib(&month(200_000, SECOND), equal_counts)
        }),
        ("200,000 messages at full seconds: 4,096 spans", {
            let chat = month(200_000, SECOND);
            ihave(&chat, &equal_counts(&chat, 4096))
        }),
        ("likely_spans(1024)", likely_spans(1024)),
        ("max_spans(1024)", max_spans(1024)),
    ];
    insta::assert_snapshot!(table(&sizes), @r"
    without spans: 52
    1,000,000 messages, 70 spans of 14,286: 980
    1,000,000 messages: spans of equal counts in 1 KiB: 73
    1,000,000 messages: half of the spans by age in 1 KiB: 83
    200,000 messages at full seconds: equal counts in 1 KiB: 73
    200,000 messages at full seconds: 4,096 spans: 46411
    likely_spans(1024): 72
    max_spans(1024): 16
    ");
}

fn ihave_bare() -> usize {
    let (window, root) = (MONTH, fingerprint(1_000_000));
    let ihave = Ihave { group: GroupId([7; 16]), window, salt: Salt(u64::MAX), root, summary: Summary::default() };
    ihave.encode().unwrap().len()
}

fn table(sizes: &[(&str, usize)]) -> String {
    sizes.iter().map(|(what, size)| format!("{what}: {size}\n")).collect()
}

fn want(ranges: Vec<RangeWant>) -> usize {
    let (group, salt, request) = (GroupId([7; 16]), Salt(u64::MAX), RequestId(100));
    encoded(&Frame::Want(Want { request, group, salt, holds: MONTH, ranges: ranges.into() })).len()
}

fn answer(verdicts: Vec<Verdict>) -> usize {
    encoded(&Frame::Answer(Answer { request: RequestId(100), holds: MONTH, verdicts: verdicts.into() })).len()
}

/// Every `nth` of `spans` spans over a million messages, with a sketch each.
fn sketches(million: &[Key], spans: usize, nth: usize, capacity: usize) -> Vec<RangeWant> {
    let summary = summary(million, &roomy_cuts(million, spans));
    let wants = summary.spans().step_by(nth).map(|span| RangeWant {
        range: span.range,
        ask: Ask::Sketch { fingerprint: span.fingerprint.tiny(), syndromes: vec![0xdead_beef; capacity] },
    });
    wants.collect()
}

/// Equal counts, moved by up to a tenth to the roundest time: what a requester does that cuts sub-ranges by itself.
fn roomy_cuts(keys: &[Key], spans: usize) -> Vec<usize> {
    let room = keys.len() / spans / 10;
    let cut = |rank: usize| {
        let bound = shortest_separator(&keys[rank - room], &keys[rank + room]);
        keys.partition_point(|key| *key < bound)
    };
    equal_counts(keys, spans).into_iter().map(cut).collect()
}

#[test]
fn wants() {
    let million = month(1_000_000, 1);
    let one = |ask| vec![RangeWant { range: KeyRange::new(million[900], Key::at(MONTH.to)).unwrap(), ask }];
    let sizes = [
        ("probe", want(vec![RangeWant { range: MONTH.keys(), ask: Ask::Check(fingerprint(1_000_000)) }])),
        ("everything", want(vec![RangeWant { range: MONTH.keys(), ask: Ask::All }])),
        ("a gap from a whole key on", want(one(Ask::All))),
        ("1 sketch of 3", want(sketches(&million, 70, 70, 3))),
        ("10 sketches of 3, apart", want(sketches(&million, 70, 7, 3))),
        ("70 sketches of 16", want(sketches(&million, 70, 1, 16))),
        ("70 ranges beside syndromes", want(sketches(&million, 70, 1, 16)) - 70 * 16 * 4),
        ("1,000 sketches of 2", want(sketches(&million, 1000, 1, 2))),
        ("1,000 ranges beside syndromes", want(sketches(&million, 1000, 1, 2)) - 1000 * 2 * 4),
        ("1,000 ids of one range", want(one(Ask::Ids(vec![1; 1000])))),
    ];
    insta::assert_snapshot!(table(&sizes), @r"
    probe: 65
    everything: 54
    a gap from a whole key on: 71
    1 sketch of 3: 67
    10 sketches of 3, apart: 275
    70 sketches of 16: 5154
    70 ranges beside syndromes: 674
    1,000 sketches of 2: 16924
    1,000 ranges beside syndromes: 8924
    1,000 ids of one range: 4076
    ");
}

#[test]
fn answers() {
    let million = month(1_000_000, 1);
    let finer = |spans| Verdict::Finer(summary(&million, &equal_counts(&million, spans)));
    let deliver = |count, lacks| Verdict::Deliver { count, lacks: vec![7; lacks] };
    let sizes = [
        ("equal", answer(vec![Verdict::Equal])),
        ("1 message", answer(vec![deliver(1, 0)])),
        ("everything", answer(vec![deliver(1_000_000, 0)])),
        ("70 ranges, 14 messages each", answer(vec![deliver(14, 0); 70])),
        ("1,000 ranges, 1 message each", answer(vec![deliver(1, 0); 1000])),
        ("70 ranges, 14 messages and 14 short ids each", answer(vec![deliver(14, 14); 70])),
        ("70 finer spans", answer(vec![finer(70)])),
    ];
    insta::assert_snapshot!(table(&sizes), @r"
    equal: 20
    1 message: 20
    everything: 23
    70 ranges, 14 messages each: 89
    1,000 ranges, 1 message each: 1023
    70 ranges, 14 messages and 14 short ids each: 4082
    70 finer spans: 955
    ");
}

#[test]
fn framing_of_deliveries() {
    use hearken_wire::messages_frame_len;
    // Bytes beside the messages in a frame of 64 KiB, in thousandths of a byte for each message.
    let framing = |length: usize| {
        let count = 65_000 / length;
        let frame = messages_frame_len(RequestId(100), std::iter::repeat_n(length, count)) + 3;
        (frame - count * length) * 1000 / count
    };
    let sizes = [("100 bytes", framing(100)), ("1,000 bytes", framing(1000)), ("10,000 bytes", framing(10_000))];
    insta::assert_snapshot!(table(&sizes), @r"
    100 bytes: 2013
    1,000 bytes: 3138
    10,000 bytes: 4500
    ");
}
