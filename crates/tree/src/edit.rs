//! Changes of a tree: in place where no cut moves, else a stretch is cut anew on every level up to where it does.
use std::{collections::BTreeSet, sync::Arc};

use crate::{
    Key, PageError, PageId,
    cursor::Cursor,
    node::{Body, Child, Entry, Node},
    pieces::{Piece, Purpose},
    sequence::{Base, MAX, MIN, Segment, Stored},
    shape::Raw,
    source::Source,
};

/// Which pages a store holds, and which of them the tree has left behind.
#[derive(Clone)]
pub(crate) struct Ledger {
    /// The stamp that changed chunks get: one more than the flushes so far.
    pub(crate) now: u64,
    /// Pages that were written, or were there from the start, and whose chunks have changed since or are no more.
    pub(crate) gone: BTreeSet<PageId>,
    /// Whether any page was ever written.
    pub(crate) stored: bool,
}

impl Ledger {
    fn is_written(&self, child: &Child) -> bool {
        match child {
            Child::Key => false,
            Child::Page(node) => node.stamp < self.now,
            Child::Stored(_) => true,
        }
    }

    /// The chunk is about to change in place.
    fn touch(&mut self, node: &mut Node) {
        if node.stamp < self.now {
            self.gone.insert(PageId { level: node.level, first: Key::from_bytes(*node.first()) });
            node.stamp = self.now;
        }
    }
}

/// The part of a tree that changes.
#[derive(Clone)]
pub(crate) struct Core {
    pub(crate) source: Source,
    pub(crate) root: Option<Entry>,
    pub(crate) ledger: Ledger,
}

/// A leaf and what matters of its neighbours.
struct Leaf {
    node: Arc<Node>,
    /// The first key after it.
    next: Option<Raw>,
    /// Whether nothing comes before it.
    leftmost: bool,
}

/// How the keys of one leaf are changed in place.
enum Place {
    /// The key is there already, or not there to be removed.
    Nothing,
    /// No cut moves: the leaf leftmost changes.
    InLeaf,
    /// Cuts may move.
    Anywhere,
}

impl Core {
    pub(crate) fn insert(&mut self, key: &Raw) -> Result<bool, PageError> {
        match self.place_to_insert(key)? {
            Place::Nothing => return Ok(false),
            Place::InLeaf => self.change_leaf(key, 1, |keys, at| {
                if keys.len() == keys.capacity() {
                    keys.reserve_exact((keys.len() / 8).max(4));
                }
                keys.insert(at, *key);
            })?,
            Place::Anywhere => self.replace(key, key, vec![Piece::One(Entry::key(*key))])?,
        }
        Ok(true)
    }

    pub(crate) fn remove(&mut self, key: &Raw) -> Result<bool, PageError> {
        match self.place_to_remove(key)? {
            Place::Nothing => return Ok(false),
            Place::InLeaf => self.change_leaf(key, -1, |keys, at| {
                keys.remove(at);
            })?,
            Place::Anywhere => self.replace(key, &successor(key), Vec::new())?,
        }
        Ok(true)
    }

    /// A key that bounds nothing and falls among the keys of a chunk with room changes that chunk only: a cell stays a
    /// cell, since the radix node above it only grows. At a chunk's end the same holds if the chunk is its whole run.
    fn place_to_insert(&self, key: &Raw) -> Result<Place, PageError> {
        let shape = self.source.shape;
        let Some(Leaf { node: leaf, next, leftmost }) = self.leaf(key)? else {
            return Ok(if self.contains(key)? { Place::Nothing } else { Place::Anywhere });
        };
        let keys = leaf.firsts();
        let Err(at) = keys.binary_search(key) else { return Ok(Place::Nothing) };
        let whole_run = || leftmost || shape.bounds(&keys[0], 0);
        let ends_run = || next.is_none_or(|next| shape.bounds(&next, 0));
        let inside = at > 0 && (at < keys.len() || (whole_run() && ends_run()));
        Ok(if inside && keys.len() < shape.cap() && !shape.bounds(key, 0) { Place::InLeaf } else { Place::Anywhere })
    }

    /// A key that is not the first of its chunk, where that is its whole run, changes that chunk only. Among cells the radix
    /// node above may become small enough to be one cell.
    fn place_to_remove(&self, key: &Raw) -> Result<Place, PageError> {
        let shape = self.source.shape;
        let Some(Leaf { node: leaf, next, leftmost }) = self.leaf(key)? else {
            return Ok(if self.contains(key)? { Place::Anywhere } else { Place::Nothing });
        };
        let keys = leaf.firsts();
        let Ok(at) = keys.binary_search(key) else { return Ok(Place::Nothing) };
        let whole_run = (leftmost || shape.bounds(&keys[0], 0)) && next.is_none_or(|next| shape.bounds(&next, 0));
        Ok(if whole_run && at > 0 && keys.len() > 2 { Place::InLeaf } else { Place::Anywhere })
    }

