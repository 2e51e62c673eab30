//! The test vectors of `proto/vectors.txt`. `UPDATE=1 cargo test -p hearken-wire` writes them anew.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod support;

use std::{env, fs, path::Path};

use bytes::{Bytes, BytesMut};
use hearken_tree::{Digest, Fingerprint, GroupId, Id, Key, KeyRange};
use hearken_wire::{
    Answer, Ask, Frame, Ihave, RangeWant, Refusal, RefusalReason, RequestId, Salt, SaltedSpan, Summary, Verdict, Want,
    Window, control_topic, decode_frame, limits::FRAME_MAX,
};
use support::encoded;

const HOUR: u64 = 3_600_000_000_000;
/// 2026-01-01 00:00:00 UTC.
const START: u64 = 1_767_225_600_000_000_000;
const WINDOW: Window = Window { from: START, to: START + HOUR };
const SALT: Salt = Salt(0x0123_4567_89ab_cdef);
const GROUP: GroupId = GroupId(*b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f");

fn fingerprint(byte: u8, count: u64) -> Fingerprint {
    Fingerprint { digest: Digest([byte; 32]), count }
}

/// The window's bounds and two between them: a round time, and one inside a moment that many messages share.
fn bounds() -> [Key; 4] {
    let mut id = [0; 32];
    id[..2].copy_from_slice(&[0xa1, 0xb2]);
    let keys = WINDOW.keys();
    let round = START >> 40 << 40;
    [keys.start(), Key::at(round + (1 << 40)), Key::new(START + HOUR / 2, Id(id)), keys.end()]
}

fn range(index: usize) -> KeyRange {
    let bounds = bounds();
    KeyRange::new(bounds[index], bounds[index + 1]).unwrap()
}

fn summary() -> Summary {
    let counts = [(1, 5), (2, 300), (3, 0)];
    let span = |(index, (byte, count)): (usize, &(u8, u64))| SaltedSpan {
        range: range(index),
        fingerprint: SALT.shorten(&fingerprint(*byte, *count)),
    };
    Summary::new(counts.iter().enumerate().map(span).collect()).unwrap()
}

fn ihaves() -> Vec<(&'static str, Ihave)> {
    let root = SALT.shorten(&fingerprint(4, 305));
    let ihave = Ihave { group: GROUP, window: WINDOW, salt: SALT, root, summary: Summary::default() };
    vec![("ihave-bare", ihave.clone()), ("ihave-three-spans", Ihave { summary: summary(), ..ihave })]
}

fn want(ranges: Vec<(KeyRange, Ask)>) -> Frame {
    let ranges = ranges.into_iter().map(|(range, ask)| RangeWant { range, ask }).collect();
    Frame::Want(Want { request: RequestId(1), group: GROUP, salt: SALT, holds: WINDOW, ranges })
}

fn answer(verdicts: Vec<Verdict>) -> Frame {
    Frame::Answer(Answer { request: RequestId(1), holds: WINDOW, verdicts: verdicts.into() })
}

fn frames() -> Vec<(&'static str, Frame)> {
    let request = RequestId(1);
    let print = SALT.shorten(&fingerprint(1, 5));
    let sketch = |n| Ask::Sketch { fingerprint: print.tiny(), syndromes: (1..=n).collect() };
    let refusal = |reason| Frame::Refusal(Refusal { request, reason });
    vec![
        ("want-probe", want(vec![(WINDOW.keys(), Ask::Check(print))])),
        ("want-everything", want(vec![(WINDOW.keys(), Ask::All)])),
        (
            "want-each-kind",
            want(vec![(range(0), Ask::Check(print)), (range(1), sketch(3)), (range(2), Ask::Ids(vec![7, 8]))]),
        ),
        ("want-range-apart", want(vec![(range(2), Ask::All)])),
        ("want-large-sketch", want(vec![(range(1), sketch(32))])),
        (
            "answer-each-kind",
            answer(vec![
                Verdict::Outside,
                Verdict::Equal,
                Verdict::TooCostly,
                Verdict::Deliver { count: 30, lacks: vec![] },
                Verdict::Deliver { count: 31, lacks: vec![] },
                Verdict::Deliver { count: 0, lacks: vec![0x0102_0304, 5] },
                Verdict::Finer(summary()),
                Verdict::Finer(Summary::default()),
            ]),
        ),
        (
            "messages",
            Frame::Messages { request, messages: vec![Bytes::from_static(b"first"), Bytes::from_static(b"second")] },
        ),
        ("done", Frame::Done { request }),
        ("refusal-busy", refusal(RefusalReason::Busy)),
        ("refusal-unsupported", refusal(RefusalReason::Unsupported)),
        ("refusal-unknown-group", refusal(RefusalReason::UnknownGroup)),
        ("refusal-too-costly", refusal(RefusalReason::TooCostly)),
        ("refusal-rate-limited", refusal(RefusalReason::RateLimited)),
        ("refusal-failed", refusal(RefusalReason::Failed)),
        ("cancel", Frame::Cancel { request }),
    ]
}

fn salted_digest() -> String {
    hex::encode(SALT.shorten(&fingerprint(1, 5)).digest.0)
}

fn vectors() -> String {
    let ihaves = ihaves().into_iter().map(|(name, ihave)| (name, hex::encode(ihave.encode().unwrap())));
    let frames = frames().into_iter().map(|(name, frame)| (name, hex::encode(encoded(&frame))));
    let all = [("salted-digest", salted_digest())].into_iter().chain(ihaves).chain(frames);
    all.map(|(name, hex)| format!("{name} {hex}\n")).collect()
}

#[test]
fn bytes_are_as_written_down() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/vectors.txt");
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, vectors()).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, vectors(), "if the change is meant: UPDATE=1 cargo test -p hearken-wire");

    let bytes = |name: &str| {
        let line = written.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
        hex::decode(line).unwrap()
    };
    for (name, ihave) in ihaves() {
        assert_eq!(Ihave::decode(&bytes(name)), Ok(ihave), "{name}");
    }
    for (name, frame) in frames() {
        assert_eq!(decode_frame(&mut BytesMut::from(&bytes(name)[..]), FRAME_MAX), Ok(Some(frame)), "{name}");
    }
}

#[test]
fn control_topics() {
    assert_eq!(control_topic("/waku/2/rs/0/0"), "/hearken/1/ihave/waku/2/rs/0/0");
}
