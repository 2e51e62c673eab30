//! Walking along the chunks of one level.
use std::{borrow::Borrow, sync::Arc};

use crate::{
    PageError,
    node::{Body, Entry, Node},
    place::Path,
    shape::Raw,
    source::Source,
};

/// A place among the chunks of one level, each seen as the entry that stands for it one level up.
///
/// Where chunks of one entry are not materialised, the entry points at a lower chunk, or at a key, and is both the chunk
/// and its only entry.
#[derive(Clone)]
pub(crate) struct Cursor<S> {
    source: S,
    level: u8,
    root: Entry,
    /// Chunks above `level` from the root down, each with the entry that was taken.
    path: Vec<(Arc<Node>, usize)>,
}

impl<S: Borrow<Source>> Cursor<S> {
    /// The chunk at `level` in which `key` lies or would lie: the last that does not start after it, else the first.
    pub(crate) fn seek(source: S, root: &Entry, level: u8, key: &Raw) -> Result<Cursor<S>, PageError> {
        let mut cursor = Cursor { source, level, root: root.clone(), path: Vec::with_capacity(4) };
        cursor.descend(|node| node.find(key))?;
        Ok(cursor)
    }

    /// Goes down from the current entry to the chunks of the level, choosing in each chunk on the way.
    fn descend(&mut self, choose: impl Fn(&Node) -> usize) -> Result<(), PageError> {
        let mut entry = self.entry();
        while entry.level() > self.level {
            let Some(node) = self.source.borrow().node(&entry)? else { break };
            let index = choose(&node);
            entry = node.entry(index);
            self.path.push((node, index));
        }
        Ok(())
    }

    /// The entry that stands for the chunk.
    pub(crate) fn entry(&self) -> Entry {
        self.path.last().map_or_else(|| self.root.clone(), |(node, index)| node.entry(*index))
    }

    /// The first key under the chunk.
    pub(crate) fn first(&self) -> &Raw {
        self.path.last().map_or(&self.root.first, |(node, index)| &node.firsts()[*index])
    }

    /// The chunk itself, if it has more than one entry.
    pub(crate) fn node(&self) -> Result<Option<Arc<Node>>, PageError> {
        let entry = self.entry();
        if entry.level() < self.level {
            return Ok(None);
        }
        self.source.borrow().node(&entry)
    }

    /// The first key of the chunk's last entry.
    pub(crate) fn last_first(&self) -> Result<Raw, PageError> {
        Ok(self.node()?.and_then(|node| node.firsts().last().copied()).unwrap_or(*self.first()))
    }

    /// Adds the way to the chunk that holds the current entry to `path`; the index of the entry in it.
    pub(crate) fn indices(&self, path: &mut Path) -> usize {
        let Some(((_, last), above)) = self.path.split_last() else { return 0 };
        above.iter().for_each(|(_, index)| path.push(*index));
        *last
    }

    /// The first key of the next chunk; `None` at the end.
    pub(crate) fn next_first(&self) -> Option<Raw> {
        self.path.iter().rev().find_map(|(node, index)| node.firsts().get(index + 1).copied())
    }

    /// Whether no chunk comes before it.
    pub(crate) fn is_first(&self) -> bool {
        self.path.iter().all(|(_, index)| *index == 0)
    }

    /// The chunk of which the current entry is one, and its index there; `None` at the root.
    pub(crate) fn chunk_above(&self) -> Option<(&Node, usize)> {
        self.path.last().map(|(node, index)| (&**node, *index))
    }

    /// Whether no chunk comes before the [chunk above](Self::chunk_above).
    pub(crate) fn is_under_first(&self) -> bool {
        self.path.iter().rev().skip(1).all(|(_, index)| *index == 0)
    }

    /// Goes to the next chunk; `false`, without moving, at the end.
    pub(crate) fn next(&mut self) -> Result<bool, PageError> {
        let Some(depth) = self.path.iter().rposition(|(node, index)| index + 1 < node.len()) else { return Ok(false) };
        self.path.truncate(depth + 1);
        self.path[depth].1 += 1;
        self.descend(|_| 0)?;
        Ok(true)
    }

    /// Goes to the chunk before; `false`, without moving, at the beginning.
    pub(crate) fn prev(&mut self) -> Result<bool, PageError> {
        let Some(depth) = self.path.iter().rposition(|(_, index)| *index > 0) else { return Ok(false) };
        self.path.truncate(depth + 1);
        self.path[depth].1 -= 1;
        self.descend(|node| node.len() - 1)?;
        Ok(true)
    }
}

/// Number of keys before `key`.
pub(crate) fn rank(source: &Source, root: &Entry, key: &Raw) -> Result<u64, PageError> {
    if *key <= root.first {
        return Ok(0);
    }
    source.node(root)?.map_or(Ok(1), |node| rank_below(source, &node, key, (&root.first, None)))
}

/// Number of keys under `node` before `key`, which comes after the `first` one; `next` is the first key after them.
fn rank_below(source: &Source, node: &Node, key: &Raw, (first, next): (&Raw, Option<&Raw>)) -> Result<u64, PageError> {
    let Body::Inner(inner) = &node.body else {
        let last = node.find_before(key, first, next);
        return Ok(last as u64 + u64::from(node.firsts()[last] < *key));
    };
    let index = node.guess_before(key, first, next);
    let (rank, first) = (node.count_before(index), &inner.firsts[index]);
    if key <= first {
        return Ok(rank);
    }
    let sides = (first, inner.firsts.get(index + 1).or(next));
    source.with_child(inner, index, |child| {
        Ok(rank + child.map_or(Ok(1), |child| rank_below(source, child, key, sides))?)
    })
}
