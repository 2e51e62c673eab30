use hearken_tree::{Key, KeyRange};

use crate::ShortFingerprint;

/// A stretch of time, `from..to`, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// Start, inclusive.
    pub from: u64,
    /// End, exclusive; never before `from`.
    pub to: u64,
}

impl Window {
    /// The keys with timestamps in the window.
    pub fn keys(&self) -> KeyRange {
        KeyRange::between(self.from, self.to)
    }
}

/// A key range with its fingerprint under a salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaltedSpan {
    /// Which keys; never empty.
    pub range: KeyRange,
    /// What is there.
    pub fingerprint: ShortFingerprint,
}

/// Spans without gaps or overlaps: each starts where the one before it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    spans: Vec<SaltedSpan>,
}

/// Spans that do not follow one another, or of which one is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("span {index} of a summary starts at {found:?}, but the one before it ended at {expected:?}")]
pub struct NotConsecutive {
    /// Which span.
    pub index: usize,
    /// Where it had to start.
    pub expected: Key,
    /// Where it starts.
    pub found: Key,
}

impl Summary {
    /// A summary of these spans.
    pub fn new(spans: Vec<SaltedSpan>) -> Result<Summary, NotConsecutive> {
        let mut expected = spans.first().map_or(Key::MIN, |span| span.range.start());
        for (index, span) in spans.iter().enumerate() {
            if span.range.start() != expected || span.range.is_empty() {
                return Err(NotConsecutive { index, expected, found: span.range.start() });
            }
            expected = span.range.end();
        }
        Ok(Summary { spans })
    }

    /// The spans, in order.
    pub fn spans(&self) -> &[SaltedSpan] {
        &self.spans
    }

    /// The range that the spans cover together; `None` where there is no span.
    pub fn range(&self) -> Option<KeyRange> {
        let (first, last) = (self.spans.first()?, self.spans.last()?);
        KeyRange::new(first.range.start(), last.range.end()).ok()
    }
}
