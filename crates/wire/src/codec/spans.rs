//! Packed spans: for each, the bound where it ends, its count as a varint, its digest in 8 bytes.
//!
//! Where the last bound is known, as in an IHAVE, it is left out.

use bytes::BufMut;
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
pub(super) enum LastBound {
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

pub(super) fn put_spans(out: &mut impl BufMut, spans: &[SaltedSpan], last: LastBound) {
    for (index, span) in spans.iter().enumerate() {
        if index + 1 < spans.len() || matches!(last, LastBound::Sent) {
            put_bound(out, &span.range.start(), &span.range.end());
        }
        put_fingerprint(out, &span.fingerprint);
    }
}

/// Reads `count` spans, a number that the caller has checked, of which the first starts at `start`.
pub(super) fn read_spans(
    reader: &mut Reader<'_>,
    count: usize,
    start: Key,
    last: LastBound,
) -> Result<Summary, DecodeError> {
    let mut spans = Vec::with_capacity(count);
    let mut start = start;
    for index in 0..count {
        let end = match last {
            LastBound::Known(end) if index + 1 == count => end,
            _ => read_bound(reader, &start)?,
        };
        let range = KeyRange::new(start, end).ok().filter(|range| !range.is_empty());
        let range = range.ok_or(DecodeError::NotRising { what: "span", index, start, end })?;
        spans.push(SaltedSpan { range, fingerprint: read_fingerprint(reader)? });
        start = end;
    }
    Ok(Summary::new(spans)?)
}
