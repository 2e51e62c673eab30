//! Chunks in memory, and the entries that point at them.
use std::sync::{Arc, OnceLock};

use crate::{
    Digest, Fingerprint, Key, PageId,
    digest::{self, count_in, digest_in, is_stale, key_sum, sum},
    edge::Edge,
    lanes,
    search::{compare, not_after, not_after_between},
    shape::Raw,
};

/// A chunk of at least two entries. Chunks of one entry are not materialised: the entry above stands for them.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) level: u8,
    /// When it was last changed, in flushes of its tree: what is not newer than the last flush lies in the store.
    pub(crate) stamp: u64,
    pub(crate) body: Body,
    digest: OnceLock<Digest>,
    /// Above level 0, the values of the pieces of 1 KiB that the digest was made of, if more than one: most of what it takes to hash the
    /// first entries only.
    pieces: OnceLock<Box<[[u8; 32]]>>,
    edge: Edge,
}

/// The entries of a chunk.
#[derive(Clone)]
pub(crate) enum Body {
    /// Level 0: keys, side by side as they are hashed.
    Leaf(Vec<Raw>),
    /// Level 1 and above.
    Inner(Box<Inner>),
}

/// Entries that point at the chunks below, as parallel vectors so that what is hashed lies side by side.
#[derive(Clone)]
pub(crate) struct Inner {
    /// The first key under each child.
    pub(crate) firsts: Vec<Raw>,
    /// Digest and count of each child; the digest is stale (zero) where the child changed. Unused while `fresh` is set, and empty
    /// where every child is a single key.
    sums: Vec<Raw>,
    /// The counts once more, side by side: adding up those before a child is most of what a rank takes, and touches a fifth of the
    /// memory so. Empty where every child is a single key.
    counts: Vec<u64>,
    /// Whether a digest in `sums` is stale.
    stale: bool,
    /// The same with every digest computed.
    fresh: OnceLock<Vec<Raw>>,
    /// Empty where every child is a single key, so that keys ground to be boundaries take little room.
    children: Vec<Child>,
}

/// What an entry points at.
#[derive(Clone)]
pub(crate) enum Child {
    /// Nothing: the one key under it is the entry's key.
    Key,
    /// A chunk in memory, perhaps not yet stored.
    Page(Arc<Node>),
    /// A stored chunk of this level.
    Stored(u8),
}

/// An entry by itself, out of any chunk.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) first: Raw,
    pub(crate) sum: Raw,
    pub(crate) child: Child,
}

impl Entry {
    /// A key, or the chunk of one key.
    pub(crate) fn key(key: Raw) -> Entry {
        Entry { first: key, sum: key_sum(&key), child: Child::Key }
    }

    /// The chunk whose digest has yet to be computed, if so.
    pub(crate) fn stale_page(&self) -> Option<&Node> {
        self.child.page().filter(|_| is_stale(&self.sum))
    }

    /// A chunk; its digest is left for later.
    pub(crate) fn node(node: Node) -> Entry {
        let digest = node.digest.get().copied().unwrap_or(Digest([0; 32]));
        Entry { first: *node.first(), sum: sum(&digest, node.count()), child: Child::Page(Arc::new(node)) }
    }

    pub(crate) fn count(&self) -> u64 {
        count_in(&self.sum)
    }

    /// The digest, computed if need be.
    pub(crate) fn digest(&self) -> Digest {
        match &self.child {
            _ if !is_stale(&self.sum) => digest_in(&self.sum),
            Child::Page(node) => node.digest(),
            Child::Key | Child::Stored(_) => digest_in(&self.sum),
        }
    }

    /// What is hashed for this entry, the digest computed if need be.
    pub(crate) fn fresh_sum(&self) -> Raw {
        if is_stale(&self.sum) { sum(&self.digest(), self.count()) } else { self.sum }
    }

    /// This entry, of which the key is left.
    pub(crate) fn take(&mut self) -> Entry {
        Entry { child: std::mem::replace(&mut self.child, Child::Key), ..*self }
    }

    /// Computes the digest if need be.
    pub(crate) fn freshen(&mut self) {
        if is_stale(&self.sum) {
            self.sum = self.fresh_sum();
        }
    }

