//! Queries by content topic: served from an index, whether it follows the messages yet or not.
#![allow(clippy::unwrap_used)]
mod common;

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use common::{NOW, SECOND, admit, body, filter, key, live, open, options};
use hearken_archive::{Archive, Embedded, PageLimit, Query, QueryPage};
use hearken_tree::{Key, KeyRange};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

const TABLE: TableDefinition<&[u8; 52], u64> = TableDefinition::new("content topics");
/// Messages of one part of the table.
const PART: u64 = 1 << 17;
const RARE: u64 = 499;

/// One a millisecond; every 499th of a rare topic, the others each of one of many.
fn message(n: u64) -> Bytes {
    let topic = if n.is_multiple_of(RARE) { "rare".to_owned() } else { format!("topic {}", n % 7919) };
    body(NOW - 1000 * SECOND + n * 1_000_000, &topic, &n.to_be_bytes())
}

fn fill(archive: &Embedded, numbers: std::ops::Range<u64>) {
    let numbers: Vec<u64> = numbers.collect();
    for batch in numbers.chunks(10_000) {
        admit(archive, &batch.iter().map(|n| live(&message(*n))).collect::<Vec<_>>());
    }
}

fn query(topics: &[&str], newest_first: bool, messages: usize) -> Query {
    Query {
        pubsub_topic: None,
        content_topics: topics.iter().map(|topic| (*topic).to_owned()).collect::<BTreeSet<_>>(),
        range: KeyRange::ALL,
        newest_first,
        limit: PageLimit { messages, bytes: usize::MAX },
    }
}

fn keys(page: &QueryPage) -> Vec<Key> {
    page.messages.iter().map(|message| message.key).collect()
}

/// The keys of the rare topic, oldest first.
fn rare(numbers: std::ops::Range<u64>) -> Vec<Key> {
    numbers.filter(|n| n.is_multiple_of(RARE)).map(|n| key(&message(n))).collect()
}

/// One call finds all: looking at all messages, it would end after ten thousand.
fn finds_at_once(archive: &Embedded, expected: &[Key]) {
    let found = archive.query(&query(&["rare"], false, usize::MAX)).unwrap();
    assert_eq!((keys(&found), found.rest), (expected.to_vec(), None));
    let found = archive.query(&query(&["rare", "none of them"], true, usize::MAX)).unwrap();
    assert_eq!((keys(&found), found.rest), (expected.iter().rev().copied().collect(), None));
    // From behind a message on, and up to a time.
    let middle = expected[expected.len() / 2];
    let found = archive.query(&query(&["rare"], false, 3).after(&middle)).unwrap();
    assert_eq!(keys(&found), expected[expected.len() / 2 + 1..][..3]);
    let before = Query { range: KeyRange::between(0, middle.timestamp()), ..query(&["rare"], true, 3) };
    let mut nearest = expected[..expected.len() / 2].to_vec();
    nearest.reverse();
    assert_eq!(keys(&archive.query(&before).unwrap()), nearest[..3]);
    let none = archive.query(&query(&["none of them"], false, 10)).unwrap();
    assert_eq!((none.messages.len(), none.rest), (0, None));
}

fn rows(path: &Path) -> Vec<u32> {
    let database = Database::open(path).unwrap();
    let table = database.begin_read().unwrap().open_table(TABLE).unwrap();
    table.iter().unwrap().map(|row| u32::from_be_bytes(*row.unwrap().0.value().first_chunk::<4>().unwrap())).collect()
}

#[test]
fn a_rare_content_topic_is_found_without_looking_at_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.redb");
    let archive = open(folder.path(), options(vec![filter(&[])]));
    // Before the index was ever written, from memory.
    fill(&archive, 0..30_000);
    finds_at_once(&archive, &rare(0..30_000));
    // Written, and some more in memory.
    archive.retain(NOW).unwrap();
    finds_at_once(&archive, &rare(0..30_000));
    fill(&archive, 30_000..60_000);
    finds_at_once(&archive, &rare(0..60_000));
    drop(archive);
    assert_eq!(rows(&path).len(), 30_000);
    let archive = open(folder.path(), options(vec![filter(&[])]));
    finds_at_once(&archive, &rare(0..60_000));
    // Far behind, everything is looked at; and found all the same.
    fill(&archive, 60_000..130_000);
    let first = archive.query(&query(&["rare"], false, usize::MAX)).unwrap();
    assert!(first.rest.is_some());
    archive.retain(NOW).unwrap();
    finds_at_once(&archive, &rare(0..130_000));
    // Deleted messages are found no more.
    let mut left = rare(0..130_000);
    let deleted = [left.remove(70), left.remove(3)];
    archive.delete(&deleted).unwrap();
    finds_at_once(&archive, &left);
    drop(archive);
    assert_eq!(rows(&path).len(), 130_000, "what is gone stays, until its part is");
    assert!(open(folder.path(), options(vec![filter(&[])])).check(true).unwrap().is_sound());
}

#[test]
fn parts_of_which_nothing_is_stored_are_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.redb");
    let all = PART + 20_000;
    let archive = open(folder.path(), options(vec![filter(&[])]));
    fill(&archive, 0..all);
    archive.retain(NOW).unwrap();
    drop(archive);
    assert_eq!(rows(&path).len() as u64, all);
    // Everything of the first part becomes too old; a few more messages make it worth looking.
    let mut shorter = options(vec![filter(&[])]);
    let bound = key(&message(PART + 10_000)).timestamp();
    shorter.limits.max_age = Some(std::time::Duration::from_nanos(NOW - bound));
    let archive = open(folder.path(), shorter.clone());
    archive.retain(NOW).unwrap();
    fill(&archive, all..all + 2000);
    archive.retain(NOW).unwrap();
    finds_at_once(&archive, &rare(PART + 10_000..all + 2000));
    drop(archive);
    let parts = rows(&path);
    assert!(parts.iter().all(|part| *part == 1), "part 0 is gone");
    assert!(open(folder.path(), shorter).check(true).unwrap().is_sound());
}

#[test]
fn files_from_before_the_index_are_indexed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.redb");
    let archive = open(folder.path(), options(vec![filter(&[])]));
    fill(&archive, 0..5000);
    archive.retain(NOW).unwrap();
    drop(archive);
    tamper(&path, |txn| {
        txn.delete_table(TABLE).unwrap();
        txn.open_table(TableDefinition::<&str, u64>::new("hearken archive")).unwrap().remove("content topics").unwrap();
    });
    let archive = open(folder.path(), options(vec![filter(&[])]));
    finds_at_once(&archive, &rare(0..5000));
    archive.retain(NOW).unwrap();
    finds_at_once(&archive, &rare(0..5000));
    drop(archive);
    assert_eq!(rows(&path).len(), 5000);

    // And what is lost of it is noticed, and made anew.
    tamper(&path, |txn| {
        let mut table = txn.open_table(TABLE).unwrap();
        (0..3).for_each(|_| drop(table.pop_first().unwrap()));
    });
    let archive = open(folder.path(), options(vec![filter(&[])]));
    let report = archive.check(true).unwrap();
    assert!(report.lost_topics == 3 && !report.is_sound(), "{report:?}");
    assert!(archive.check(true).unwrap().is_sound());
    finds_at_once(&archive, &rare(0..5000));
    archive.retain(NOW).unwrap();
    assert!(archive.check(true).unwrap().is_sound());
    drop(archive);
    assert_eq!(rows(&path).len(), 5000);
}

fn tamper(path: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::open(path).unwrap();
    let txn = database.begin_write().unwrap();
    change(&txn);
    txn.commit().unwrap();
}
