use hearken_tree::{Key, KeyRange};

use crate::{
    ShortFingerprint,
    codec::spans::{PackedSpans, Received},
};

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
///
/// Those that came stay packed, as in a [`List`](crate::List), and are made one at a time as they are taken.
#[derive(Clone, Default)]
pub struct Summary {
    inner: Inner,
}

#[derive(Clone)]
enum Inner {
    Made(Vec<SaltedSpan>),
    Received(Received),
}

impl Default for Inner {
    fn default() -> Inner {
        Inner::Made(Vec::new())
    }
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
        Ok(Summary { inner: Inner::Made(spans) })
    }

    pub(crate) fn received(spans: Received) -> Summary {
        Summary { inner: Inner::Received(spans) }
    }

    /// The spans, in order.
    pub fn spans(&self) -> Spans<'_> {
        Spans(match &self.inner {
            Inner::Made(spans) => Source::Made(spans.iter()),
            Inner::Received(received) => Source::Received(received.spans()),
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.inner {
            Inner::Made(spans) => spans.len(),
            Inner::Received(received) => received.count,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages they hold together; no more than fit.
    pub fn messages(&self) -> u64 {
        match &self.inner {
            Inner::Made(spans) => spans.iter().fold(0, |sum, span| span.fingerprint.count.saturating_add(sum)),
            Inner::Received(received) => received.messages,
        }
    }

    /// The range that the spans cover together; `None` where there is no span.
    pub fn range(&self) -> Option<KeyRange> {
        let (start, end) = match &self.inner {
            Inner::Made(spans) => (spans.first()?.range.start(), spans.last()?.range.end()),
            Inner::Received(received) if received.count == 0 => return None,
            Inner::Received(received) => (received.start, received.end),
        };
        KeyRange::new(start, end).ok()
    }
}

/// The spans of a [`Summary`], in order.
#[derive(Clone)]
pub struct Spans<'a>(Source<'a>);

#[derive(Clone)]
enum Source<'a> {
    Made(std::slice::Iter<'a, SaltedSpan>),
    Received(PackedSpans<'a>),
}

impl Iterator for Spans<'_> {
    type Item = SaltedSpan;

    fn next(&mut self) -> Option<SaltedSpan> {
        match &mut self.0 {
            Source::Made(spans) => spans.next().copied(),
            // Checked when they came: none is an error.
            Source::Received(spans) => spans.next()?.ok(),
        }
    }
}

impl PartialEq for Summary {
    fn eq(&self, other: &Summary) -> bool {
        self.len() == other.len() && self.spans().eq(other.spans())
    }
}

impl Eq for Summary {}

impl std::fmt::Debug for Summary {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.spans()).finish()
    }
}
