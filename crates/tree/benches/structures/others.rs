//! The same work for several structures.
use std::collections::BTreeSet;

use hearken_tree::Key;
use merkle_search_tree::MerkleSearchTree;
use negentropy::{Id, NegentropyStorageBase, NegentropyStorageVector};

use crate::{
    each,
    figures::FIGURES,
    keys::{Kind, keys, shuffled},
    median, median_of,
    memory::per_key,
    rate, row, tree,
};

/// Appends with a root after each, so many times.
const ROOTS: usize = 20_000;

trait Structure: Sized {
    fn build(keys: &[Key]) -> Self;
    /// An empty one to insert into.
    fn empty() -> Self;
    fn insert(&mut self, key: &Key);
    /// Whether it has digests.
    const DIGESTS: bool = true;
    /// Whatever says what is in the whole set.
    fn root(&mut self) -> u64;
    /// What says what is between two ranks, if it can say that.
    fn fingerprint(&self, _from: usize, _to: usize) -> Option<u64> {
        None
    }
    /// Drops the keys before `key`; `false` if it cannot.
    fn drop_before(&mut self, _key: &Key) -> bool {
        false
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

    const DIGESTS: bool = false;

    fn drop_before(&mut self, key: &Key) -> bool {
        *self = self.split_off(key);
        true
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
        let root = NegentropyStorageBase::fingerprint(self, 0, self.size().unwrap()).unwrap();
        self.unseal().unwrap();
        u64::from(root.to_bytes()[0])
    }

    fn fingerprint(&self, from: usize, to: usize) -> Option<u64> {
        NegentropyStorageBase::fingerprint(self, from, to).ok().map(|found| u64::from(found.to_bytes()[0]))
    }
}

/// Prints the table.
pub(crate) fn compare(count: usize) {
    let columns = [
        tree::column(Kind::Honest, count).into_iter().map(Some).collect(),
        of::<NegentropyStorageVector>(count, 10),
        of::<MerkleSearchTree<[u8; 40], [u8; 0]>>(count, ROOTS),
        of::<BTreeSet<Key>>(count, ROOTS),
    ];
    let names = ["asked", "hearken-tree", "", "negentropy 0.5", "merkle-search-tree", "BTreeSet"];
    row("", &names.map(String::from));
    for (i, figure) in FIGURES.iter().enumerate() {
        let [ours, others @ ..] = columns.each_ref().map(|column: &Vec<Option<f64>>| column.get(i).copied().flatten());
        let show = |value: Option<f64>| value.map_or(String::new(), |value| figure.show(value));
        let mut cells = vec![figure.asked(), show(ours), ours.map_or("", |ours| figure.judge(ours)).into()];
        cells.extend(others.map(show));
        row(figure.name, &cells);
    }
    println!("negentropy: sorts once, and sums all ids for a root; merkle-search-tree: SipHash; BTreeSet: no digests.");
}

/// What of the figures this structure has.
fn of<S: Structure>(count: usize, roots: usize) -> Vec<Option<f64>> {
    let ordered = keys(Kind::Honest, count + roots, 1);
    let (ordered, more) = ordered.split_at(count);
    let random = shuffled(ordered);
    let insert_all = |set: &mut S, keys: &[Key]| {
        keys.iter().for_each(|key| set.insert(key));
        set.root()
    };
    drop(S::build(ordered));
    let bulk = median(|| (), |()| S::build(ordered));
    let append = median(S::empty, |set| insert_all(set, ordered));
    let scattered = median(S::empty, |set| insert_all(set, &random));
    let (mut built, held) = per_key(count, || S::build(ordered));
    built.root();
    let fresh = median_of(
        1,
        || (),
        |()| {
            for key in more {
                built.insert(key);
                built.root();
            }
        },
    );
    let built = S::build(ordered);
    let ranges: Vec<_> = tree::ranges(count).into_iter().take(20).collect();
    let fingerprints = ranges.iter().all(|(a, b)| built.fingerprint(*a, *b).is_some());
    let fingerprint = median(|| (), |()| ranges.iter().filter_map(|(a, b)| built.fingerprint(*a, *b)).max());
    drop(built);
    let half = ordered[count / 2];
    let drops = S::build(ordered).drop_before(&half);
    let dropped = median(|| S::build(ordered), |set| set.drop_before(&half));
    let (_random, held_random) = per_key(count, || {
        let mut set = S::empty();
        insert_all(&mut set, &random);
        set
    });
    let mut figures = vec![None; FIGURES.len()];
    figures[0] = Some(rate(count, bulk));
    figures[2] = Some(rate(count, append));
    figures[4] = Some(rate(count, scattered));
    figures[7] = Some(each(roots, fresh)).filter(|_| S::DIGESTS);
    figures[8] = Some(held);
    figures[9] = Some(held_random);
    figures[10] = Some(each(20, fingerprint)).filter(|_| fingerprints);
    figures[17] = Some(each(1, dropped)).filter(|_| drops);
    figures
}
