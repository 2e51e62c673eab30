//! The same work for several structures.
use std::collections::BTreeSet;

use hearken_tree::{Key, Tree};
use merkle_search_tree::MerkleSearchTree;
use negentropy::{Id, NegentropyStorageBase, NegentropyStorageVector};

use crate::{
    clock, each,
    keys::{Kind, keys, shuffled},
    median,
    memory::per_key,
    rate, row,
};

/// Appends with a root after each, so many times.
const ROOTS: usize = 20_000;

trait Structure: Sized {
    fn build(keys: &[Key]) -> Self;
    /// An empty one to insert into.
    fn empty() -> Self;
    fn insert(&mut self, key: &Key);
    /// Whatever says what is in the whole set.
    fn root(&mut self) -> u64;
}

impl Structure for Tree {
    fn build(keys: &[Key]) -> Tree {
        Tree::from_sorted(keys.iter().copied()).unwrap()
    }

    fn empty() -> Tree {
        Tree::new()
    }

    fn insert(&mut self, key: &Key) {
        Tree::insert(self, *key).unwrap();
    }

    fn root(&mut self) -> u64 {
        u64::from(self.snapshot().root().unwrap().digest.0[0])
    }
}

impl Structure for BTreeSet<Key> {
    fn build(keys: &[Key]) -> Self {
        keys.iter().copied().collect()
    }

    fn empty() -> Self {
        BTreeSet::new()
    }

    fn insert(&mut self, key: &Key) {
        BTreeSet::insert(self, *key);
    }

    fn root(&mut self) -> u64 {
        self.len() as u64
    }
}

impl Structure for MerkleSearchTree<[u8; 40], [u8; 0]> {
    fn build(keys: &[Key]) -> Self {
        let mut tree = Self::default();
        keys.iter().for_each(|key| tree.upsert(*key.as_bytes(), &[]));
        tree.root_hash();
        tree
    }

    fn empty() -> Self {
        Self::default()
    }

    fn insert(&mut self, key: &Key) {
        self.upsert(*key.as_bytes(), &[]);
    }

    fn root(&mut self) -> u64 {
        u64::from(self.root_hash().as_ref()[0])
    }
}

impl Structure for NegentropyStorageVector {
    fn build(keys: &[Key]) -> Self {
        let mut vector = NegentropyStorageVector::with_capacity(keys.len());
        keys.iter().for_each(|key| Structure::insert(&mut vector, key));
        vector.seal().unwrap();
        vector
    }

    fn empty() -> Self {
        NegentropyStorageVector::new()
    }

    fn insert(&mut self, key: &Key) {
        NegentropyStorageVector::insert(self, key.timestamp(), Id::from_byte_array(key.id().0)).unwrap();
    }

    fn root(&mut self) -> u64 {
        let _ = self.seal();
        let root = self.fingerprint(0, self.size().unwrap()).unwrap();
        self.unseal().unwrap();
        u64::from(root.to_bytes()[0])
    }
}

/// Prints the table.
pub(crate) fn compare(count: usize) {
    let columns = ["bulk build", "append", "random", "append + root", "after bulk", "after random"];
    row("", &columns.map(String::from));
    of::<Tree>("hearken-tree", count, ROOTS);
    of::<NegentropyStorageVector>("negentropy 0.5 (root sums all)", count, 10);
    of::<MerkleSearchTree<[u8; 40], [u8; 0]>>("merkle-search-tree 0.8", count, ROOTS);
    of::<BTreeSet<Key>>("BTreeSet (no digests)", count, ROOTS);
}

fn of<S: Structure>(name: &str, count: usize, roots: usize) {
    let ordered = keys(Kind::Honest, count + roots, 1);
    let (ordered, more) = ordered.split_at(count);
    let random = shuffled(ordered);
    let insert_all = |set: &mut S, keys: &[Key]| {
        keys.iter().for_each(|key| set.insert(key));
        set.root()
    };
    let bulk = median(|| (), |()| S::build(ordered));
    let append = median(S::empty, |set| insert_all(set, ordered));
    let scattered = median(S::empty, |set| insert_all(set, &random));
    let (mut built, held) = per_key(count, || S::build(ordered));
    built.root();
    let start = clock();
    for key in more {
        built.insert(key);
        built.root();
    }
    let fresh = clock() - start;
    drop(built);
    let (_random, held_random) = per_key(count, || {
        let mut set = S::empty();
        insert_all(&mut set, &random);
        set
    });
    let cells = [rate(count, bulk), rate(count, append), rate(count, scattered), each(roots, fresh), held, held_random];
    row(name, &cells);
}
