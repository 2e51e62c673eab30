//! What is sent is what arrives, whole or in pieces, and what cannot be sent is said to be so.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::{Bytes, BytesMut};
use hearken_tree::{GroupId, Key, KeyRange};
use hearken_wire::{
    Ask, DecodeError, EncodeError, Frame, FrameError, FrameReader, Ihave, MessageBatch, RangeWant, RequestId, Salt,
    SaltedSpan, ShortDigest, ShortFingerprint, Summary, Want, Window, decode_frame, encode_frame,
    limits::{CONTROL_FRAME_MAX, COUNT_MAX, FRAME_MAX, IHAVE_MAX, MESSAGE_MAX, RANGES_MAX, SPANS_MAX, SYNDROMES_MAX},
    max_spans, messages_frame_len,
};
use proptest::{collection::vec, prelude::*};
use support::{encoded, frames, ihaves};

proptest! {
    #[test]
    fn an_ihave(ihave in ihaves()) {
        let bytes = ihave.encode().unwrap();
        prop_assert!(ihave.summary.len() <= 1 || max_spans(bytes.len()) <= ihave.summary.len());
        prop_assert_eq!(Ihave::decode(&bytes).unwrap(), ihave);
    }

    #[test]
    fn a_frame(frame in frames()) {
        let mut bytes = encoded(&frame);
        prop_assert_eq!(decode_frame(&mut bytes, FRAME_MAX).unwrap(), Some(frame));
        prop_assert!(bytes.is_empty());
    }

    #[test]
    fn frames_in_pieces(sent in vec(frames(), 1..5), piece in 1..500_usize) {
        let mut stream = BytesMut::new();
        sent.iter().for_each(|frame| encode_frame(frame, &mut stream).unwrap());
        let mut reader = FrameReader::default();
        let mut came = Vec::new();
        for piece in stream.chunks(piece) {
            reader.buffer().extend_from_slice(piece);
            while let Some(frame) = reader.next_frame().unwrap() {
                came.push(frame);
            }
        }
        prop_assert!(!reader.is_within_frame());
        prop_assert_eq!(came, sent);
    }

    #[test]
    fn batches_hold_everything_and_fit(lengths in vec(0..500_usize, 0..200), target in 100..5000_usize) {
        let messages: Vec<Bytes> = lengths.iter().map(|length| Bytes::from(vec![7; *length])).collect();
        let mut batch = MessageBatch::new(RequestId(300), target);
        let mut frames: Vec<Frame> = messages.iter().filter_map(|message| batch.push(message.clone())).collect();
        frames.extend(batch.take());

        let mut arrived = Vec::new();
        for frame in frames {
            let Frame::Messages { request, messages } = &frame else { panic!("{frame:?}") };
            let body = messages_frame_len(*request, messages.iter().map(Bytes::len));
            prop_assert!(body <= target || messages.len() == 1);
            let encoded = encoded(&frame).len();
            prop_assert_eq!(encoded, body + if body < 128 { 1 } else { 2 });
            arrived.extend_from_slice(messages);
        }
        prop_assert_eq!(arrived, messages);
    }
}

fn window() -> Window {
    Window { from: 1000, to: 2_000_000 }
}

fn fingerprint() -> ShortFingerprint {
    ShortFingerprint { digest: ShortDigest([3; 8]), count: 5 }
}

fn want(ranges: Vec<(u64, u64, Ask)>) -> Frame {
    let ranges = ranges.into_iter().map(|(from, to, ask)| RangeWant { range: KeyRange::between(from, to), ask });
    let (request, group, salt) = (RequestId(1), GroupId([9; 16]), Salt(4));
    Frame::Want(Want { request, group, salt, holds: window(), ranges: ranges.collect() })
}

fn ihave(bounds: &[u64]) -> Ihave {
    let spans = bounds
        .windows(2)
        .map(|ends| SaltedSpan { range: KeyRange::between(ends[0], ends[1]), fingerprint: fingerprint() });
    let summary = Summary::new(spans.collect()).unwrap();
    let root = ShortFingerprint { count: 5 * (bounds.len() as u64 - 1), ..fingerprint() };
    Ihave { group: GroupId([9; 16]), window: window(), salt: Salt(4), root, summary }
}