    /// The digest; zero where it is stale.
    pub(crate) fn digest_if_known(&self) -> Digest {
        digest_in(&self.sum)
    }

    /// What is under it has changed and holds this many keys more.
    pub(crate) fn touch(&mut self, more: i64) {
        self.sum = sum(&Digest([0; 32]), self.count().wrapping_add_signed(more));
    }

    /// Whether both stand for the same chunk, unchanged.
    pub(crate) fn is_same_chunk(&self, other: &Entry) -> bool {
        match (&self.child, &other.child) {
            (Child::Page(a), Child::Page(b)) => Arc::ptr_eq(a, b),
            (Child::Stored(a), Child::Stored(b)) => a == b && self.first == other.first && self.sum == other.sum,
            _ => false,
        }
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint { digest: self.digest(), count: self.count() }
    }

    /// The level of the lowest chunk that this entry stands for.
    pub(crate) fn level(&self) -> u8 {
        self.child.level()
    }

    /// Where its page lies; `None` for a single key, which needs none.
    pub(crate) fn page(&self) -> Option<PageId> {
        let first = Key::from_bytes(self.first);
        (!matches!(self.child, Child::Key)).then(|| PageId { level: self.level(), first })
    }
}

impl Child {
    fn page(&self) -> Option<&Node> {
        if let Child::Page(node) = self { Some(node) } else { None }
    }

    pub(crate) fn level(&self) -> u8 {
        match self {
            Child::Key => 0,
            Child::Page(node) => node.level,
            Child::Stored(level) => *level,
        }
    }
}

impl Node {
    pub(crate) fn leaf(stamp: u64, keys: Vec<Raw>) -> Node {
        Node {
            level: 0,
            stamp,
            body: Body::Leaf(keys),
            digest: OnceLock::new(),
            pieces: OnceLock::new(),
            edge: Edge::default(),
        }
    }

    pub(crate) fn inner(level: u8, stamp: u64, inner: Inner) -> Node {
        Node {
            level,
            stamp,
            body: Body::Inner(Box::new(inner)),
            digest: OnceLock::new(),
            pieces: OnceLock::new(),
            edge: Edge::default(),
        }
    }

    /// [`find`](Self::find), where the keys are known to come before `next`.
    pub(crate) fn find_before(&self, key: &Raw, first: &Raw, next: Option<&Raw>) -> usize {
        match (&self.body, next) {
            (Body::Leaf(keys), Some(next)) => not_after_between(keys, key, first, next).saturating_sub(1),
            // These are as many as leaves.
            (Body::Inner(inner), Some(next)) if inner.only_keys() => {
                not_after_between(&inner.firsts, key, first, next).saturating_sub(1)
            }
            // Most of the others are in a processor's cache: halving is quicker than guessing.
            (Body::Inner(inner), Some(_)) => {
                inner.firsts.partition_point(|first| compare(first, key).is_le()).saturating_sub(1)
            }
            (_, None) => self.find(key),
        }
    }

    /// [`find`](Self::find), where the keys are known to come before `next`: for what is seldom in a processor's cache, and touches
    /// the less the better.
    pub(crate) fn guess_before(&self, key: &Raw, first: &Raw, next: Option<&Raw>) -> usize {
        next.map_or_else(|| self.find(key), |next| not_after_between(self.firsts(), key, first, next).saturating_sub(1))
    }

    pub(crate) fn len(&self) -> usize {
        self.firsts().len()
    }

    /// The entries' first keys; at level 0 the keys.
    #[inline]
    pub(crate) fn firsts(&self) -> &[Raw] {
        match &self.body {
            Body::Leaf(keys) => keys,
            Body::Inner(inner) => &inner.firsts,
        }
    }

    pub(crate) fn first(&self) -> &Raw {
        &self.firsts()[0]
    }

    /// Number of keys under it.
    pub(crate) fn count(&self) -> u64 {
        match &self.body {
            Body::Leaf(keys) => keys.len() as u64,
            Body::Inner(inner) => inner.count_before(inner.firsts.len()),
        }
    }

