use crate::Key;

/// The keys from `start` up to, but not including, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyRange {
    start: Key,
    end: Key,
}

/// A range whose end comes before its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key range must not end ({end:?}) before it starts ({start:?})")]
pub struct InvertedRange {
    /// The start that was given.
    pub start: Key,
    /// The end that was given.
    pub end: Key,
}

impl KeyRange {
    /// Every key that a set can hold.
    pub const ALL: KeyRange = KeyRange { start: Key::MIN, end: Key::MAX };

    /// The keys in `start..end`.
    pub fn new(start: Key, end: Key) -> Result<KeyRange, InvertedRange> {
        if start <= end { Ok(KeyRange { start, end }) } else { Err(InvertedRange { start, end }) }
    }

    /// The keys with timestamps in `from..to` (nanoseconds since the Unix epoch); empty where `to <= from`.
    pub fn between(from: u64, to: u64) -> KeyRange {
        KeyRange { start: Key::at(from), end: Key::at(to.max(from)) }
    }

    /// The first key that may be in the range.
    pub fn start(&self) -> Key {
        self.start
    }

    /// The first key past the range.
    pub fn end(&self) -> Key {
        self.end
    }

    /// Its start and its end as bytes.
    pub(crate) fn bounds(&self) -> (&[u8; Key::LEN], &[u8; Key::LEN]) {
        (self.start.as_bytes(), self.end.as_bytes())
    }

    /// Whether no key can be in the range.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether `key` is in the range.
    pub fn contains(&self, key: &Key) -> bool {
        self.start <= *key && *key < self.end
    }

    /// Whether all of `other` is in the range.
    pub fn covers(&self, other: &KeyRange) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// What is in both ranges; `None` where that is nothing.
    pub fn intersection(&self, other: &KeyRange) -> Option<KeyRange> {
        let (start, end) = (self.start.max(other.start), self.end.min(other.end));
        (start < end).then_some(KeyRange { start, end })
    }
}