fn refused(frame: &Frame) -> EncodeError {
    let mut out = BytesMut::new();
    let error = encode_frame(frame, &mut out).unwrap_err();
    assert!(out.is_empty());
    error
}

#[test]
fn ranges_out_of_order_are_not_sent() {
    use EncodeError::OutOfOrder;
    assert!(matches!(refused(&want(vec![(999, 2000, Ask::All)])), OutOfOrder { index: 0, .. }));
    let overlapping = want(vec![(1000, 2000, Ask::All), (1999, 3000, Ask::All)]);
    assert!(matches!(refused(&overlapping), OutOfOrder { index: 1, .. }));
    assert!(matches!(refused(&want(vec![(1500, 1500, Ask::All)])), OutOfOrder { index: 0, .. }));
}

#[test]
fn what_no_receiver_accepts_is_not_sent() {
    use EncodeError::{BadWindow, TooLong, TooMany};
    let sketch = |n| Ask::Sketch { fingerprint: fingerprint().tiny(), syndromes: vec![1; n] };
    assert!(matches!(refused(&want(vec![(1000, 2000, sketch(SYNDROMES_MAX + 1))])), TooMany { max: 256, .. }));
    let many = |n, ask: Ask| want((0..n).map(|i| (1000 + i, 1001 + i, ask.clone())).collect());
    assert!(matches!(refused(&many(RANGES_MAX as u64 + 1, Ask::All)), TooMany { max: 4096, .. }));
    assert!(matches!(refused(&many(1000, sketch(50))), TooMany { .. }));
    let long = Frame::Messages { request: RequestId(1), messages: vec![vec![0; MESSAGE_MAX + 1].into()] };
    assert!(matches!(refused(&long), TooLong { max: MESSAGE_MAX, .. }));
    let two = Frame::Messages { request: RequestId(1), messages: vec![vec![0; MESSAGE_MAX].into(); 2] };
    assert!(matches!(refused(&two), TooLong { max: FRAME_MAX, .. }));

    let mut ihave = ihave(&[1000, 2_000_000]);
    ihave.window.to = 999;
    assert!(matches!(ihave.encode(), Err(BadWindow(_))));
    ihave.window.to = u64::MAX;
    assert!(matches!(ihave.encode(), Err(BadWindow(_))));
}

#[test]
fn an_ihave_covers_its_window() {
    assert!(ihave(&[1000, 5000, 2_000_000]).encode().is_ok());
    assert!(matches!(ihave(&[1001, 2_000_000]).encode(), Err(EncodeError::NotTheWindow { .. })));
    assert!(matches!(ihave(&[1000, 2_000_001]).encode(), Err(EncodeError::NotTheWindow { .. })));
    let mut wrong = ihave(&[1000, 5000, 2_000_000]);
    wrong.root.count += 1;
    assert!(matches!(wrong.encode(), Err(EncodeError::CountMismatch { root: 11, spans: 10 })));
    wrong.root.count = u64::MAX;
    assert!(matches!(wrong.encode(), Err(EncodeError::TooMany { max: COUNT_MAX, .. })));
    let bounds: Vec<u64> = (0..=SPANS_MAX as u64).map(|i| 1000 + i).chain([2_000_000]).collect();
    assert!(matches!(ihave(&bounds).encode(), Err(EncodeError::TooMany { .. })));
}

#[test]
fn the_largest_of_everything_goes_through() {
    let largest = Frame::Messages { request: RequestId(u64::MAX), messages: vec![vec![0; MESSAGE_MAX].into()] };
    let mut bytes = encoded(&largest);
    assert_eq!(decode_frame(&mut bytes, FRAME_MAX).unwrap(), Some(largest));

    let many = want((0..RANGES_MAX as u64).map(|i| (1000 + i, 1001 + i, Ask::Ids(vec![7; 12]))).collect());
    let mut bytes = encoded(&many);
    assert_eq!(decode_frame(&mut bytes, FRAME_MAX).unwrap(), Some(many));
}

