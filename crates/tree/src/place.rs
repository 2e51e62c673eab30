//! Changes that move no cut: one chunk changes, and the counts and digests above it.
use std::sync::Arc;

use crate::{
    Key, PageError, PageId,
    cursor::Cursor,
    edit::{Core, Ledger},
    node::{Body, Child, Inner, Node},
    search::compare,
    shape::{Raw, common_bits},
    source::Source,
};

/// The way from the root down: which entry is taken in each chunk.
pub(crate) struct Path {
    taken: [u16; Path::DEEPEST],
    len: usize,
}

/// What a change of one key takes.
pub(crate) enum Place {
    /// Nothing: the key is there already, or not there to be removed.
    Nothing,
    /// The entry at this index of the chunk at the path's end comes, or goes.
    At(usize),
    /// The key comes at the end of the leaf at the path's end, which is a whole run: and with it all keys before `next` that
    /// bound nothing, as far as there is `room`.
    End { room: usize, next: Option<Raw> },
    /// The key at this index of the chunk at the path's end gets company: the two become a leaf.
    Beside(usize),
    /// Cuts may move.
    Anywhere,
}

/// What is to the sides of a chunk.
#[derive(Clone, Copy)]
pub(crate) struct Sides<'a> {
    /// Its own first key.
    pub(crate) first: &'a Raw,
    /// The first key after it, or after the entry that is looked at.
    pub(crate) next: Option<&'a Raw>,
    /// Whether nothing comes before it.
    pub(crate) leftmost: bool,
}

impl Path {
    /// No tree that fits into a computer is as high: every level but the first nine has at most a third of the entries of
    /// the one below.
    const DEEPEST: usize = 48;

    pub(crate) fn new() -> Path {
        Path { taken: [0; Path::DEEPEST], len: 0 }
    }

    pub(crate) fn push(&mut self, index: usize) {
        if let (Some(taken), Ok(index)) = (self.taken.get_mut(self.len), u16::try_from(index)) {
            *taken = index;
        }
        self.len += 1;
    }

    pub(crate) fn taken(&self) -> &[u16] {
        &self.taken[..self.len.min(Path::DEEPEST)]
    }
}

impl Core {
    /// Where `key` goes. It bounds the levels below `target` and not that one: so below, it is a chunk of its own if it falls
    /// between two chunks, and at `target` an entry that bounds nothing.
    pub(crate) fn place_to_insert(&self, key: &Raw, path: &mut Path) -> Result<Place, PageError> {
        let Some(root) = &self.root else { return Ok(Place::Anywhere) };
        let target = self.source.shape.level(key);
        let sides = Sides { first: &root.first, next: None, leftmost: true };
        match &root.child {
            Child::Key if root.first == *key => Ok(Place::Nothing),
            Child::Key => Ok(Place::Anywhere),
            Child::Page(node) => self.place_below(node, key, target, sides, path),
            Child::Stored(_) => match self.source.node(root)? {
                Some(node) => self.place_below(&node, key, target, sides, path),
                None => Ok(Place::Anywhere),
            },
        }
    }

    fn place_below(
        &self,
        node: &Node,
        key: &Raw,
        target: u8,
        sides: Sides<'_>,
        path: &mut Path,
    ) -> Result<Place, PageError> {
        let index = node.find_before(key, sides.first, sides.next);
        let firsts = node.firsts();
        if compare(&firsts[index], key).is_eq() {
            return Ok(Place::Nothing);
        }
        let sides =
            Sides { first: &firsts[index], next: firsts.get(index + 1).or(sides.next), leftmost: sides.leftmost };
        let Body::Inner(inner) = &node.body else {
            return if target == 0 { self.place_in(node, key, index, sides, path) } else { Ok(Place::Anywhere) };
        };
        if node.level <= target {
            let free = node.level == target && self.is_after(inner, index, key, sides)?;
            return if free { self.place_in(node, key, index, sides, path) } else { self.absent(inner, index, key) };
        }
        let sides = Sides { leftmost: sides.leftmost && index == 0, ..sides };
        match inner.child(index) {
            Child::Key => Ok(self.place_beside(&firsts[index], key, target, index, sides)),
            Child::Page(child) => {
                path.push(index);
                self.place_below(child, key, target, sides, path)
            }
            Child::Stored(_) => {
                path.push(index);
                match self.source.child(inner, index)? {
                    Some(child) => self.place_below(&child, key, target, sides, path),
                    None => Ok(Place::Anywhere),
                }
            }
        }
    }

