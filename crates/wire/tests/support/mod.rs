//! Values of every kind, for properties.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use bytes::{Bytes, BytesMut};
use hearken_tree::{GroupId, Id, Key, KeyRange};
use hearken_wire::{
    Answer, Ask, Frame, Ihave, RangeWant, Refusal, RefusalReason, RequestId, Salt, SaltedSpan, ShortDigest,
    ShortFingerprint, Summary, Verdict, Want, Window, encode_frame, limits::COUNT_MAX,
};
use proptest::{collection::vec, option, prelude::*, sample};

/// splitmix64: cheap, and the same everywhere.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }

    #[allow(clippy::cast_possible_truncation)]
    pub fn byte(&mut self) -> u8 {
        self.next() as u8
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.byte()).collect()
    }
}

pub fn encoded(frame: &Frame) -> BytesMut {
    let mut out = BytesMut::new();
    encode_frame(frame, &mut out).unwrap();
    out
}

/// Round times, times that share a second, ids of any length, and the ends of everything.
fn keys() -> impl Strategy<Value = Key> {
    let times = prop_oneof![
        any::<u64>(),
        (any::<u64>(), 0..64_u32).prop_map(|(time, shift)| time >> shift << shift),
        (0..100_u64).prop_map(|s| 1_700_000_000_000_000_000 + s * 1_000_000_000),
    ];
    let ids = (any::<[u8; 32]>(), prop_oneof![Just(0), Just(32), 0..=32_usize]).prop_map(|(mut id, length)| {
        id[length..].fill(0);
        Id(id)
    });
    prop_oneof![20 => (times, ids).prop_map(|(time, id)| Key::new(time, id)), 1 => Just(Key::MAX), 1 => Just(Key::MIN)]
}

fn windows() -> impl Strategy<Value = Window> {
    let end = i64::MAX as u64;
    prop_oneof![
        (0..=end, 0..=end).prop_map(|(a, b)| Window { from: a.min(b), to: a.max(b) }),
        (0..200_000_000_u64, 0..1_000_000_u64).prop_map(|(from, length)| {
            let grid = 10_000_000_000;
            Window { from: from * grid, to: (from + length) * grid }
        }),
    ]
}

fn counts() -> impl Strategy<Value = u64> {
    prop_oneof![0..100_u64, 0..100_000_u64, 0..=COUNT_MAX / 100]
}

fn fingerprints() -> impl Strategy<Value = ShortFingerprint> {
    (any::<[u8; 8]>(), counts()).prop_map(|(digest, count)| ShortFingerprint { digest: ShortDigest(digest), count })
}

/// Consecutive spans between the keys of a sorted list without duplicates.
fn summary(bounds: &[Key], fingerprints: &[ShortFingerprint]) -> Summary {
    let spans = bounds.windows(2).zip(fingerprints).map(|(ends, fingerprint)| SaltedSpan {
        range: KeyRange::new(ends[0], ends[1]).unwrap(),
        fingerprint: *fingerprint,
    });
    Summary::new(spans.collect()).unwrap()
}

pub fn ihaves() -> impl Strategy<Value = Ihave> {
    let parts = (any::<[u8; 16]>(), windows(), any::<u64>(), fingerprints(), vec(keys(), 0..80));
    (parts, vec(fingerprints(), 81), any::<bool>()).prop_map(|((group, window, salt, root, cuts), prints, bare)| {
        let keys = window.keys();
        let mut bounds = vec![keys.start(), keys.end()];
        bounds.extend(cuts.into_iter().filter(|cut| keys.contains(cut)));
        bounds.sort();
        bounds.dedup();
        let summary = if bare { Summary::default() } else { summary(&bounds, &prints) };
        let count = if summary.is_empty() { root.count } else { summary.messages() };
        let root = ShortFingerprint { count, ..root };
        Ihave { group: GroupId(group), window, salt: Salt(salt), root, summary }
    })
}

