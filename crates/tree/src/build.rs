//! Building a tree from sorted keys, bottom up, in one pass.
use crate::{
    node::{Entry, Inner, Node, digest_all},
    shape::{Raw, Shape, cell_cuts},
};

/// Takes keys in ascending order; each level holds back no more than some chunks of the run that is still open.
pub(crate) struct Builder {
    shape: Shape,
    stamp: u64,
    keys: Run<Raw>,
    /// From level 1 up.
    levels: Vec<Run<Entry>>,
}

/// The open run of a level.
struct Run<T> {
    /// The entries that are not in a chunk yet.
    open: Vec<T>,
    /// The keys of the entries before, as far as they matter: a cap of them, if the run has become so long that it has cells.
    before: Vec<Raw>,
    /// Whether an earlier run was closed.
    closed: bool,
}

impl<T> Default for Run<T> {
    fn default() -> Run<T> {
        Run { open: Vec::new(), before: Vec::new(), closed: false }
    }
}

impl<T> Run<T> {
    /// With how many caps of open entries a run is cut into the cells that are certain, so that somebody's endless run is not held as
    /// a whole.
    const ROOM: usize = 4;

    fn is_full(&self, cap: usize) -> bool {
        self.open.len() >= Run::<T>::ROOM * cap
    }

    /// Whether all of the run is one chunk, if it ends here.
    fn is_chunk(&self, cap: usize) -> bool {
        self.before.is_empty() && self.open.len() <= cap
    }

    /// The sizes of the cells at the start of the open entries: of all, at the `end` of the run, else of those that no entry can join
    /// any more.
    fn cells(&mut self, cap: usize, end: bool, key: impl Fn(&T) -> &Raw) -> Vec<usize> {
        let (before, open) = (self.before.len(), self.open.len());
        let keys: Vec<&Raw> = self.before.iter().chain(self.open.iter().map(key)).collect();
        let cuts = cell_cuts(&keys, cap);
        // Later entries take back none of these cuts, and add none before the last of them.
        let ends = (1..open).filter(|i| cuts[before + i]).chain(end.then_some(open));
        let mut start = 0;
        let sizes = ends.map(|end| end - std::mem::replace(&mut start, end)).collect();
        let done = &keys[..before + start];
        let matter = if end { &[] } else { &done[done.len().saturating_sub(cap)..] };
        self.before = matter.iter().map(|key| **key).collect();
        sizes
    }
}

impl Builder {
    pub(crate) fn new(shape: Shape, stamp: u64) -> Builder {
        let keys = Run { open: Vec::with_capacity(shape.cap()), ..Run::default() };
        Builder { shape, stamp, keys, levels: Vec::new() }
    }

    /// Begins with the last chunk of `level`, which has this `first` key and is no chunk of its own where it has one entry: its run, or
    /// the end of it, with the keys of the run `before`. `closed`: there are other chunks of the level.
    pub(crate) fn reopen(&mut self, level: u8, first: &Raw, chunk: Option<&Node>, before: Vec<Raw>, closed: bool) {
        if level == 0 {
            let open = chunk.map_or_else(|| vec![*first], |leaf| leaf.firsts().to_vec());
            self.keys = Run { open, before, closed };
        } else {
            // The last entry stands for the last chunk of the level below.
            let entries = chunk.map(|chunk| (0..chunk.len() - 1).map(|index| chunk.entry(index)).collect());
            *self.level(level) = Run { open: entries.unwrap_or_default(), before, closed };
        }
    }

    /// The key that was added last.
    pub(crate) fn last(&self) -> Option<&Raw> {
        self.keys.open.last()
    }

    /// Adds a key, which must come after all before it.
    pub(crate) fn push(&mut self, key: Raw) {
        let level = self.shape.level(&key);
        if level > 0 && !self.keys.open.is_empty() {
            self.close_below(level);
        }
        self.keys.open.push(key);
        if self.keys.is_full(self.shape.cap()) {
            self.cut_keys(false);
        }
    }

