//! Saved hashers for the last chunk of each level.
//!
//! Most keys arrive at the end. When a root is read after each of them, hashing the last chunks from their beginnings every
//! time would cost most: so the hasher is kept as it stood before the entries that changed last. That happens only once a
//! digest is read between two changes; chunks that fill up unread are hashed at one go, which is faster.
use std::sync::OnceLock;

use crate::{
    Digest, digest,
    node::{Body, Node},
};

/// What is known of the hash of a chunk at the right edge.
#[derive(Clone, Default)]
pub(crate) struct Edge {
    /// So many entries from the first on have stayed as they were when the digest was last read.
    stable: Option<usize>,
    saved: OnceLock<Box<Saved>>,
}

/// A hasher that has seen the first `len` entries.
#[derive(Clone)]
struct Saved {
    hasher: blake3::Hasher,
    len: usize,
}

impl Edge {
    /// The entries of `node` from `index` on are about to change. `read`: its digest was read since the last change.
    pub(crate) fn changing(&mut self, node: &Node, index: usize, read: bool) {
        match self.stable {
            Some(stable) if stable <= index && !read => {}
            Some(stable) if stable <= index => {
                if let Some(saved) = self.saved.get_mut() {
                    saved.see(node, index);
                }
                self.stable = Some(index);
            }
            _ => *self = Edge { stable: read.then_some(index), saved: OnceLock::new() },
        }
    }

    /// Whether there is anything to keep in step with changes.
    pub(crate) fn knows(&self) -> bool {
        self.stable.is_some()
    }

    /// The digest of `node`; `None` if nothing is known that would help.
    pub(crate) fn digest(&self, node: &Node) -> Option<Digest> {
        let stable = self.stable?;
        let saved = self.saved.get_or_init(|| {
            let mut saved = Saved { hasher: digest::hasher(node.level), len: 0 };
            saved.see(node, stable);
            Box::new(saved)
        });
        let mut hasher = saved.hasher.clone();
        (saved.len..node.len()).for_each(|index| {
            hasher.update(&node.hashed_at(index));
        });
        Some(Digest(*hasher.finalize().as_bytes()))
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.saved.get().map_or(0, |_| size_of::<Saved>())
    }
}

impl Saved {
    /// Sees the entries up to `end`.
    fn see(&mut self, node: &Node, end: usize) {
        match &node.body {
            Body::Leaf(keys) => {
                self.hasher.update(keys[self.len..end].as_flattened());
            }
            Body::Inner(_) => (self.len..end).for_each(|index| {
                self.hasher.update(&node.hashed_at(index));
            }),
        }
        self.len = end;
    }
}