fn asks() -> impl Strategy<Value = Ask> {
    prop_oneof![
        Just(Ask::All),
        fingerprints().prop_map(Ask::Check),
        (fingerprints(), vec(any::<u32>(), 0..80))
            .prop_map(|(print, syndromes)| Ask::Sketch { fingerprint: print.tiny(), syndromes }),
        vec(any::<u32>(), 0..80).prop_map(Ask::Ids),
    ]
}

/// Ranges in order from a time on, some of which follow on each other.
fn ranges(from: Key, mut cuts: Vec<Key>, asks: Vec<Option<Ask>>) -> Vec<RangeWant> {
    cuts.retain(|cut| *cut > from);
    cuts.push(from);
    cuts.sort();
    cuts.dedup();
    let pairs = cuts.windows(2).zip(asks);
    let wants = pairs.filter_map(|(ends, ask)| {
        let range = KeyRange::new(ends[0], ends[1]).unwrap();
        ask.map(|ask| RangeWant { range, ask })
    });
    wants.collect()
}

fn wants() -> impl Strategy<Value = Want> {
    let head = (any::<u64>(), any::<[u8; 16]>(), any::<u64>(), windows());
    (head, vec(keys(), 0..40), vec(option::of(asks()), 40)).prop_map(|((request, group, salt, holds), cuts, asks)| {
        Want {
            request: RequestId(request),
            group: GroupId(group),
            salt: Salt(salt),
            holds,
            ranges: ranges(Key::at(holds.from), cuts, asks).into(),
        }
    })
}

#[derive(Clone, Debug)]
enum Plain {
    Verdict(Verdict),
    Finer(usize),
}

fn plain_verdicts() -> impl Strategy<Value = Plain> {
    let lacks = prop_oneof![Just(Vec::new()), vec(any::<u32>(), 0..50)];
    prop_oneof![
        sample::select(vec![Verdict::Outside, Verdict::Equal, Verdict::TooCostly]).prop_map(Plain::Verdict),
        (counts(), lacks).prop_map(|(count, lacks)| Plain::Verdict(Verdict::Deliver { count, lacks })),
        (0..40_usize).prop_map(Plain::Finer),
    ]
}

fn answers() -> impl Strategy<Value = Answer> {
    let parts = (any::<u64>(), windows(), vec(plain_verdicts(), 0..30), vec(keys(), 0..100), vec(fingerprints(), 40));
    parts.prop_map(|(request, holds, plain, mut bounds, prints)| {
        bounds.retain(|bound| *bound >= Key::at(holds.from));
        bounds.sort();
        bounds.dedup();
        let mut rest = bounds.as_slice();
        let verdicts = plain.into_iter().map(|plain| match plain {
            Plain::Verdict(verdict) => verdict,
            Plain::Finer(spans) => {
                let taken = &rest[..rest.len().min(spans + 1)];
                rest = &rest[taken.len().saturating_sub(1)..];
                Verdict::Finer(summary(taken, &prints))
            }
        });
        Answer { request: RequestId(request), holds, verdicts: verdicts.collect() }
    })
}

pub fn frames() -> impl Strategy<Value = Frame> {
    let request = || any::<u64>().prop_map(RequestId);
    let reasons = sample::select(vec![
        RefusalReason::Busy,
        RefusalReason::Unsupported,
        RefusalReason::UnknownGroup,
        RefusalReason::TooCostly,
        RefusalReason::RateLimited,
        RefusalReason::Failed,
    ]);
    // As many as a frame may have, however small they are.
    let messages = prop_oneof![
        vec(vec(any::<u8>(), 0..200).prop_map(Bytes::from), 0..16),
        vec(vec(any::<u8>(), 30..200).prop_map(Bytes::from), 0..40),
    ];
    prop_oneof![
        5 => wants().prop_map(Frame::Want),
        5 => answers().prop_map(Frame::Answer),
        3 => (request(), messages).prop_map(|(request, messages)| Frame::Messages { request, messages }),
        1 => request().prop_map(|request| Frame::Done { request }),
        1 => (request(), reasons).prop_map(|(request, reason)| Frame::Refusal(Refusal { request, reason })),
        1 => request().prop_map(|request| Frame::Cancel { request }),
    ]
}
