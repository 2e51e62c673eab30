//! A tree whose pages lie in a store is the same tree, whatever happens to its pages.
#![allow(clippy::unwrap_used)]
mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use common::{
    keys::{self, Ids, Times},
    model::Model,
    store::{Pages, flush},
    visited,
};
use hearken_tree::{Key, KeyRange, PageError, PageId, Root, Tree};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

type Image = BTreeMap<PageId, Vec<u8>>;

/// A tree over a store, and the set that it should be.
struct Stored {
    model: Model,
    tree: Tree,
    set: BTreeSet<Key>,
    image: Image,
    cache: usize,
}

impl Stored {
    fn new(model: Model, cache: usize) -> Stored {
        let tree = Tree::with_q_bits(model.bits);
        Stored { model, tree, set: BTreeSet::new(), image: Image::new(), cache }
    }

    fn keys(&self) -> Vec<Key> {
        self.set.iter().copied().collect()
    }

    fn change(&mut self, all: &[Key], rng: &mut ChaCha8Rng) {
        let from = rng.random_range(0..all.len());
        let some = &all[from..(from + rng.random_range(1..40)).min(all.len())];
        match rng.random_range(0..10) {
            0 => {
                let dropped = self.tree.drop_before(&some[0]).unwrap();
                let kept = self.set.split_off(&some[0]);
                assert_eq!(dropped, self.set.len() as u64);
                self.set = kept;
            }
            1..4 => some.iter().for_each(|key| assert_eq!(self.tree.remove(key).unwrap(), self.set.remove(key))),
            4..6 => {
                // Few, or enough to be a bulk build where they come behind all others.
                let some = if rng.random_ratio(1, 2) { some } else { &all[from..(from + 200).min(all.len())] };
                self.tree.insert_all(some.iter().copied()).unwrap();
                self.set.extend(some);
            }
            _ => some.iter().for_each(|key| assert_eq!(self.tree.insert(*key).unwrap(), self.set.insert(*key))),
        }
    }

    /// The stored pages are exactly those of the tree.
    fn is_stored(&self, root: &Root) {
        let chunks = self.model.chunks(&self.keys());
        assert!(self.image.keys().eq(chunks.iter().map(|(page, ..)| page)));
        let expected = self.model.fingerprint(&self.keys());
        assert_eq!((root.digest, root.count), (expected.digest, expected.count));
    }

    fn is_model(&self) {
        assert_eq!(self.tree.snapshot().chunks().unwrap(), self.model.chunks(&self.keys()));
        assert_eq!(self.tree.snapshot().root().unwrap(), self.model.fingerprint(&self.keys()));
    }

    fn open(&self, root: Root) -> (Tree, Arc<Pages>) {
        let pages = Pages::with(self.image.clone());
        (Tree::open_with_q_bits(self.model.bits, pages.clone(), root, self.cache), pages)
    }
}

proptest! {
    #![proptest_config(common::config(100))]

    #[test]
    fn flushed_and_opened_again_it_is_the_same(
        bits in 1u32..4, ids in keys::ids(), times in keys::times(), count in 1usize..300, cache in 0usize..20_000, seed: u64,
    ) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut stored = Stored::new(Model { bits }, cache);
        let mut all = keys::keys(stored.model, ids, times, count, seed);
        all.sort_unstable();
        let mut snapshots = Vec::new();
        for turn in 0..30 {
            stored.change(&all, &mut rng);
            if turn % 3 > 0 {
                continue;
            }
            let root = flush(&mut stored.tree, &mut stored.image);
            stored.is_stored(&root);
            if rng.random_ratio(1, 3) {
                stored.tree = stored.open(root).0;
            } else {
                let image = stored.image.clone();
                if rng.random_ratio(1, 2) {
                    // What changes while the flush becomes durable belongs to the next one.
                    stored.change(&all, &mut rng);
                }
                stored.tree.flushed(Pages::with(image));
            }
            if rng.random_ratio(1, 2) {
                stored.is_model();
            }
            snapshots.push((stored.tree.snapshot(), stored.keys()));
        }
        stored.is_model();
        for (snapshot, keys) in snapshots {
            prop_assert_eq!(snapshot.chunks().unwrap(), stored.model.chunks(&keys));
            prop_assert_eq!(visited(&snapshot, &KeyRange::ALL).unwrap(), &keys[..]);
            prop_assert_eq!(snapshot.keys(&KeyRange::ALL).collect::<Result<Vec<_>, _>>().unwrap(), keys);
        }
    }

    /// Reading fails at some point: an error, and the set is what it was.
    #[test]
    fn a_change_that_cannot_read_its_pages_changes_nothing(
        bits in 1u32..4, ids in keys::ids(), times in keys::times(), count in 20usize..300, seed: u64,
    ) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut stored = Stored::new(Model { bits }, 0);
        let all = keys::keys(stored.model, ids, times, count, seed);
        stored.set.extend(&all[all.len() / 3..]);
        stored.tree.insert_all(stored.keys()).unwrap();
        let root = flush(&mut stored.tree, &mut stored.image);
        for _ in 0..10 {
            let (mut tree, pages) = stored.open(root);
            tree.insert(all[0]).unwrap();
            let snapshot = tree.snapshot();
            let expected = snapshot.chunks().unwrap();
            pages.fail_after(rng.random_range(0..8));
            let key = all[rng.random_range(1..all.len())];
            let failed = match rng.random_range(0..4) {
                0 => tree.insert(key).is_err(),
                1 => tree.remove(&key).is_err(),
                2 => tree.drop_before(&key).is_err(),
                _ => tree.insert_all(all[..all.len() / 2].iter().copied()).is_err(),
            };
            pages.fail_after(1 << 40);
            if failed {
                prop_assert_eq!(tree.snapshot().chunks().unwrap(), expected.clone());
                let mut image = stored.image.clone();
                flush(&mut tree, &mut image);
                prop_assert!(image.keys().eq(expected.iter().map(|(page, ..)| page)));
            }
            prop_assert_eq!(snapshot.chunks().unwrap(), expected);
        }
    }

    /// Whatever becomes of one page: it is reported with its place, or it was not needed, and nothing wrong is read.
    #[test]
    fn a_damaged_page_is_an_error(
        bits in 1u32..4, ids in keys::ids(), times in keys::times(), count in 20usize..200, seed: u64,
    ) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut stored = Stored::new(Model { bits }, 0);
        let all = keys::keys(stored.model, ids, times, count, seed);
        stored.set.extend(&all);
        stored.tree.insert_all(all).unwrap();
        let root = flush(&mut stored.tree, &mut stored.image);
        prop_assume!(stored.image.len() > 1);
        for _ in 0..10 {
            let (tree, pages) = stored.open(root);
            let ids: Vec<PageId> = stored.image.keys().copied().collect();
            let id = ids[rng.random_range(0..ids.len())];
            let other = stored.image[&ids[rng.random_range(0..ids.len())]].clone();
            let mut page = stored.image[&id].clone();
            let at = rng.random_range(0..page.len());
            match rng.random_range(0..6) {
                0 => page.truncate(at),
                1 => page[at..].fill(0),
                2 => page.clear(),
                3 => page.push(0),
                4 => page = other,
                _ => page[at] ^= 1 << rng.random_range(0..8),
            }
            let same = page == stored.image[&id];
            pages.pages.lock().unwrap().insert(id, page);
            let read = tree.snapshot().keys(&KeyRange::ALL).collect::<Result<Vec<_>, _>>();
            for read in [read, visited(&tree.snapshot(), &KeyRange::ALL)] {
                match read {
                    Ok(keys) => prop_assert!(same && keys == stored.keys()),
                    Err(PageError::Corrupt { id: found, .. }) => prop_assert_eq!(found, id),
                    Err(error) => prop_assert!(false, "{}", error),
                }
            }
        }
    }
}

