use bytes::Bytes;
use hearken_tree::{GroupId, KeyRange};
use prost::Message as _;

use crate::{
    DecodeError, EncodeError, Ihave, Salt, ShortDigest, ShortFingerprint, Summary,
    codec::{
        packed::{Reader, check_items, check_messages, put_varint, read_messages},
        proto,
        spans::{FINGERPRINT_MIN, LastBound, SPAN_MAX, put_spans, read_spans},
        window,
    },
    limits::{IHAVE_MAX, SPANS_MAX},
};

/// Most bytes of an IHAVE beside its spans: group 18, window 24, salt 9, count 8, digest 10, head of the spans 4 + 2.
const HEAD_MAX: usize = 75;
/// The same with a window on a round grid of time, and a count below 2 million.
const HEAD_LIKELY: usize = 64;
/// Bytes of a span as measured in `tests/sizes.rs`: digest 8, count 2, bound 3 to 4.
const SPAN_LIKELY_TENTHS: usize = 133;

/// How many spans fit into an IHAVE of at most `budget` bytes, whatever they are.
pub fn max_spans(budget: usize) -> usize {
    (budget.min(IHAVE_MAX).saturating_sub(HEAD_MAX) / SPAN_MAX).min(SPANS_MAX)
}

/// How many spans are likely to fit into an IHAVE of at most `budget` bytes, if their bounds are
/// [shortest separators](hearken_tree::shortest_separator): some four times as many as [`max_spans`].
///
/// Summarise into so many spans, encode, and should that be too long, summarise into fewer.
pub fn likely_spans(budget: usize) -> usize {
    (budget.min(IHAVE_MAX).saturating_sub(HEAD_LIKELY) * 10 / SPAN_LIKELY_TENTHS).min(SPANS_MAX)
}

impl Ihave {
    /// The IHAVE as it is published.
    ///
    /// # Errors
    /// What a receiver would refuse: a window that is none, spans that do not cover it or do not add up, too many of them.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let summary = &self.summary;
        check_items("spans in an IHAVE", SPANS_MAX, summary.len())?;
        let window = window::to_proto(&self.window)?;
        let keys = self.window.keys();
        self.check_spans(&keys)?;

        let mut packed = Vec::new();
        if !summary.is_empty() {
            put_varint(&mut packed, summary.len() as u64);
            put_spans(&mut packed, summary, LastBound::Known(keys.end()));
        }
        let encoded = proto::Ihave {
            group: Bytes::copy_from_slice(&self.group.0),
            window: Some(window),
            salt: self.salt.0,
            count: self.root.count,
            digest: Bytes::copy_from_slice(&self.root.digest.0),
            spans: packed.into(),
        }
        .encode_to_vec();
        if encoded.len() > IHAVE_MAX {
            return Err(EncodeError::TooLong { what: "an IHAVE", found: encoded.len(), max: IHAVE_MAX });
        }
        Ok(encoded)
    }

    /// Whether the spans cover the window, and hold as many messages as it.
    fn check_spans(&self, window: &KeyRange) -> Result<(), EncodeError> {
        check_messages(self.root.count)?;
        let Some(covered) = self.summary.range() else { return Ok(()) };
        if covered != *window {
            let (start, end) = (covered.start(), covered.end());
            return Err(EncodeError::NotTheWindow { window: self.window, start, end });
        }
        self.summary.spans().try_for_each(|span| check_messages(span.fingerprint.count))?;
        let (root, spans) = (self.root.count, self.summary.messages());
        if root == spans { Ok(()) } else { Err(EncodeError::CountMismatch { root, spans }) }
    }

    /// Reads what was published. Allocates at most the length of `bytes`: spans stay packed.
    ///
    /// # Errors
    /// Whatever is no IHAVE within the limits. Who forwarded it should have checked, and is to blame.
    pub fn decode(bytes: &[u8]) -> Result<Ihave, DecodeError> {
        if bytes.len() > IHAVE_MAX {
            return Err(DecodeError::TooLong { what: "an IHAVE", found: bytes.len() as u64, max: IHAVE_MAX });
        }
        let proto = proto::Ihave::decode(bytes)?;
        let window = window::from_proto(proto.window)?;
        let root = ShortFingerprint {
            digest: ShortDigest(fixed(&proto.digest, "a digest")?),
            count: read_messages(proto.count)?,
        };
        let summary = read_summary(&proto.spans, &window.keys())?;
        let spans = summary.messages();
        if !summary.is_empty() && spans != root.count {
            return Err(DecodeError::CountMismatch { root: root.count, spans });
        }
        Ok(Ihave { group: GroupId(fixed(&proto.group, "a group id")?), window, salt: Salt(proto.salt), root, summary })
    }
}

fn read_summary(packed: &Bytes, window: &KeyRange) -> Result<Summary, DecodeError> {
    if packed.is_empty() {
        return Ok(Summary::default());
    }
    let mut reader = Reader::new(packed);
    let count = reader.count(SPANS_MAX, FINGERPRINT_MIN, "spans in an IHAVE")?;
    let summary = read_spans(&mut reader, packed, count, window.start(), LastBound::Known(window.end()))?;
    reader.finish("spans")?;
    Ok(summary)
}

/// A field of a fixed length.
pub(super) fn fixed<const N: usize>(bytes: &[u8], what: &'static str) -> Result<[u8; N], DecodeError> {
    bytes.try_into().map_err(|_| DecodeError::Length { what, expected: N, found: bytes.len() })
}