    /// Whether no key under the entry at `index` comes after `key`, as far as that is quickly seen, and the chunks after it
    /// stay as they are.
    fn is_after(&self, inner: &Inner, index: usize, key: &Raw, sides: Sides<'_>) -> Result<bool, PageError> {
        Ok(match (inner.child(index), sides.next) {
            (Child::Key, None) => true,
            (Child::Key, Some(next)) => self.source.shape.level(next) >= self.source.shape.level(key),
            (Child::Page(child), None) => self.last_key(child)? < *key,
            _ => false,
        })
    }

    fn last_key(&self, node: &Node) -> Result<Raw, PageError> {
        let last = node.len() - 1;
        match &node.body {
            Body::Leaf(keys) => Ok(keys[last]),
            Body::Inner(inner) => match inner.child(last) {
                Child::Page(child) => self.last_key(child),
                _ => match self.source.child(inner, last)? {
                    Some(child) => self.last_key(&child),
                    None => Ok(inner.firsts[last]),
                },
            },
        }
    }

    /// `key` lies somewhere under the entry at `index`, or not.
    fn absent(&self, inner: &Inner, index: usize, key: &Raw) -> Result<Place, PageError> {
        let entry = inner.entry(index);
        let cursor = Cursor::seek(&self.source, &entry, 0, key)?;
        let there = cursor.node()?.is_some_and(|node| node.firsts().binary_search(key).is_ok());
        Ok(if there || cursor.first() == key { Place::Nothing } else { Place::Anywhere })
    }

    /// A key after a chunk of one key makes a leaf of the two, where that chunk is a whole run.
    fn place_beside(&self, alone: &Raw, key: &Raw, target: u8, index: usize, sides: Sides<'_>) -> Place {
        let shape = self.source.shape;
        let whole = sides.leftmost || shape.bounds(alone, 0);
        let ends = sides.next.is_none_or(|next| shape.bounds(next, 0));
        if target == 0 && alone < key && whole && ends { Place::Beside(index) } else { Place::Anywhere }
    }

    /// `key` comes after the entry at `index` of a chunk of its level.
    ///
    /// Inside a chunk with room nothing but the chunk changes: a cell stays a cell, since the radix nodes above it only grow.
    /// At the end of a chunk that holds too if the chunk is its whole run; or if it is a cell, and the key shares a longer
    /// prefix with it than the cell's neighbours do.
    pub(crate) fn place_in(
        &self,
        node: &Node,
        key: &Raw,
        index: usize,
        sides: Sides<'_>,
        path: &Path,
    ) -> Result<Place, PageError> {
        let (shape, firsts) = (self.source.shape, node.firsts());
        let at = index + 1;
        if firsts.len() >= shape.cap() || (index == 0 && compare(key, &firsts[0]).is_lt()) || path.len > Path::DEEPEST {
            return Ok(Place::Anywhere);
        }
        if at < firsts.len() {
            return Ok(Place::At(at));
        }
        let whole = sides.leftmost || shape.bounds(&firsts[0], node.level);
        let next = sides.next.filter(|next| !shape.bounds(next, node.level));
        if whole && next.is_none() {
            let room = shape.cap() - firsts.len();
            return Ok(if node.level == 0 { Place::End { room, next: sides.next.copied() } } else { Place::At(at) });
        }
        let shared = common_bits(&firsts[index], key);
        if shared >= common_bits(&firsts[0], &firsts[index]) && firsts.len() > 1 {
            return Ok(Place::At(at));
        }
        if next.is_some_and(|next| common_bits(key, next) > shared) {
            return Ok(Place::Anywhere);
        }
        if whole {
            return Ok(Place::At(at));
        }
        let Some(root) = &self.root else { return Ok(Place::Anywhere) };
        let mut cursor = Cursor::seek(&self.source, root, node.level, key)?;
        let before = if cursor.prev()? { cursor.last_first()? } else { firsts[0] };
        Ok(if common_bits(&before, &firsts[0]) < shared { Place::At(at) } else { Place::Anywhere })
    }

