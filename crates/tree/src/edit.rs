//! Changes of a tree: in place where no cut moves, else a stretch is cut anew on every level up to where it does.
use std::collections::BTreeSet;

use crate::{
    Key, PageError, PageId,
    cursor::Cursor,
    node::{Child, Entry, Node},
    pieces::{Piece, Purpose},
    place::{Path, Place, Sides},
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
    pub(crate) fn is_written(&self, child: &Child) -> bool {
        match child {
            Child::Key => false,
            Child::Page(node) => node.stamp < self.now,
            Child::Stored(_) => true,
        }
    }

    /// The chunk is about to change in place.
    pub(crate) fn touch(&mut self, node: &mut Node) {
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

/// What a change of some keys comes to.
enum Outcome {
    /// The tree is this now.
    Root(Option<Entry>),
    /// One chunk of `level` is `new` now, and held `old` keys before. If it was split, `rest` comes behind it, in the same
    /// chunk of the next level.
    Entry { level: u8, old: u64, new: Entry, rest: Option<Entry> },
}

impl Core {
    pub(crate) fn insert(&mut self, key: &Raw) -> Result<bool, PageError> {
        if self.insert_at_end(key) {
            return Ok(true);
        }
        Ok(self.insert_some(std::slice::from_ref(key))?.1 > 0)
    }

    /// Inserts ascending keys; returns how many are new. After an error some are there and some are not.
    pub(crate) fn insert_all(&mut self, keys: &[Raw]) -> Result<u64, PageError> {
        let (mut rest, behind) = keys.split_at(self.not_appended(keys)?);
        let mut new = 0;
        while !rest.is_empty() {
            let (taken, added) = self.insert_some(rest)?;
            rest = &rest[taken..];
            new += added;
        }
        if behind.is_empty() { Ok(new) } else { Ok(new + self.append(behind)?) }
    }

    /// Inserts the first of these ascending keys and as many more as is convenient: how many, and how many of them are new.
    pub(crate) fn insert_some(&mut self, keys: &[Raw]) -> Result<(usize, u64), PageError> {
        let Some(key) = keys.first() else { return Ok((0, 0)) };
        if let Some(new) = self.insert_inside(key) {
            return Ok((1, u64::from(new)));
        }
        if let Some(done) = self.insert_in_place(keys)? {
            return Ok(done);
        }
        self.replace(key, key, vec![Piece::One(Entry::key(*key))])?;
        Ok((1, 1))
    }

    pub(crate) fn remove(&mut self, key: &Raw) -> Result<bool, PageError> {
        let mut path = Path::new();
        match self.place_to_remove(key, &mut path)? {
            Place::Nothing => return Ok(false),
            Place::At(at) => self.change(&path, -1, |node, _| node.remove_key(at))?,
            _ => self.replace(key, &successor(key), Vec::new())?,
        }
        Ok(true)
    }

    /// Replaces the keys in `from..to` by those in `new`.
    pub(crate) fn replace(&mut self, from: &Raw, to: &Raw, new: Vec<Piece>) -> Result<(), PageError> {
        let (outcome, mut gone) = self.plan(from, to, new)?;
        match outcome {
            Outcome::Root(root) => self.root = root,
            Outcome::Entry { level, old, new, rest } => self.put(level, old, new, rest)?,
        }
        self.ledger.gone.append(&mut gone);
        Ok(())
    }

    /// What becomes of the tree when the keys in `from..to` are replaced, and which pages go.
    fn plan(&self, from: &Raw, to: &Raw, new: Vec<Piece>) -> Result<(Outcome, BTreeSet<PageId>), PageError> {
        let nothing;
        let root = match &self.root {
            Some(root) => root,
            None => {
                nothing = Entry::key(MAX);
                &nothing
            }
        };
        let base = Base { source: &self.source, root };
        let mut segments = Vec::new();
        if base.root.first < *from {
            segments.push(Segment::Stored(Stored { from: MIN, to: *from, begins: true, ends: false }));
        }
        if !new.is_empty() {
            segments.push(Segment::List(new));
        }
        if self.root.is_some() && base.first_from(0, to)?.is_some() {
            segments.push(Segment::Stored(Stored { from: *to, to: MAX, begins: false, ends: true }));
        }
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
            let root = match segments.as_slice() {
                [] => Some(None),
                [Segment::List(pieces)] => match pieces.as_slice() {
                    [Piece::One(entry)] => Some(Some(entry.clone())),
                    _ => None,
                },
                [Segment::Stored(stored)] => base.only_entry(level, &stored.from, &stored.to)?.map(Some),
                _ => None,
            };
            if let Some(root) = root {
                if self.ledger.stored {
                    self.all_above(base, base.root, level, &mut gone)?;
                }
                return Ok((Outcome::Root(root), gone));
            }
            let (new, rest) = match list {
                [Piece::One(new)] => (new, None),
                [Piece::One(new), Piece::One(rest)] if self.fits_behind(base, level, new, rest)? => (new, Some(rest)),
                _ => continue,
            };
            if let Some(old) = base.only_entry(level, &from, &to)?
                && old.first == new.first
            {
                return Ok((Outcome::Entry { level, old: old.count(), new: new.clone(), rest: rest.cloned() }, gone));
            }
        }
        unreachable!("every level has fewer entries than the one below")
    }

    /// Whether `rest` can become an entry behind `new`, which is one already, without moving a cut of the next level.
    fn fits_behind(&self, base: Base<'_>, level: u8, new: &Entry, rest: &Entry) -> Result<bool, PageError> {
        let cursor = Cursor::seek(base.source, base.root, level, &new.first)?;
        let next = cursor.next_first();
        let Some((node, index)) = cursor.chunk_above() else { return Ok(false) };
        let sides = Sides { first: node.first(), next: next.as_ref(), leftmost: cursor.is_under_first() };
        if node.level != level + 1 || self.source.shape.bounds(&rest.first, node.level) {
            return Ok(false);
        }
        Ok(matches!(self.place_in(node, &rest.first, index, sides, &Path::new())?, Place::At(_) | Place::End { .. }))
    }

    /// Puts `new`, a chunk of `level`, in the place of the one with the same first key, which held `old` keys, and `rest` behind.
    fn put(&mut self, level: u8, old: u64, new: Entry, rest: Option<Entry>) -> Result<(), PageError> {
        let Some(root) = &self.root else { return Ok(()) };
        let count = new.count() + rest.as_ref().map_or(0, Entry::count);
        let more = count.wrapping_sub(old).cast_signed();
        let mut path = Path::new();
        let at = Cursor::seek(&self.source, root, level, &new.first)?.indices(&mut path);
        self.change(&path, more, |node, last| {
            node.replace(at, new, last && rest.is_none());
            if let Some(rest) = rest {
                node.insert_entry(at + 1, rest, false);
            }
        })
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
