//! Keys that wait to be entered in the trees: some at a time where there are many, and each page once.
#![allow(clippy::unwrap_used)]
mod common;
#[path = "../benches/counting/mod.rs"]
mod counting;

use std::{collections::BTreeSet, path::Path, sync::Arc};

use bytes::Bytes;
use common::{NOW, SECOND, TestFormat, admit, body, filter, kept, key, live, synced};
use counting::{Counting, Counts};
use hearken_archive::{Admission, Archive, ArchiveOptions, Embedded, EmbeddedOptions, Filter};
use hearken_tree::{Key, Tree};

/// Room for 16 KiB of changed pages, which a step of keys that lie anywhere takes many times over.
const CACHE: usize = 64 << 10;

fn filters() -> Vec<Filter> {
    vec![filter(&[]), filter(&["odd"])]
}

fn options(path: &Path) -> EmbeddedOptions {
    let mut archive = ArchiveOptions::new(filters(), Arc::new(TestFormat));
    archive.validator = Some(Arc::new(common::NoBad));
    // The same for the pages of one transaction.
    EmbeddedOptions { cache_size: CACHE, database_cache_size: CACHE, ..EmbeddedOptions::new(path, archive) }
}

/// The `n`th of some messages that lie anywhere within an hour: neighbours in `n` are none in time.
fn anywhere(n: u64) -> Bytes {
    let time = NOW - 4_000 * SECOND + n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (3_600 * SECOND);
    body(time, if n.is_multiple_of(2) { "even" } else { "odd" }, format!("message {n}").as_bytes())
}

fn store(archive: &dyn Archive, numbers: std::ops::Range<u64>) {
    for first in numbers.clone().step_by(500) {
        let batch: Vec<_> = (first..(first + 500).min(numbers.end)).map(|n| live(&anywhere(n))).collect();
        assert!(admit(archive, &batch).iter().all(|admission| matches!(admission, Admission::Stored(_))));
    }
}

/// The view of each group is that of exactly these messages.
fn assert_holds(archive: &dyn Archive, numbers: &BTreeSet<u64>) {
    for filter in filters() {
        let belongs = |n: &&u64| filter.content_topics.is_empty() || **n % 2 == 1;
        let keys: BTreeSet<Key> = numbers.iter().filter(belongs).map(|n| key(&anywhere(*n))).collect();
        assert_eq!(kept(archive, &filter), keys);
        let fresh = Tree::from_sorted(keys).unwrap().snapshot().root().unwrap();
        assert_eq!(archive.view(&filter.group()).unwrap().kept.root().unwrap(), fresh);
    }
}

#[test]
fn many_are_entered_some_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.redb");
    let archive = Embedded::open(options(&path)).unwrap();
    let mut held: BTreeSet<u64> = (0..12_000).collect();
    store(&archive, 0..12_000);

    // As a kill would leave it: nothing is entered yet, and opening has it all the same.
    let copy = folder.path().join("copy.redb");
    std::fs::copy(&path, &copy).unwrap();
    let killed = Embedded::open(options(&copy)).unwrap();
    assert_holds(&killed, &held);
    assert!(killed.check(true).unwrap().is_sound());

    // Looking is what enters them. A second look finds nothing to do.
    assert_holds(&archive, &held);
    assert_holds(&archive, &held);

    // What is deleted or refused while many wait.
    store(&archive, 12_000..20_000);
    held.extend(12_000..20_000);
    let gone: Vec<u64> = (0..20_000).step_by(97).collect();
    assert_eq!(
        archive.delete(&gone.iter().map(|n| key(&anywhere(*n))).collect::<Vec<_>>()).unwrap(),
        gone.len() as u64
    );
    gone.iter().for_each(|n| assert!(held.remove(n)));
    let bad: Vec<_> =
        (0..50).map(|n| body(NOW - (n + 1) * 60 * SECOND, "odd", format!("bad {n}").as_bytes())).collect();
    let all = filter(&[]);
    let refused = admit(&archive, &bad.iter().map(|bad| synced(&all, bad)).collect::<Vec<_>>());
    assert!(refused.iter().all(|admission| matches!(admission, Admission::Refused(..))));
    store(&archive, 20_000..26_000);
    held.extend(20_000..26_000);
    assert_holds(&archive, &held);
    let refused = (gone.len() + bad.len()) as u64;
    assert_eq!(archive.view(&all.group()).unwrap().held.len(), held.len() as u64 + refused);
    assert!(archive.check(true).unwrap().is_sound());

    drop(archive);
    let archive = Embedded::open(options(&path)).unwrap();
    assert_holds(&archive, &held);
    assert_eq!(archive.view(&all.group()).unwrap().held.len(), held.len() as u64 + refused);
    assert!(archive.check(true).unwrap().is_sound());
}

/// What batches that lie anywhere cost to store does not depend on how many there are, as long as nobody looks: a page that all of
/// them change is written once.
#[test]
fn a_page_is_written_once_for_many_batches() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.redb");
    let counts = Arc::new(Counts::default());
    let (mut options, counted) = (options(&path), counts.clone());
    options.database_cache_size = 64 << 20;
    let archive = Embedded::open_with_backend(move || Counting::open(&path, &counted), options).unwrap();
    store(&archive, 0..20_000);
    assert_holds(&archive, &(0..20_000).collect());
    counts.take();
    store(&archive, 20_000..40_000);
    assert_holds(&archive, &(0..40_000).collect());
    drop(archive);
    let (bytes, _) = counts.take();
    let each = bytes / 20_000;
    // Body, row, key twice, id: 200 bytes. Where each batch of 500 changed all pages, it was 5,000.
    assert!(each < 1_200, "{each} bytes written a message");
}

/// Without any cache each look writes the index, some keys at a time, and comes to an end.
#[test]
fn an_archive_without_a_cache_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(&folder.path().join("archive.redb"));
    options.cache_size = 0;
    let archive = Embedded::open(options).unwrap();
    store(&archive, 0..2_000);
    assert_holds(&archive, &(0..2_000).collect());
    assert!(archive.check(true).unwrap().is_sound());
}