    /// Number of keys under the entries before `index`.
    pub(crate) fn count_before(&self, index: usize) -> u64 {
        match &self.body {
            Body::Leaf(_) => index as u64,
            Body::Inner(inner) => inner.count_before(index),
        }
    }

    /// The digest, computed the first time it is asked for.
    pub(crate) fn digest(&self) -> Digest {
        *self.digest.get_or_init(|| {
            self.edge.digest(self).unwrap_or_else(|| self.with_hashed(|all| digest::of_entries(self.level, all)))
        })
    }

    /// The digest, if it was computed since the last change.
    pub(crate) fn known_digest(&self) -> Option<Digest> {
        self.digest.get().copied()
    }

    /// What is known of the [pieces](crate::lanes::digests) of what is hashed.
    pub(crate) fn known_pieces(&self) -> &[[u8; 32]] {
        self.pieces.get().map_or(lanes::NONE, |pieces| pieces)
    }

    /// What is hashed for the entries.
    pub(crate) fn hashed(&self) -> &[Raw] {
        match &self.body {
            Body::Leaf(keys) => keys,
            Body::Inner(inner) => inner.sums(),
        }
    }

    /// The entry at `index` as it is hashed one level up.
    pub(crate) fn entry_sum(&self, index: usize) -> Raw {
        match &self.body {
            Body::Leaf(keys) => key_sum(&keys[index]),
            Body::Inner(inner) => inner.fresh_sum(index),
        }
    }

    /// Number of keys under entries of this level, given as they are hashed.
    pub(crate) fn count_of(&self, entries: &[Raw]) -> u64 {
        if self.level == 0 { entries.len() as u64 } else { entries.iter().map(count_in).sum() }
    }

    /// Looks at what is hashed for the entries, without keeping what had to be made for it.
    pub(crate) fn with_hashed<R>(&self, look: impl FnOnce(&[Raw]) -> R) -> R {
        match &self.body {
            Body::Inner(inner) if inner.only_keys() && inner.fresh.get().is_none() => look(&inner.key_sums()),
            _ => look(self.hashed()),
        }
    }

    /// The entry at `index`, which must exist.
    pub(crate) fn entry(&self, index: usize) -> Entry {
        match &self.body {
            Body::Leaf(keys) => Entry::key(keys[index]),
            Body::Inner(inner) => inner.entry(index),
        }
    }

    /// The last entry whose first key is not after `key`; the first one if there is none.
    pub(crate) fn find(&self, key: &Raw) -> usize {
        not_after(self.firsts(), key).saturating_sub(1)
    }

    /// What is hashed for the entry at `index`.
    pub(crate) fn hashed_at(&self, index: usize) -> Raw {
        match &self.body {
            Body::Leaf(keys) => keys[index],
            Body::Inner(inner) => inner.fresh_sum(index),
        }
    }

    /// The entries, of which the one at `index` and those after it are about to change: the digest is forgotten. `last`: the
    /// chunk is the last of its level.
    fn changing(&mut self, index: usize, last: bool) -> &mut Body {
        let read = self.digest.get().is_some();
        if read {
            self.digest = OnceLock::new();
            self.pieces = OnceLock::new();
        }
        if self.edge.knows() || (last && read) {
            let mut edge = std::mem::take(&mut self.edge);
            if last {
                edge.changing(self, index, read);
                self.edge = edge;
            }
        }
        &mut self.body
    }

    /// The child at `index` has changed and holds this many keys more.
    pub(crate) fn touch(&mut self, index: usize, more: i64, last: bool) {
        if let Body::Inner(inner) = self.changing(index, last) {
            inner.touch(index, more);
        }
    }

    /// What the entry at `index` points at; `None` where nothing is below.
    pub(crate) fn child_mut(&mut self, index: usize) -> Option<&mut Child> {
        match &mut self.body {
            Body::Leaf(_) => None,
            Body::Inner(inner) => inner.children.get_mut(index),
        }
    }

    /// It is not the last chunk of its level any more.
    fn leave_edge(&mut self) {
        self.edge = Edge::default();
        if let Body::Inner(inner) = &mut self.body
            && let Some(Child::Page(node)) = inner.children.last_mut()
            && let Some(node) = Arc::get_mut(node)
        {
            node.leave_edge();
        }
    }

