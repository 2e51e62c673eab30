//! The short ways for most keys: to the end of the last leaf, or into a leaf between two keys of it.
use std::sync::Arc;

use crate::{
    edit::{Core, Ledger},
    node::{Body, Child, Entry, Node},
    place::Path,
    search::compare,
    shape::{Raw, Shape},
};

impl Core {
    /// Adds `key` if it comes after all others and nothing but the last leaf changes. Whether it did.
    pub(crate) fn insert_at_end(&mut self, key: &Raw) -> bool {
        let Core { source, root: Some(root), ledger } = self else { return false };
        let takes = takes_at_end(source.shape, &root.child, key);
        if takes {
            change(root, ledger, |node, _| node.len() - 1, |leaf, last| leaf.append(std::slice::from_ref(key), last));
        }
        takes
    }

    /// Adds `key` if it falls between two keys of a leaf and nothing but that leaf changes. Whether it was new; `None`, without
    /// any change, where it takes a closer look.
    pub(crate) fn insert_inside(&mut self, key: &Raw) -> Option<bool> {
        let Core { source, root: Some(root), ledger } = self else { return None };
        let mut path = Path::new();
        let at = place_inside(source.shape, root, key, &mut path)?;
        if let Some(at) = at {
            let taken = path.taken();
            change(root, ledger, |_, depth| usize::from(taken[depth]), |leaf, last| leaf.insert(at, key, last));
        }
        Some(at.is_some())
    }
}

/// Whether `key` bounds nothing, comes after all others and goes to the end of the last leaf, which is in memory: if that has
/// room and is a whole run.
fn takes_at_end(shape: Shape, mut child: &Child, key: &Raw) -> bool {
    while let Child::Page(node) = child {
        match &node.body {
            Body::Inner(inner) => child = inner.child(node.len() - 1),
            Body::Leaf(keys) => {
                let after = compare(&keys[keys.len() - 1], key).is_lt();
                return after && keys.len() < shape.cap() && shape.bounds(&keys[0], 0) && !shape.bounds(key, 0);
            }
        }
    }
    false
}

/// Before which key of the leaf at the end of `path` this `key` goes, if it bounds nothing and falls inside a leaf with room;
/// `Some(None)` if it is there already. Inside of a leaf nothing but the leaf changes: a cell stays a cell, since the radix nodes above
/// it only grow.
fn place_inside(shape: Shape, root: &Entry, key: &Raw, path: &mut Path) -> Option<Option<usize>> {
    let (mut child, mut first, mut next) = (&root.child, &root.first, None);
    if shape.bounds(key, 0) {
        return None;
    }
    while let Child::Page(node) = child {
        let firsts = node.firsts();
        let index = node.find_before(key, first, next);
        first = &firsts[index];
        next = firsts.get(index + 1).or(next);
        match &node.body {
            Body::Inner(inner) => {
                path.push(index);
                child = inner.child(index);
            }
            Body::Leaf(_) => {
                let order = compare(first, key);
                let inside = order.is_lt() && index + 1 < firsts.len() && firsts.len() < shape.cap();
                return if order.is_eq() { Some(None) } else { inside.then_some(Some(index + 1)) };
            }
        }
    }
    None
}

/// Goes down the `way`, which says which entry to take of a chunk at some depth, and adds one key to the leaf at its end.
fn change(
    root: &mut Entry,
    ledger: &mut Ledger,
    way: impl Fn(&Node, usize) -> usize,
    add: impl FnOnce(&mut Node, bool),
) {
    root.touch(1);
    let (mut child, mut last) = (&mut root.child, true);
    for depth in 0.. {
        let Child::Page(node) = child else { return };
        let node = Arc::make_mut(node);
        ledger.touch(node);
        if node.level == 0 {
            return add(node, last);
        }
        let index = way(node, depth);
        last &= index + 1 == node.len();
        node.touch(index, 1, last);
        let Some(below) = node.child_mut(index) else { return };
        child = below;
    }
}
