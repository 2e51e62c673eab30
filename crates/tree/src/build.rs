//! Building a tree from sorted keys, bottom up, in one pass.
use crate::{
    node::{Entry, Inner, Node},
    shape::{Raw, Shape, cell_cuts},
};

/// Takes keys in ascending order; each level holds back no more than the run that is still open.
pub(crate) struct Builder {
    shape: Shape,
    stamp: u64,
    keys: Vec<Raw>,
    /// From level 1 up.
    levels: Vec<Level>,
}

/// One level above 0.
#[derive(Default)]
struct Level {
    /// The entries of the open run.
    run: Vec<Entry>,
    /// Whether an earlier run was closed.
    closed: bool,
}

impl Builder {
    pub(crate) fn new(shape: Shape, stamp: u64) -> Builder {
        Builder { shape, stamp, keys: Vec::with_capacity(shape.cap()), levels: Vec::new() }
    }

    pub(crate) fn last(&self) -> Option<&Raw> {
        self.keys.last()
    }

    /// Adds a key, which must come after all before it.
    pub(crate) fn push(&mut self, key: Raw) {
        if !self.keys.is_empty() && self.shape.bounds(&key, 0) {
            self.close_keys();
        }
        self.keys.push(key);
    }

    /// The entry that stands for all keys; `None` if there were none.
    pub(crate) fn finish(mut self) -> Option<Entry> {
        if self.keys.is_empty() {
            return None;
        }
        self.close_keys();
        let mut at = 0;
        while let Some(level) = self.levels.get_mut(at) {
            if let ([_], false) = (level.run.as_slice(), level.closed) {
                return level.run.pop();
            }
            self.close(at);
            at += 1;
        }
        None
    }

    /// Makes chunks of the open run of keys.
    fn close_keys(&mut self) {
        let keys = std::mem::take(&mut self.keys);
        for cell in cells(&keys, self.shape.cap(), |key| key) {
            let entry = match cell {
                [key] => Entry::single(*key),
                keys => Entry::node(Node::leaf(self.stamp, keys.to_vec()).digested()),
            };
            self.push_entry(0, entry);
        }
        self.keys = keys;
        self.keys.clear();
    }

    /// Adds an entry of level `at` + 1.
    fn push_entry(&mut self, at: usize, entry: Entry) {
        if self.levels.len() == at {
            self.levels.push(Level::default());
        }
        let height = u8::try_from(at + 1).unwrap_or(u8::MAX);
        if !self.levels[at].run.is_empty() && self.shape.bounds(&entry.first, height) {
            self.close(at);
        }
        self.levels[at].run.push(entry);
    }

    /// Makes chunks of the open run of level `at` + 1.
    fn close(&mut self, at: usize) {
        let height = u8::try_from(at + 1).unwrap_or(u8::MAX);
        self.levels[at].closed = true;
        if self.levels[at].run.len() == 1 {
            if let Some(entry) = self.levels[at].run.pop() {
                self.push_entry(at + 1, entry);
            }
            return;
        }
        let mut run = std::mem::take(&mut self.levels[at].run);
        let sizes: Vec<usize> = cells(&run, self.shape.cap(), |entry| &entry.first).map(<[Entry]>::len).collect();
        let mut rest = run.drain(..);
        for size in sizes {
            let mut inner = Inner::with_capacity(size);
            let chunk = if size == 1 {
                rest.next()
            } else {
                rest.by_ref().take(size).for_each(|entry| inner.push(entry));
                Some(Entry::node(Node::inner(height, self.stamp, inner).digested()))
            };
            if let Some(chunk) = chunk {
                self.push_entry(at + 1, chunk);
            }
        }
        drop(rest);
        self.levels[at].run = run;
    }
}

/// Cuts a run into its cells.
fn cells<T>(run: &[T], cap: usize, key: impl Fn(&T) -> &Raw) -> impl Iterator<Item = &[T]> {
    let cuts = if run.len() <= cap { Vec::new() } else { cell_cuts(&run.iter().map(key).collect::<Vec<_>>(), cap) };
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = &run[at..];
        let len = cuts.iter().skip(at + 1).position(|cut| *cut).map_or(rest.len(), |more| more + 1);
        at += len;
        (len > 0).then(|| &rest[..len])
    })
}