    /// Adds `key`, a chunk of its own below this level, before the entry at `at`.
    pub(crate) fn insert(&mut self, at: usize, key: &Raw, last: bool) {
        let last = last && at == self.len();
        match self.changing(at, last) {
            Body::Leaf(keys) => {
                make_room(keys);
                keys.insert(at, *key);
            }
            Body::Inner(inner) => {
                if let (true, Some(Child::Page(node))) = (last, inner.children.last_mut())
                    && let Some(node) = Arc::get_mut(node)
                {
                    node.leave_edge();
                }
                inner.insert(at, Entry::key(*key));
            }
        }
    }

    /// Makes room for a few keys in a leaf without any: where a batch is scattered over a stored set, each gets about one.
    pub(crate) fn spare_some(&mut self) {
        if let Body::Leaf(keys) = &mut self.body
            && keys.len() == keys.capacity()
        {
            keys.reserve_exact(SOME);
        }
    }

    /// Adds `keys` at the end of a leaf.
    pub(crate) fn append(&mut self, more: &[Raw], last: bool) {
        if let Body::Leaf(keys) = self.changing(self.len(), last) {
            if more.len() > keys.capacity() - keys.len() {
                keys.reserve_exact(more.len().max(keys.len() / 4).max(8));
            }
            keys.extend_from_slice(more);
        }
    }

    /// Adds an entry before the one at `at` of a chunk above level 0.
    pub(crate) fn insert_entry(&mut self, at: usize, entry: Entry, last: bool) {
        if let Body::Inner(inner) = self.changing(at, last) {
            inner.insert(at, entry);
        }
    }

    /// Makes a leaf of the single key at `index` and `key`, which comes after it.
    pub(crate) fn pair(&mut self, index: usize, key: &Raw, stamp: u64, last: bool) {
        let leaf = Node::leaf(stamp, vec![self.firsts()[index], *key]);
        self.replace(index, Entry::node(leaf), last);
    }

    /// Replaces the entry at `index` by one with the same first key.
    pub(crate) fn replace(&mut self, index: usize, entry: Entry, last: bool) {
        let last = last && index + 1 == self.len();
        if let Body::Inner(inner) = self.changing(index, last) {
            inner.replace(index, entry);
        }
    }

    /// Removes the key at `at` of a leaf.
    pub(crate) fn remove_key(&mut self, at: usize) {
        if let Body::Leaf(keys) = self.changing(at, false) {
            keys.remove(at);
        }
    }

    /// Bytes on the heap, about.
    pub(crate) fn heap_bytes(&self) -> usize {
        let body = match &self.body {
            Body::Leaf(keys) => keys.capacity() * size_of::<Raw>(),
            Body::Inner(inner) => {
                let raws = inner.firsts.capacity() + inner.sums.capacity() + inner.fresh.get().map_or(0, Vec::capacity);
                let counts = inner.counts.capacity() * size_of::<u64>();
                raws * size_of::<Raw>() + counts + inner.children.capacity() * size_of::<Child>()
            }
        };
        let pieces = size_of_val(self.known_pieces());
        size_of::<Node>() + 16 + body + pieces + self.edge.heap_bytes()
    }
}

/// Room for a few keys.
const SOME: usize = 8;

/// Counts that are added up at a time.
const COUNTS: usize = 16;

/// Computes the digests of chunks: of all that are of one level at once.
pub(crate) fn digest_all(mut nodes: Vec<&Node>) {
    nodes.retain(|node| node.known_digest().is_none());
    while let Some(level) = nodes.first().map(|node| node.level) {
        let (these, others) = nodes.into_iter().partition(|node| node.level == level);
        // Saved hashers are quicker, and what is hashed for chunks of nothing but single keys is not kept.
        let is_apart =
            |node: &&Node| node.edge.knows() || matches!(&node.body, Body::Inner(inner) if inner.only_keys());
        let (apart, together): (Vec<&Node>, Vec<&Node>) = Vec::into_iter(these).partition(is_apart);
        for node in apart {
            node.digest();
        }
        let keep = |at: usize, pieces: &[[u8; 32]]| {
            if level > 0 && pieces.len() > 1 {
                let _ = together[at].pieces.set(pieces.into());
            }
        };
        let digests = digest::of_all(level, together.iter().map(|node| (node.hashed(), lanes::NONE)), keep);
        for (node, digest) in together.into_iter().zip(digests) {
            // Another thread may have come to the same.
            let _ = node.digest.set(digest);
        }
        nodes = others;
    }
}