    /// Where `key` is, if it can go without moving a cut: not the first of a chunk that is a whole run. Among cells the radix
    /// node above may become small enough to be one cell.
    pub(crate) fn place_to_remove(&self, key: &Raw, path: &mut Path) -> Result<Place, PageError> {
        let shape = self.source.shape;
        let Some(root) = &self.root else { return Ok(Place::Nothing) };
        let mut next: Option<Raw> = None;
        let mut leftmost = true;
        let mut entry = root.clone();
        while let Some(node) = self.source.node(&entry)? {
            let index = node.find(key);
            if let Body::Leaf(keys) = &node.body {
                let Ok(at) = keys.binary_search(key) else { return Ok(Place::Nothing) };
                let whole = (leftmost || shape.bounds(&keys[0], 0)) && next.is_none_or(|next| shape.bounds(&next, 0));
                let stays = whole && at > 0 && keys.len() > 2 && path.len <= Path::DEEPEST;
                return Ok(if stays { Place::At(at) } else { Place::Anywhere });
            }
            path.push(index);
            next = node.firsts().get(index + 1).copied().or(next);
            leftmost &= index == 0;
            entry = node.entry(index);
        }
        Ok(if entry.first == *key { Place::Anywhere } else { Place::Nothing })
    }

    /// Changes the chunk at the path's end, which then holds `more` keys more. `change` is told whether it is the last of its
    /// level.
    pub(crate) fn change(
        &mut self,
        path: &Path,
        more: i64,
        change: impl FnOnce(&mut Node, bool),
    ) -> Result<(), PageError> {
        let Core { source, root: Some(root), ledger } = self else { return Ok(()) };
        let digest = root.digest_if_known();
        change_below(source, ledger, (&mut root.child, &root.first, digest), (path.taken(), true), more, change)?;
        root.touch(more);
        Ok(())
    }

    /// Puts the first of these ascending keys into the tree, and more of them if they go to the same place. How many it took,
    /// and how many of them are new; `None` if cuts may move.
    pub(crate) fn insert_in_place(&mut self, keys: &[Raw]) -> Result<Option<(usize, u64)>, PageError> {
        let Some(key) = keys.first() else { return Ok(Some((0, 0))) };
        let mut path = Path::new();
        let stamp = self.ledger.now;
        match self.place_to_insert(key, &mut path)? {
            Place::Nothing => return Ok(Some((1, 0))),
            Place::Anywhere => return Ok(None),
            Place::At(at) => self.change(&path, 1, |node, last| node.insert(at, key, last))?,
            Place::Beside(index) => self.change(&path, 1, |node, last| node.pair(index, key, stamp, last))?,
            Place::End { room, next } => {
                let shape = self.source.shape;
                let more = keys.windows(2).take(room - 1).take_while(|pair| {
                    let [last, key] = pair else { return false };
                    last < key && next.is_none_or(|next| *key < next) && !shape.bounds(key, 0)
                });
                let count = 1 + more.count();
                let new = u64::try_from(count).unwrap_or(u64::MAX);
                self.change(&path, new.cast_signed(), |node, last| node.append(&keys[..count], last))?;
                return Ok(Some((count, new)));
            }
        }
        Ok(Some((1, 1)))
    }
}

/// Changes what is under `child` at the end of the path. Whatever can fail comes before the first change.
fn change_below(
    source: &Source,
    ledger: &mut Ledger,
    (child, first, digest): (&mut Child, &Raw, crate::Digest),
    (path, last): (&[u16], bool),
    more: i64,
    change: impl FnOnce(&mut Node, bool),
) -> Result<(), PageError> {
    if let Child::Stored(level) = child {
        let id = PageId { level: *level, first: Key::from_bytes(*first) };
        let mut node = source.take(&id, digest)?;
        Arc::make_mut(&mut node).spare_some();
        *child = Child::Page(node);
    }
    let Child::Page(node) = child else { return Ok(()) };
    let node = Arc::make_mut(node);
    match (path.split_first(), &mut node.body) {
        (Some((index, rest)), Body::Inner(inner)) => {
            let index = usize::from(*index);
            let last = last && index + 1 == inner.firsts.len();
            let (first, digest) = (inner.firsts[index], inner.known_digest(index));
            if let Some(child) = inner.children_mut().get_mut(index) {
                change_below(source, ledger, (child, &first, digest), (rest, last), more, change)?;
            }
            ledger.touch(node);
            node.touch(index, more, last);
        }
        _ => {
            ledger.touch(node);
            change(node, last);
        }
    }
    Ok(())
}
