//! Building a tree from sorted keys, bottom up, in one pass.
use crate::{
    node::{Entry, Inner, Node, digest_all},
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
        let level = self.shape.level(&key);
        if level > 0 && !self.keys.is_empty() {
            self.close_below(level);
        }
        self.keys.push(key);
    }

    /// The entry that stands for all keys; `None` if there were none.
    pub(crate) fn finish(mut self) -> Option<Entry> {
        if self.keys.is_empty() {
            return None;
        }
        let mut chunk = self.close_keys();
        let mut height = 1;
        loop {
            let Level { run, closed } = self.level(height);
            run.extend(chunk);
            if let ([_], false) = (run.as_slice(), *closed) {
                return run.pop().map(Entry::fresh);
            }
            chunk = self.close(height, None);
            height += 1;
        }
    }

    /// Makes chunks of the open runs of all levels below `level`.
    fn close_below(&mut self, level: u8) {
        let keys = self.close_keys();
        let chunk = (1..level).fold(keys, |chunk, height| self.close(height, chunk));
        self.level(level).run.extend(chunk);
    }

    /// Makes chunks of the open run of keys. If it is one, it is returned; several are entries of level 1 then.
    fn close_keys(&mut self) -> Option<Entry> {
        let keys = std::mem::take(&mut self.keys);
        let (stamp, cap) = (self.stamp, self.shape.cap());
        let chunk = |cell: &[Raw]| match cell {
            [key] => Entry::key(*key),
            keys => Entry::node(Node::leaf(stamp, keys.to_vec())),
        };
        let whole = (keys.len() <= cap).then(|| chunk(&keys));
        if whole.is_none() {
            self.level(1).run.extend(cells(&keys, cap, |key| key).map(chunk));
        }
        self.keys = keys;
        self.keys.clear();
        whole
    }

    /// The level `height` above the keys.
    fn level(&mut self, height: u8) -> &mut Level {
        let at = usize::from(height) - 1;
        if self.levels.len() <= at {
            self.levels.resize_with(at + 1, Level::default);
        }
        &mut self.levels[at]
    }

    /// Makes chunks of the open run of the level `height`, of which `last` is the last entry. If it is one, it is returned;
    /// several are entries of the next level then.
    fn close(&mut self, height: u8, last: Option<Entry>) -> Option<Entry> {
        let (stamp, cap) = (self.stamp, self.shape.cap());
        let level = self.level(height);
        level.closed = true;
        if level.run.is_empty() {
            return last;
        }
        level.run.extend(last);
        if level.run.len() == 1 {
            return level.run.pop();
        }
        let mut run = std::mem::take(&mut level.run);
        let sizes: Vec<usize> = cells(&run, cap, |entry| &entry.first).map(<[Entry]>::len).collect();
        digest_all(run.iter().filter_map(Entry::stale_page).collect());
        let mut rest = run.drain(..).map(Entry::fresh);
        let mut chunk = |size: usize| {
            if size == 1 {
                return rest.next();
            }
            let mut inner = Inner::with_capacity(size);
            rest.by_ref().take(size).for_each(|entry| inner.push(entry));
            Some(Entry::node(Node::inner(height, stamp, inner)))
        };
        let whole = if let [size] = sizes.as_slice() { chunk(*size) } else { None };
        if whole.is_none() {
            self.level(height + 1).run.extend(sizes.into_iter().filter_map(chunk));
        }
        drop(rest);
        self.level(height).run = run;
        whole
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