/// Room for one more: half as much again, which wastes less than doubling.
fn make_room<T>(entries: &mut Vec<T>) {
    if entries.len() == entries.capacity() {
        entries.reserve_exact((entries.len() / 2).max(8));
    }
}

impl Inner {
    /// Adds an entry before the one at `at`.
    pub(crate) fn insert(&mut self, at: usize, entry: Entry) {
        self.settle();
        if !self.only_keys() || !matches!(entry.child, Child::Key) {
            self.spread();
            make_room(&mut self.counts);
            self.counts.insert(at, entry.count());
            make_room(&mut self.children);
            self.children.insert(at, entry.child);
            make_room(&mut self.sums);
            self.sums.insert(at, entry.sum);
            self.stale |= is_stale(&entry.sum);
        }
        make_room(&mut self.firsts);
        self.firsts.insert(at, entry.first);
    }

    /// Whether every child is a single key, as far as is known without looking: then there are neither children nor sums.
    fn only_keys(&self) -> bool {
        self.children.is_empty()
    }

    /// What is hashed where every child is a single key.
    fn key_sums(&self) -> Vec<Raw> {
        self.firsts.iter().map(key_sum).collect()
    }

    /// Makes room for a child that is not a single key.
    fn spread(&mut self) {
        if self.only_keys() {
            self.children.reserve_exact(self.firsts.capacity());
            self.children.resize(self.firsts.len(), Child::Key);
            self.sums.reserve_exact(self.firsts.capacity());
            self.sums.extend(self.firsts.iter().map(key_sum));
            self.counts.reserve_exact(self.firsts.capacity());
            self.counts.resize(self.firsts.len(), 1);
        }
    }