/// Where the store can make a damaged page anew, nobody notices; where what it makes is not that page either, it is an error.
#[test]
fn a_damaged_page_is_made_anew() {
    let mut stored = Stored::new(Model { bits: 2 }, 0);
    stored.set.extend(keys::keys(stored.model, Ids::Honest, Times::Shared, 100, 1));
    stored.tree.insert_all(stored.keys()).unwrap();
    let root = flush(&mut stored.tree, &mut stored.image);
    for id in stored.image.keys() {
        let (tree, pages) = stored.open(root);
        let mut damaged = stored.image[id].clone();
        *damaged.last_mut().unwrap() ^= 1;
        pages.pages.lock().unwrap().insert(*id, damaged.clone());
        pages.spare.lock().unwrap().insert(*id, stored.image[id].clone());
        let read = tree.snapshot().keys(&KeyRange::ALL).collect::<Result<Vec<_>, _>>();
        assert_eq!(read.unwrap(), stored.keys());
        pages.spare.lock().unwrap().insert(*id, damaged);
        let again = Tree::open_with_q_bits(2, pages, root, 0);
        let read = again.snapshot().keys(&KeyRange::ALL).collect::<Result<Vec<_>, _>>();
        assert!(matches!(read, Err(PageError::Corrupt { id: found, .. }) if found == *id));
    }
}

/// Opening reads nothing, looking up reads a path, and appending writes the right edge only.
#[test]
fn what_is_read_and_written() {
    let model = common::model::STANDARD;
    let mut all = keys::keys(model, Ids::Honest, Times::Ascending, 30_000, 1);
    all.sort_unstable();
    let (old, new) = all.split_at(29_000);
    let mut tree = Tree::from_sorted(old.iter().copied()).unwrap();
    let mut image = Image::new();
    let root = flush(&mut tree, &mut image);
    let pages = Pages::with(image.clone());
    let mut tree = Tree::open(pages.clone(), root, 1 << 20);
    let reads = || pages.reads.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(tree.snapshot().root().unwrap(), model.fingerprint(old));
    assert_eq!(reads(), 0);
    assert!(tree.snapshot().contains(&old[7_000]).unwrap());
    let path = reads();
    assert!(path <= 4, "{path}");
    tree.insert_all(new.iter().copied()).unwrap();
    assert!(reads() <= 2 * path, "{}", reads());
    let mut writes = 0;
    tree.flush(&mut |_| writes += 1).unwrap();
    assert!(writes <= 20, "{writes}");
}

#[test]
fn a_missing_page_and_a_failing_store_are_errors() {
    let model = Model { bits: 2 };
    let mut stored = Stored::new(model, 0);
    stored.set.extend(keys::keys(model, Ids::Honest, Times::Shared, 100, 1));
    stored.tree.insert_all(stored.keys()).unwrap();
    let root = flush(&mut stored.tree, &mut stored.image);
    let (tree, pages) = stored.open(root);
    pages.fail_after(0);
    assert!(matches!(tree.snapshot().nth(5), Err(PageError::Store { .. })));
    pages.fail_after(1 << 40);
    pages.pages.lock().unwrap().clear();
    assert!(matches!(tree.snapshot().nth(5), Err(PageError::Missing { .. })));
    assert_eq!(tree.snapshot().root().unwrap(), model.fingerprint(&stored.keys()));
}
