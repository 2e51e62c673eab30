//! The short ways for most keys: to the end of the last chunk of their level, or into a chunk between two keys of it.
use std::sync::Arc;

use crate::{
    edit::{Core, Ledger},
    node::{Body, Child, Entry, Node},
    place::Path,
    search::compare,
    shape::{Raw, Shape, common_bits},
};

impl Core {
    /// Adds `key` if it comes after all others and nothing but the last chunk of its level changes. Whether it did.
    pub(crate) fn insert_at_end(&mut self, key: &Raw) -> bool {
        let Core { source, root: Some(root), ledger } = self else { return false };
        if matches!(&root.child, Child::Page(node) if node.firsts().last().is_some_and(|last| compare(last, key).is_gt()))
        {
            return false;
        }
        let level = source.shape.level(key);
        let takes = takes_at_end(source.shape, &root.child, key, level);
        if takes {
            let add = |node: &mut Node, last| {
                if level == 0 {
                    node.append(std::slice::from_ref(key), last);
                } else {
                    node.insert(node.len(), key, last);
                }
            };
            change(root, ledger, level, |node, _| node.len() - 1, add);
        }
        takes
    }

    /// Adds `key` if it falls between two keys of a chunk of its level and nothing but that chunk changes. Whether it was new; `None`,
    /// without any change, where it takes a closer look.
    pub(crate) fn insert_inside(&mut self, key: &Raw) -> Option<bool> {
        let Core { source, root: Some(root), ledger } = self else { return None };
        let mut path = Path::new();
        let level = source.shape.level(key);
        let at = place_inside(source.shape, root, key, level, &mut path)?;
        if let Some(at) = at {
            let taken = path.taken();
            change(root, ledger, level, |_, depth| usize::from(taken[depth]), |node, last| node.insert(at, key, last));
        }
        Some(at.is_some())
    }
}

/// Whether `key`, which bounds all below `level` and not that, comes after all others and goes to the end of the last chunk of the
/// level, which is in memory and ends with a key: if that has room, and is a whole run or shares no more bits than it does with the key.
fn takes_at_end(shape: Shape, mut child: &Child, key: &Raw, level: u8) -> bool {
    while let Child::Page(node) = child {
        match &node.body {
            Body::Inner(inner) if node.level > level => child = inner.child(inner.firsts.len() - 1),
            Body::Inner(inner) if !matches!(inner.child(inner.firsts.len() - 1), Child::Key) => return false,
            _ => return node.level == level && fits_at_end(shape, node, key),
        }
    }
    false
}

/// Whether `key` can be one more entry of `node`, which ends with a key.
fn fits_at_end(shape: Shape, node: &Node, key: &Raw) -> bool {
    let firsts = node.firsts();
    let (first, last) = (&firsts[0], &firsts[firsts.len() - 1]);
    let after = compare(last, key).is_lt() && firsts.len() < shape.cap();
    after && (shape.bounds(first, node.level) || common_bits(last, key) >= common_bits(first, last))
}

/// Before which entry of the chunk at the end of `path` this `key` goes, if it bounds all below `level` and not that, and falls between
/// two keys of a chunk of the level with room; `Some(None)` if it is there already. Inside of a chunk nothing but the chunk changes: a
/// cell stays a cell, since the radix nodes above it only grow.
fn place_inside(shape: Shape, root: &Entry, key: &Raw, level: u8, path: &mut Path) -> Option<Option<usize>> {
    let (mut child, mut first, mut next) = (&root.child, &root.first, None);
    while let Child::Page(node) = child {
        let firsts = node.firsts();
        let index = node.find_before(key, first, next);
        first = &firsts[index];
        next = firsts.get(index + 1).or(next);
        let below = match &node.body {
            Body::Inner(inner) => inner.child(index),
            Body::Leaf(_) => &Child::Key,
        };
        if node.level > level {
            path.push(index);
            child = below;
            continue;
        }
        let order = compare(first, key);
        if order.is_eq() {
            return Some(None);
        }
        let room = node.level == level && firsts.len() < shape.cap();
        // A key that bounds the levels below must not divide a chunk of them.
        let parts_none = |next: &Raw| level == 0 || (matches!(below, Child::Key) && shape.bounds(next, level - 1));
        let inside = order.is_lt() && room && firsts.get(index + 1).is_some_and(parts_none);
        return inside.then_some(Some(index + 1));
    }
    None
}

/// Goes down the `way`, which says which entry to take of a chunk at some depth, and adds one key to the chunk of `level` at its end.
fn change(
    root: &mut Entry,
    ledger: &mut Ledger,
    level: u8,
    way: impl Fn(&Node, usize) -> usize,
    add: impl FnOnce(&mut Node, bool),
) {
    root.touch(1);
    let (mut child, mut last) = (&mut root.child, true);
    for depth in 0.. {
        let Child::Page(node) = child else { return };
        let node = Arc::make_mut(node);
        ledger.touch(node);
        if node.level == level {
            return add(node, last);
        }
        let index = way(node, depth);
        last &= index + 1 == node.len();
        node.touch(index, 1, last);
        let Some(below) = node.child_mut(index) else { return };
        child = below;
    }
}