#[test]
fn as_many_spans_as_promised_fit_at_worst() {
    for budget in [0, 100, 200, 1024, 10_000, IHAVE_MAX, usize::MAX] {
        let count = max_spans(budget) as u64;
        if count == 0 {
            continue;
        }
        let from = 1_000_000_000_000_000_001;
        let bound = |i: u64| match i {
            0 => Key::at(from),
            i if i == count => Key::at(i64::MAX as u64),
            i => Key::new(from + (i << 51) + 1, hearken_tree::Id([0xff; 32])),
        };
        let worst = |count| ShortFingerprint { digest: ShortDigest([0xff; 8]), count };
        let span = |i| SaltedSpan {
            range: KeyRange::new(bound(i), bound(i + 1)).unwrap(),
            fingerprint: worst(COUNT_MAX / count),
        };
        let ihave = Ihave {
            group: GroupId([0xff; 16]),
            window: Window { from, to: i64::MAX as u64 },
            salt: Salt(u64::MAX),
            root: worst(COUNT_MAX / count * count),
            summary: Summary::new((0..count).map(span).collect()).unwrap(),
        };
        assert!(ihave.encode().unwrap().len() <= budget);
    }
}

fn decode(bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
    decode_frame(&mut BytesMut::from(bytes), FRAME_MAX)
}

#[test]
fn a_long_frame_is_refused_by_its_length() {
    let prefix = |length: usize| {
        let mut bytes = Vec::new();
        prost::encode_length_delimiter(length, &mut bytes).unwrap();
        bytes
    };
    assert!(matches!(decode(&prefix(FRAME_MAX)), Ok(None)));
    assert!(matches!(decode(&prefix(FRAME_MAX + 1)), Err(FrameError::TooLong { max: FRAME_MAX, .. })));
    assert!(matches!(decode(&[0xff; 4]), Err(FrameError::BadLength)));
    assert!(matches!(decode(&[0xff; 3]), Ok(None)));

    // A want may not be so long as messages may.
    let mut want = prefix(CONTROL_FRAME_MAX + 1);
    want.push(1 << 3 | 2);
    assert!(matches!(decode(&want), Err(FrameError::TooLong { max: CONTROL_FRAME_MAX, .. })));
    assert!(matches!(decode_frame(&mut BytesMut::from(&[100][..]), 99), Err(FrameError::TooLong { max: 99, .. })));
}

#[test]
fn frames_of_other_kinds_are_named_and_skipped() {
    let mut stream = BytesMut::from(&[3, 9 << 3 | 2, 1, 0][..]);
    encode_frame(&Frame::Done { request: RequestId(7) }, &mut stream).unwrap();
    let error = decode_frame(&mut stream, FRAME_MAX).unwrap_err();
    assert_eq!(error, FrameError::Decode(DecodeError::UnknownFrame { field: 9 }));
    assert!(error.is_skippable());
    assert_eq!(decode_frame(&mut stream, FRAME_MAX), Ok(Some(Frame::Done { request: RequestId(7) })));

    assert_eq!(decode(&[0]), Err(FrameError::Decode(DecodeError::EmptyFrame)));
    let two = [8, 4 << 3 | 2, 2, 8, 1, 6 << 3 | 2, 2, 8, 1];
    assert_eq!(decode(&two), Err(FrameError::Decode(DecodeError::SeveralBodies)));
}

#[test]
fn unknown_fields_are_ignored_and_unknown_reasons_read_as_failed() {
    // Field 15 beside the request of a Done; reason 99.
    assert_eq!(decode(&[6, 4 << 3 | 2, 4, 8, 7, 15 << 3, 1]), Ok(Some(Frame::Done { request: RequestId(7) })));
    let refusal = decode(&[6, 5 << 3 | 2, 4, 8, 7, 16, 99]).unwrap().unwrap();
    let Frame::Refusal(refusal) = refusal else { panic!("{refusal:?}") };
    assert_eq!(refusal.reason, hearken_wire::RefusalReason::Failed);
}

#[test]
fn more_messages_than_allowed_are_not_collected() {
    let mut inner = [2 << 3 | 2, 0].repeat(5000);
    inner.splice(0..0, [3 << 3 | 2, 0x90, 0x4e]);
    let mut frame = vec![0x93, 0x4e];
    frame.append(&mut inner);
    assert!(matches!(decode(&frame), Err(FrameError::Decode(DecodeError::TooMany { found: 5000, .. }))));
}