    /// The entry that stands for all keys; `None` if there were none.
    pub(crate) fn finish(mut self) -> Option<Entry> {
        if self.keys.open.is_empty() {
            return None;
        }
        self.close_keys(1);
        for height in 1.. {
            let run = self.level(height);
            if let ([root], [], false) = (run.open.as_mut_slice(), run.before.as_slice(), run.closed) {
                root.freshen();
                return run.open.pop();
            }
            self.close(height, height + 1);
        }
        None
    }

    /// Makes chunks of the open runs of all levels below `level`.
    fn close_below(&mut self, level: u8) {
        let mut height = self.close_keys(level);
        while height < level {
            height = self.close(height, level);
        }
    }

    /// The first level from `height` on, but not above `level`, that has an open run, to which a chunk is added that is all there is of
    /// the runs below.
    fn open_from(&mut self, height: u8, level: u8) -> u8 {
        for height in height..level {
            let run = self.level(height);
            if !run.open.is_empty() {
                return height;
            }
            run.closed = true;
        }
        level
    }

    /// Makes chunks of the open run of keys. If it is one, it goes to the first level up to `level` that has an open run; several are
    /// entries of level 1. Returns the level.
    fn close_keys(&mut self, level: u8) -> u8 {
        if !self.keys.is_chunk(self.shape.cap()) {
            self.cut_keys(true);
            return 1;
        }
        let height = self.open_from(1, level);
        self.add(height, self.leaf(&self.keys.open));
        self.keys.open.clear();
        height
    }

    /// Makes entries of level 1 of the cells of the open run of keys.
    fn cut_keys(&mut self, end: bool) {
        let sizes = self.keys.cells(self.shape.cap(), end, |key| key);
        let mut keys = std::mem::take(&mut self.keys.open);
        let mut done = 0;
        for size in sizes {
            self.add(1, self.leaf(&keys[done..done + size]));
            done += size;
        }
        keys.drain(..done);
        self.keys.open = keys;
    }

    /// The chunk of these keys.
    fn leaf(&self, keys: &[Raw]) -> Entry {
        match keys {
            [key] => Entry::key(*key),
            keys => Entry::node(Node::leaf(self.stamp, keys.to_vec())),
        }
    }

    /// The level `height` above the keys.
    fn level(&mut self, height: u8) -> &mut Run<Entry> {
        let at = usize::from(height) - 1;
        if self.levels.len() <= at {
            self.levels.resize_with(at + 1, Run::default);
        }
        &mut self.levels[at]
    }

    /// Adds an entry to the open run of the level `height`.
    fn add(&mut self, height: u8, entry: Entry) {
        let cap = self.shape.cap();
        let run = self.level(height);
        run.open.push(entry);
        if run.is_full(cap) {
            self.cut(height, false);
        }
    }

    /// Makes chunks of the open run of the level `height`. If it is one, it goes to the first level above it, up to `level`, that has
    /// an open run; several are entries of the next level. Returns the level.
    fn close(&mut self, height: u8, level: u8) -> u8 {
        let (stamp, cap) = (self.stamp, self.shape.cap());
        let run = self.level(height);
        run.closed = true;
        if !run.is_chunk(cap) {
            self.cut(height, true);
            return height + 1;
        }
        let chunk = inner(height, stamp, &mut run.open);
        run.open.clear();
        let above = self.open_from(height + 1, level);
        self.add(above, chunk);
        above
    }

    /// Makes entries of the next level of the cells of the open run of the level `height`.
    fn cut(&mut self, height: u8, end: bool) {
        let (stamp, cap) = (self.stamp, self.shape.cap());
        let run = self.level(height);
        let sizes = run.cells(cap, end, |entry| &entry.first);
        let mut open = std::mem::take(&mut run.open);
        let mut done = 0;
        for size in sizes {
            self.add(height + 1, inner(height, stamp, &mut open[done..done + size]));
            done += size;
        }
        open.drain(..done);
        self.level(height).open = open;
    }
}

/// The chunk of these entries of the level `height`, which are taken.
fn inner(height: u8, stamp: u64, entries: &mut [Entry]) -> Entry {
    digest_all(entries.iter().filter_map(Entry::stale_page).collect());
    entries.iter_mut().for_each(Entry::freshen);
    match entries {
        [one] => one.take(),
        entries => Entry::node(Node::inner(height, stamp, Inner::of(entries))),
    }
}