    /// The leaf where `key` belongs; `None` if that is no leaf of several keys.
    fn leaf(&self, key: &Raw) -> Result<Option<Leaf>, PageError> {
        let Some(root) = &self.root else { return Ok(None) };
        let mut next = None;
        let mut leftmost = true;
        let Some(mut node) = self.source.node(root)? else { return Ok(None) };
        while let Body::Inner(inner) = &node.body {
            let index = node.find(key);
            next = inner.firsts.get(index + 1).copied().or(next);
            leftmost &= index == 0;
            let Some(below) = self.source.child(inner, index)? else { return Ok(None) };
            node = below;
        }
        Ok(Some(Leaf { node, next, leftmost }))
    }

    pub(crate) fn contains(&self, key: &Raw) -> Result<bool, PageError> {
        let Some(root) = &self.root else { return Ok(false) };
        let cursor = Cursor::seek(&self.source, root, 0, key)?;
        Ok(match cursor.node()? {
            Some(node) => node.firsts().binary_search(key).is_ok(),
            None => cursor.first() == key,
        })
    }

    /// Changes the leaf where `key` belongs, which then holds `more` keys more, and everything above it.
    fn change_leaf(
        &mut self,
        key: &Raw,
        more: i64,
        change: impl FnOnce(&mut Vec<Raw>, usize),
    ) -> Result<(), PageError> {
        let Core { source, root: Some(root), ledger } = self else { return Ok(()) };
        let change = |node: &mut Node| {
            if let Body::Leaf(keys) = node.body_mut() {
                let at = keys.partition_point(|k| k < key);
                change(keys, at);
            }
        };
        let digest = root.digest_if_known();
        change_below(source, ledger, (&mut root.child, &root.first, digest), key, 0, more, Change::Leaf(change))?;
        root.touch(more);
        Ok(())
    }

    /// Replaces the keys in `from..to` by those in `new`.
    pub(crate) fn replace(&mut self, from: &Raw, to: &Raw, new: Vec<Piece>) -> Result<(), PageError> {
        let Some(root) = self.root.clone() else {
            let source = self.source.clone();
            let nothing = Entry::key(MAX);
            let base = Base { source: &source, root: &nothing };
            return self.apply(base, vec![Segment::List(new)]);
        };
        let source = self.source.clone();
        let base = Base { source: &source, root: &root };
        let mut segments = Vec::new();
        if root.first < *from {
            segments.push(Segment::Stored(Stored { from: MIN, to: *from, begins: true, ends: false }));
        }
        if !new.is_empty() {
            segments.push(Segment::List(new));
        }
        if base.first_from(0, to)?.is_some() {
            segments.push(Segment::Stored(Stored { from: *to, to: MAX, begins: false, ends: true }));
        }
        self.apply(base, segments)
    }

    /// Makes the tree what these level-0 segments of its old version say. Nothing is changed before all is known.
    fn apply(&mut self, base: Base<'_>, mut segments: Vec<Segment>) -> Result<(), PageError> {
        let mut gone = BTreeSet::new();
        for level in 0..=u8::MAX {
            segments = base.step(level, segments, Purpose::Keep(self.ledger.now))?;
            let from = match segments.first() {
                Some(Segment::Stored(stored)) if stored.begins => stored.to,
                _ => MIN,
            };
            let to = match segments.last() {
                Some(Segment::Stored(stored)) if stored.ends => stored.from,
                _ => MAX,
            };
            let list = segments.iter().find_map(|segment| match segment {
                Segment::List(pieces) => Some(pieces.as_slice()),
                Segment::Stored(_) => None,
            });
            let list = list.unwrap_or_default();
            if self.ledger.stored {
                self.left_behind(base, level, (&from, &to), list, &mut gone)?;
            }
            let new_root = match segments.as_slice() {
                [] => Some(None),
                [Segment::List(pieces)] => match pieces.as_slice() {
                    [Piece::One(entry)] => Some(Some(entry.clone())),
                    _ => None,
                },
                [Segment::Stored(stored)] => base.only_entry(level, &stored.from, &stored.to)?.map(Some),
                _ => None,
            };
            if let Some(new_root) = new_root {
                if self.ledger.stored {
                    self.all_above(base, base.root, level, &mut gone)?;
                }
                self.root = new_root;
                break;
            }
            if let [Piece::One(entry)] = list
                && base.only_entry(level, &from, &to)?.is_some_and(|old| old.first == entry.first)
            {
                self.put(level, entry.clone())?;
                break;
            }
        }
        self.ledger.gone.append(&mut gone);
        Ok(())
    }

