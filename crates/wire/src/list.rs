use std::fmt;

use bytes::Bytes;
use hearken_tree::Key;

/// A list in a frame: as it was made, or as it came, checked but still packed.
///
/// What came takes no more memory than its bytes, which an item may be fifty times as large as: items are made one at a time,
/// as they are taken. So what a frame costs before anybody has decided to look at it is the frame.
pub struct List<T> {
    inner: Inner<T>,
}

/// Items out of bytes that were checked when they came.
pub(crate) type Open<T> = for<'a> fn(&'a Bytes, Key) -> Box<dyn Iterator<Item = T> + 'a>;

#[derive(Clone)]
enum Inner<T> {
    Made(Vec<T>),
    Received { packed: Bytes, from: Key, count: usize, open: Open<T> },
}

impl<T: Clone> List<T> {
    /// The items that `open` reads from `packed`, `count` of them, where bounds go on from `from`.
    pub(crate) fn received(packed: Bytes, from: Key, count: usize, open: Open<T>) -> List<T> {
        List { inner: Inner::Received { packed, from, count, open } }
    }

    /// The items in order, each made as it is taken.
    pub fn iter(&self) -> Box<dyn Iterator<Item = T> + '_> {
        match &self.inner {
            Inner::Made(items) => Box::new(items.iter().cloned()),
            Inner::Received { packed, from, open, .. } => open(packed, *from),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.inner {
            Inner::Made(items) => items.len(),
            Inner::Received { count, .. } => *count,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The only item, if there is just one.
    pub fn only(&self) -> Option<T> {
        if self.len() == 1 { self.iter().next() } else { None }
    }

    /// All of them, made.
    pub fn to_vec(&self) -> Vec<T> {
        self.iter().collect()
    }
}

impl<T> From<Vec<T>> for List<T> {
    fn from(items: Vec<T>) -> List<T> {
        List { inner: Inner::Made(items) }
    }
}

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> List<T> {
        items.into_iter().collect::<Vec<T>>().into()
    }
}

impl<T> Default for List<T> {
    fn default() -> List<T> {
        Vec::new().into()
    }
}

impl<T: Clone> Clone for List<T> {
    fn clone(&self) -> List<T> {
        List { inner: self.inner.clone() }
    }
}

impl<T: Clone + PartialEq> PartialEq for List<T> {
    fn eq(&self, other: &List<T>) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<T: Clone + Eq> Eq for List<T> {}

impl<T: Clone + fmt::Debug> fmt::Debug for List<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}
