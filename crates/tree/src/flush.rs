//! Storing what changed, and letting go of what is stored.
use std::{collections::BTreeSet, sync::Arc};

use crate::{
    PageId, PageStore, PageWrite, Root, digest,
    edit::Core,
    node::{Body, Child, Entry, Node},
    page,
    source::Source,
};

/// Hands out the changed pages and those that are gone.
pub(crate) fn flush(core: &mut Core, write: &mut dyn FnMut(PageWrite)) -> Root {
    let mut changed = Vec::new();
    let mut gone = std::mem::take(&mut core.ledger.gone);
    if let Some(root) = &core.root {
        collect(root, core.ledger.now, &mut changed);
    }
    changed.sort_unstable_by_key(|(id, _)| *id);
    for (id, node) in &changed {
        gone.remove(id);
        while let Some(earlier) = gone.first().copied().filter(|gone| gone < id) {
            gone.remove(&earlier);
            write(PageWrite::Delete(earlier));
        }
        write(PageWrite::Put(*id, page::encode(node)));
    }
    std::mem::take::<BTreeSet<PageId>>(&mut gone).into_iter().for_each(|id| write(PageWrite::Delete(id)));
    core.ledger.now += 1;
    core.ledger.stored = true;
    root(core)
}

fn root(core: &Core) -> Root {
    let Some(root) = &core.root else { return Root { page: None, digest: digest::empty().digest, count: 0 } };
    let first = crate::Key::from_bytes(root.first);
    Root { page: Some(PageId { level: root.level(), first }), digest: root.digest(), count: root.count() }
}

/// The chunks under `entry` that changed at `now`. A chunk that changed is under chunks that changed.
fn collect(entry: &Entry, now: u64, changed: &mut Vec<(PageId, Arc<Node>)>) {
    let Child::Page(node) = &entry.child else { return };
    if node.stamp < now {
        return;
    }
    if let Body::Inner(inner) = &node.body {
        (0..node.len())
            .filter(|i| !matches!(inner.child(*i), Child::Key))
            .for_each(|i| collect(&inner.entry(i), now, changed));
    }
    changed.extend(entry.page().map(|id| (id, node.clone())));
}

/// Bytes of the chunks that changed since the last flush.
pub(crate) fn unflushed_bytes(core: &Core) -> usize {
    let (mut bytes, mut open) = (0, Vec::new());
    open.extend(core.root.as_ref().map(|root| &root.child));
    while let Some(child) = open.pop() {
        let Child::Page(node) = child else { continue };
        if node.stamp < core.ledger.now {
            continue;
        }
        bytes += node.heap_bytes();
        if let Body::Inner(inner) = &node.body {
            open.extend(inner.children());
        }
    }
    bytes
}

/// Lets go of the chunks that `store` holds.
pub(crate) fn flushed(core: &mut Core, store: Arc<dyn PageStore>) {
    core.source.store = Some(store);
    let durable = core.ledger.now - 1;
    if let Some(root) = &mut core.root {
        root.sum = root.fresh_sum();
        release(&mut root.child, durable, &core.source);
    }
}

/// Moves the chunk at `child`, and those under it, to the cache where they are durable.
fn release(child: &mut Child, durable: u64, source: &Source) {
    let Child::Page(node) = child else { return };
    let clean = node.stamp <= durable;
    let has_pages =
        matches!(&node.body, Body::Inner(inner) if (0..node.len()).any(|i| matches!(inner.child(i), Child::Page(_))));
    if has_pages {
        // The digests of what is let go must be known above it.
        node.digest();
        if let Body::Inner(inner) = &mut Arc::make_mut(node).body {
            inner.settle();
            inner.children_mut().iter_mut().for_each(|child| release(child, durable, source));
        }
    }
    if clean {
        source.lock().put(node.digest(), node.clone());
        *child = Child::Stored(node.level);
    }
}
