//! Packed spans: for each, the bound where it ends, its count as a varint, its digest in 8 bytes.
//!
//! Where the last bound is known, as in an IHAVE, it is left out.

use bytes::{BufMut, Bytes};
use hearken_tree::{Key, KeyRange};

use crate::{
    DecodeError, SaltedSpan, ShortDigest, ShortFingerprint, Summary,
    codec::{
        bound::{BOUND_MAX, BOUND_MIN, put_bound, read_bound},
        packed::{Reader, put_varint},
    },
};

/// The shortest code of a span but for its bound.
pub(super) const FINGERPRINT_MIN: usize = 1 + 8;
/// The shortest code of a span.
pub(super) const SPAN_MIN: usize = BOUND_MIN + FINGERPRINT_MIN;
/// The longest.
pub(super) const SPAN_MAX: usize = BOUND_MAX + 7 + 8;

/// Where spans end.
#[derive(Clone, Copy)]
pub(crate) enum LastBound {
    /// Both sides know it.
    Known(Key),
    /// It is sent.
    Sent,
}

pub(super) fn put_fingerprint(out: &mut impl BufMut, fingerprint: &ShortFingerprint) {
    put_varint(out, fingerprint.count);
    out.put_slice(&fingerprint.digest.0);
}

pub(super) fn read_fingerprint(reader: &mut Reader<'_>) -> Result<ShortFingerprint, DecodeError> {
    let count = reader.messages()?;
    Ok(ShortFingerprint { digest: ShortDigest(reader.array("a digest")?), count })
}

pub(super) fn put_spans(out: &mut impl BufMut, summary: &Summary, last: LastBound) {
    let spans = summary.len();
    for (index, span) in summary.spans().enumerate() {
        if index + 1 < spans || matches!(last, LastBound::Sent) {
            put_bound(out, &span.range.start(), &span.range.end());
        }
        put_fingerprint(out, &span.fingerprint);
    }
}

/// Checks `count` spans, a number that the caller has checked, of which the first starts at `start`; `packed` is what `reader`
/// reads from.
pub(super) fn read_spans(
    reader: &mut Reader<'_>,
    packed: &Bytes,
    count: usize,
    start: Key,
    last: LastBound,
) -> Result<Summary, DecodeError> {
    let bytes = reader.rest();
    let mut spans = PackedSpans { reader: Reader::new(bytes), index: 0, count, start, last };
    let mut messages = 0_u64;
    for span in spans.by_ref() {
        // Each is at most COUNT_MAX, and there are at most SPANS_MAX.
        messages = messages.saturating_add(span?.fingerprint.count);
    }
    let (end, used) = (spans.start, bytes.len() - spans.reader.remaining());
    let taken = reader.take(used, "spans")?;
    Ok(Summary::received(Received { packed: packed.slice_ref(taken), count, start, end, last, messages }))
}

/// Spans as they came, checked.
#[derive(Clone)]
pub(crate) struct Received {
    packed: Bytes,
    pub(crate) count: usize,
    pub(crate) start: Key,
    pub(crate) end: Key,
    last: LastBound,
    pub(crate) messages: u64,
}

impl Received {
    /// The spans, each made as it is taken.
    pub(crate) fn spans(&self) -> PackedSpans<'_> {
        let Received { packed, count, start, last, .. } = self;
        PackedSpans { reader: Reader::new(packed), index: 0, count: *count, start: *start, last: *last }
    }
}

/// Reads one span after the other.
#[derive(Clone)]
pub(crate) struct PackedSpans<'a> {
    reader: Reader<'a>,
    index: usize,
    count: usize,
    start: Key,
    last: LastBound,
}

impl PackedSpans<'_> {
    fn read(&mut self, index: usize) -> Result<SaltedSpan, DecodeError> {
        let start = self.start;
        let end = match self.last {
            LastBound::Known(end) if index + 1 == self.count => end,
            _ => read_bound(&mut self.reader, &start)?,
        };
        let range = KeyRange::new(start, end).ok().filter(|range| !range.is_empty());
        let range = range.ok_or(DecodeError::NotRising { what: "span", index, start, end })?;
        self.start = end;
        Ok(SaltedSpan { range, fingerprint: read_fingerprint(&mut self.reader)? })
    }
}

impl Iterator for PackedSpans<'_> {
    type Item = Result<SaltedSpan, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.index;
        self.index += 1;
        (index < self.count).then(|| self.read(index))
    }
}