    pub(crate) fn with_capacity(capacity: usize) -> Inner {
        Inner {
            firsts: Vec::with_capacity(capacity),
            sums: Vec::new(),
            counts: Vec::new(),
            stale: false,
            fresh: OnceLock::new(),
            children: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.settle();
        if !self.only_keys() || !matches!(entry.child, Child::Key) {
            self.spread();
            self.counts.push(entry.count());
            self.children.push(entry.child);
            self.sums.push(entry.sum);
            self.stale |= is_stale(&entry.sum);
        }
        self.firsts.push(entry.first);
    }

    /// These entries, of which the keys are left.
    pub(crate) fn of(entries: &mut [Entry]) -> Inner {
        let mut inner = Inner::with_capacity(entries.len());
        inner.firsts.extend(entries.iter().map(|entry| entry.first));
        if entries.iter().any(|entry| !matches!(entry.child, Child::Key)) {
            inner.sums = entries.iter().map(|entry| entry.sum).collect();
            inner.counts = entries.iter().map(Entry::count).collect();
            inner.stale = inner.sums.iter().any(is_stale);
            inner.children = entries.iter_mut().map(|entry| entry.take().child).collect();
        }
        inner
    }

    /// What is hashed for each child, the digest perhaps stale; nothing where all are single keys.
    fn known_sums(&self) -> &[Raw] {
        self.fresh.get().filter(|_| !self.only_keys()).unwrap_or(&self.sums)
    }

    /// What is hashed for the child at `index`, the digest perhaps stale.
    fn known_sum(&self, index: usize) -> Raw {
        if self.only_keys() { key_sum(&self.firsts[index]) } else { self.known_sums()[index] }
    }

    /// Number of keys under the entries before `index`.
    fn count_before(&self, index: usize) -> u64 {
        if self.only_keys() { index as u64 } else { self.counts.iter().take(index).sum() }
    }

    /// What is hashed for each child, every digest computed.
    pub(crate) fn sums(&self) -> &[Raw] {
        if self.only_keys() {
            return self.fresh.get_or_init(|| self.key_sums());
        }
        if !self.stale {
            return &self.sums;
        }
        self.fresh.get_or_init(|| {
            let mut sums = self.sums.clone();
            let stale = sums.iter().zip(&self.children).filter(|(sum, _)| is_stale(sum));
            digest_all(stale.filter_map(|(_, child)| child.page()).collect());
            for (i, sum) in sums.iter_mut().enumerate().filter(|(_, sum)| is_stale(sum)) {
                *sum = self.entry(i).fresh_sum();
            }
            sums
        })
    }

    /// Digest and count of the child at `index`, the digest computed if need be.
    pub(crate) fn fresh_sum(&self, index: usize) -> Raw {
        let known = self.known_sum(index);
        match self.child(index) {
            Child::Page(node) if is_stale(&known) => sum(&node.digest(), count_in(&known)),
            _ => known,
        }
    }

    pub(crate) fn entry(&self, index: usize) -> Entry {
        Entry { first: self.firsts[index], sum: self.known_sum(index), child: self.child(index).clone() }
    }

    /// Number of keys under the entry at `index`.
    pub(crate) fn count(&self, index: usize) -> u64 {
        if self.only_keys() { 1 } else { self.counts[index] }
    }

    /// The child that holds the key with `rank` keys of this chunk before it, and the number of keys before that child.
    pub(crate) fn find_rank(&self, rank: u64) -> (usize, u64) {
        let last = self.firsts.len() - 1;
        if self.only_keys() {
            let index = usize::try_from(rank).unwrap_or(usize::MAX).min(last);
            return (index, index as u64);
        }
        let (mut index, mut before) = (0, 0);
        // Many at a time, which takes no longer than one.
        for counts in self.counts.chunks_exact(COUNTS) {
            let many: u64 = counts.iter().sum();
            if rank < before + many {
                break;
            }
            before += many;
            index += COUNTS;
        }
        for count in self.counts.iter().take(last).skip(index) {
            if rank < before + count {
                return (index, before);
            }
            before += count;
            index += 1;
        }
        // All before the last are passed over, and it too if there are not so many keys.
        if index > last { (last, before - self.counts[last]) } else { (last, before) }
    }

    pub(crate) fn child(&self, index: usize) -> &Child {
        self.children.get(index).unwrap_or(&Child::Key)
    }

    pub(crate) fn known_digest(&self, index: usize) -> Digest {
        digest_in(&self.known_sum(index))
    }

    /// The digest of the chunk at `index`, if it was computed since the last change.
    pub(crate) fn known_chunk(&self, index: usize) -> Option<Digest> {
        match self.known_sums().get(index) {
            Some(sum) if !is_stale(sum) => Some(digest_in(sum)),
            _ => self.child(index).page().and_then(Node::known_digest),
        }
    }

    /// The children; none where all are single keys.
    pub(crate) fn children(&self) -> &[Child] {
        &self.children
    }

    /// The children; none where all are single keys.
    pub(crate) fn children_mut(&mut self) -> &mut [Child] {
        &mut self.children
    }

    /// Makes `sums` the place to change.
    pub(crate) fn settle(&mut self) {
        if let Some(fresh) = self.fresh.take()
            && !self.only_keys()
        {
            self.sums = fresh;
            self.stale = false;
        }
    }

    /// The child at `index` has changed and holds this many keys more.
    pub(crate) fn touch(&mut self, index: usize, more: i64) {
        self.settle();
        self.spread();
        let count = self.counts[index].wrapping_add_signed(more);
        self.counts[index] = count;
        self.sums[index] = sum(&Digest([0; 32]), count);
        self.stale = true;
    }

    /// Replaces the entry at `index` by one with the same first key.
    pub(crate) fn replace(&mut self, index: usize, entry: Entry) {
        self.settle();
        self.spread();
        self.counts[index] = entry.count();
        self.sums[index] = entry.sum;
        self.stale |= is_stale(&entry.sum);
        self.children[index] = entry.child;
    }
}
