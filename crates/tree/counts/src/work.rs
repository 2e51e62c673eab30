//! What is counted.
use std::hint::black_box;

use hearken_tree::{Id, Key, KeyRange, Snapshot, Tree};

/// Keys in the tree.
const KEYS: u64 = 100_000;
/// Keys that are added one by one, or ranges asked for.
const TIMES: u64 = 10_000;
/// Spans in a summary of 1 KiB, about.
const SPANS: usize = 70;

/// One piece of work: its name, and what does it.
pub(crate) type Work = (&'static str, fn());

/// All of them.
pub(crate) const ALL: [Work; 8] = [
    ("bulk-build", bulk_build),
    ("append", append),
    ("append-and-root", append_and_root),
    ("random-insert", random_insert),
    ("batch-insert", insert_batch),
    ("range-fingerprint", range_fingerprint),
    ("summary", summary),
    ("compare", compare),
];

/// Only what runs in here is counted.
#[inline(never)]
fn counted<R>(work: impl FnOnce() -> R) -> R {
    black_box(work())
}

fn bulk_build() {
    let keys: Vec<Key> = (0..KEYS).map(key).collect();
    counted(|| built(&keys).root()).expect("it is in memory");
}

fn append() {
    let mut tree = tree();
    let more: Vec<Key> = (KEYS..KEYS + TIMES).map(key).collect();
    counted(|| {
        more.iter().for_each(|key| insert(&mut tree, *key));
        tree.snapshot().root()
    })
    .expect("it is in memory");
}

fn append_and_root() {
    let mut tree = tree();
    let more: Vec<Key> = (KEYS..KEYS + TIMES).map(key).collect();
    counted(|| {
        for key in &more {
            insert(&mut tree, *key);
            let _ = black_box(tree.snapshot().root());
        }
    });
}

fn random_insert() {
    let mut tree = tree();
    let more: Vec<Key> = (0..TIMES).map(between).collect();
    counted(|| {
        more.iter().for_each(|key| insert(&mut tree, *key));
        tree.snapshot().root()
    })
    .expect("it is in memory");
}

fn insert_batch() {
    let mut tree = tree();
    let more: Vec<Key> = (0..TIMES).map(between).collect();
    counted(|| {
        tree.insert_all(more).expect("it is in memory");
        tree.snapshot().root()
    })
    .expect("it is in memory");
}

fn range_fingerprint() {
    let set = tree().snapshot();
    let ranges: Vec<KeyRange> = (0..TIMES / 10)
        .filter_map(|i| {
            let (a, b) = (between(2 * i), between(2 * i + 1));
            KeyRange::new(a.min(b), a.max(b)).ok()
        })
        .collect();
    counted(|| ranges.iter().for_each(|range| drop(black_box(set.fingerprint(range)))));
}

fn summary() {
    let set = tree().snapshot();
    counted(|| set.summary(&KeyRange::ALL, SPANS)).expect("it is in memory");
}

fn compare() {
    let spans = tree().snapshot().summary(&KeyRange::ALL, SPANS).expect("it is in memory");
    let mut tree = tree();
    (0..10).for_each(|i| insert(&mut tree, between(i)));
    let set = tree.snapshot();
    set.root().expect("it is in memory");
    counted(|| set.differing(&spans)).expect("it is in memory");
}

fn tree() -> Tree {
    let keys: Vec<Key> = (0..KEYS).map(key).collect();
    let tree = Tree::from_sorted(keys).expect("they are sorted");
    tree.snapshot().root().expect("it is in memory");
    tree
}

fn built(keys: &[Key]) -> Snapshot {
    Tree::from_sorted(keys.iter().copied()).expect("they are sorted").snapshot()
}

fn insert(tree: &mut Tree, key: Key) {
    tree.insert(key).expect("it is in memory");
}

/// The keys of the tree, 100 ms apart.
fn key(i: u64) -> Key {
    keyed(1_700_000_000_000_000_000 + i * 100_000_000, i)
}

/// A key somewhere among them.
fn between(i: u64) -> Key {
    let hash = blake3::hash(&i.to_le_bytes());
    let place = hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    keyed(1_700_000_000_000_000_000 + place % (KEYS * 100_000_000), KEYS + TIMES + i)
}

fn keyed(time: u64, i: u64) -> Key {
    Key::new(time, Id(*blake3::hash(&i.to_be_bytes()).as_bytes()))
}