    /// Puts `entry`, a chunk of `level`, in the place of the one with the same first key.
    fn put(&mut self, level: u8, entry: Entry) -> Result<(), PageError> {
        let Core { source, root: Some(root), ledger } = self else { return Ok(()) };
        let base = Base { source: &source.clone(), root: &root.clone() };
        let old = Cursor::seek(base.source, base.root, level, &entry.first)?.entry();
        let more = entry.count().wrapping_sub(old.count()).cast_signed();
        let first = entry.first;
        let change: Change<fn(&mut Node)> = Change::Entry(entry);
        let digest = root.digest_if_known();
        change_below(source, ledger, (&mut root.child, &root.first, digest), &first, level, more, change)?;
        root.touch(more);
        Ok(())
    }

    /// Notes the written chunks of `level` in `range` that are not among the `new` ones.
    fn left_behind(
        &self,
        base: Base<'_>,
        level: u8,
        (from, to): (&Raw, &Raw),
        new: &[Piece],
        gone: &mut BTreeSet<PageId>,
    ) -> Result<(), PageError> {
        let mut cursor = Cursor::seek(base.source, base.root, level, from)?;
        loop {
            let entry = cursor.entry();
            let kept = |piece: &Piece| matches!(piece, Piece::One(new) if new.is_same_chunk(&entry));
            let inside = *from <= entry.first && entry.first < *to;
            if inside && entry.level() == level && self.ledger.is_written(&entry.child) {
                let near = new.binary_search_by(|piece| piece.firsts()[0].cmp(&entry.first));
                if !near.is_ok_and(|at| kept(&new[at])) {
                    gone.extend(entry.page());
                }
            }
            if entry.first >= *to || !cursor.next()? {
                return Ok(());
            }
        }
    }

    /// Notes all written chunks above `level`.
    fn all_above(
        &self,
        base: Base<'_>,
        entry: &Entry,
        level: u8,
        gone: &mut BTreeSet<PageId>,
    ) -> Result<(), PageError> {
        if entry.level() <= level {
            return Ok(());
        }
        if self.ledger.is_written(&entry.child) {
            gone.extend(entry.page());
        }
        if let Some(node) = base.source.node(entry)? {
            (0..node.len()).try_for_each(|i| self.all_above(base, &node.entry(i), level, gone))?;
        }
        Ok(())
    }
}

/// What is done at the end of a path.
enum Change<F> {
    /// To the leaf.
    Leaf(F),
    /// The entry is put in the place of the one with its first key.
    Entry(Entry),
}

/// Changes what is under `child` on the path to `key`: the leaf, or the entry of a chunk of `level`. Whatever can fail
/// comes before the first change.
fn change_below<F: FnOnce(&mut Node)>(
    source: &Source,
    ledger: &mut Ledger,
    (child, first, digest): (&mut Child, &Raw, crate::Digest),
    key: &Raw,
    level: u8,
    more: i64,
    change: Change<F>,
) -> Result<(), PageError> {
    if let Child::Stored(level) = child {
        let id = PageId { level: *level, first: Key::from_bytes(*first) };
        *child = Child::Page(source.load(&id, digest)?);
    }
    let Child::Page(node) = child else { return Ok(()) };
    let node = Arc::make_mut(node);
    let index = node.find(key);
    if let Body::Inner(inner) = &mut node.body {
        match change {
            Change::Entry(entry) if inner.child(index).level() <= level => {
                ledger.touch(node);
                if let Body::Inner(inner) = node.body_mut() {
                    inner.replace(index, entry);
                }
                return Ok(());
            }
            change => {
                let (first, digest) = (inner.firsts[index], inner.known_digest(index));
                if let Some(child) = inner.children_mut().get_mut(index) {
                    change_below(source, ledger, (child, &first, digest), key, level, more, change)?;
                }
            }
        }
        ledger.touch(node);
        if let Body::Inner(inner) = node.body_mut() {
            inner.touch(index, more);
        }
    } else if let Change::Leaf(change) = change {
        ledger.touch(node);
        change(node);
    }
    Ok(())
}

/// The smallest key after `key`.
fn successor(key: &Raw) -> Raw {
    let mut next = *key;
    for byte in next.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            break;
        }
    }
    next
}
