//! Files that are not what they should be: errors that say what is wrong and what to do, never a panic, never wrong messages.
#![allow(clippy::unwrap_used)]
mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{
    filter, live,
    model::{Model, Op, filters, model_options, op},
    nth, options,
};
use hearken_archive::{
    AdmitError, Archive, Candidate, CheckReport, Embedded, EmbeddedOptions, OpenError, Origin, PageLimit, ReadError,
};
use hearken_tree::{Key, KeyRange};
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

const META: TableDefinition<&str, u64> = TableDefinition::new("hearken archive");
const MESSAGES: TableDefinition<u64, &[u8]> = TableDefinition::new("messages");
const KEYS: TableDefinition<&[u8; 40], u64> = TableDefinition::new("keys");
const IDS: TableDefinition<&[u8; 20], u64> = TableDefinition::new("ids");
const PAGES: TableDefinition<&[u8; 58], &[u8]> = TableDefinition::new("pages");

/// A folder with an archive and what is in it.
struct Sample {
    folder: tempfile::TempDir,
    model: Model,
}

impl Sample {
    fn new() -> Sample {
        let sample = Sample { folder: tempfile::tempdir().unwrap(), model: Model::new(filters()) };
        let archive = sample.open().unwrap();
        let mut model = sample.model.clone();
        for n in 0..60 {
            model.apply(&op(3, n));
            Model::run(&archive, &op(3, n)).unwrap();
        }
        Sample { model, ..sample }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("archive.redb")
    }

    fn open(&self) -> Result<Embedded, OpenError> {
        Embedded::open(EmbeddedOptions::new(self.path(), model_options(filters())))
    }

    /// Opens a file with `bytes` in it and reads all there is; whether nothing was amiss. What is read must be true.
    fn survives(&self, bytes: &[u8]) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive.redb");
        fs::write(&path, bytes).unwrap();
        let archive = match Embedded::open(EmbeddedOptions::new(&path, model_options(filters()))) {
            Ok(archive) => archive,
            Err(error) => {
                assert!(matches!(error, OpenError::Corrupt { .. } | OpenError::Foreign { .. }), "{error:?}");
                assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
                return false;
            }
        };
        let mut whole = true;
        for group in filters() {
            whole &= self.reads(&archive, &group);
        }
        let keys: Vec<Key> = self.model.messages.keys().copied().collect();
        for key in &keys {
            match archive.get(std::slice::from_ref(key)).as_deref() {
                Ok([Some(message)]) => assert_eq!(message.body, self.model.messages[key].2),
                Ok(_) => whole = false,
                Err(error) => {
                    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
                    whole = false;
                }
            }
        }
        // Going on must not panic either.
        let _ = Model::run(&archive, &op(3, 60));
        let _ = archive.retain(common::NOW + 2000 * common::SECOND);
        whole
    }

    fn reads(&self, archive: &Embedded, group: &hearken_archive::Filter) -> bool {
        let all = PageLimit { messages: usize::MAX, bytes: usize::MAX };
        let scanned = match archive.scan(&group.group(), &KeyRange::ALL, all) {
            Ok(scanned) => scanned,
            Err(ReadError::Corrupt { .. } | ReadError::Index(_)) => return false,
            Err(other) => panic!("{other}"),
        };
        for message in &scanned {
            assert_eq!(message.body, self.model.messages[&message.key].2, "a wrong message");
        }
        let root = archive.view(&group.group()).unwrap().held.root();
        root.is_ok() && scanned.len() as u64 == archive.view(&group.group()).unwrap().kept.len()
    }
}

fn refused(path: &Path) -> OpenError {
    Embedded::open(EmbeddedOptions::new(path, options(vec![filter(&[])]))).err().expect("it must not open")
}

#[test]
fn truncated_files() {
    let sample = Sample::new();
    let bytes = fs::read(sample.path()).unwrap();
    assert!(sample.survives(&bytes));
    let lengths = (1..20).chain([100, 319, 320, 4095, 4096, 4097]).chain((1..24).map(|part| bytes.len() * part / 24));
    for length in lengths.chain([bytes.len() - 1, bytes.len() - 4096]) {
        assert!(!sample.survives(&bytes[..length]), "{length} of {} bytes", bytes.len());
    }
    // An empty file is as good as none.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.redb");
    fs::write(&path, []).unwrap();
    Embedded::open(EmbeddedOptions::new(&path, options(vec![filter(&[])]))).unwrap();
}

#[test]
fn files_with_pages_of_zeros_and_garbage() {
    damage_pages(3);
}

#[test]
#[ignore = "every page of a file takes half a minute"]
fn files_with_any_page_of_zeros_or_garbage() {
    damage_pages(1);
}

fn damage_pages(every: usize) {
    let sample = Sample::new();
    let bytes = fs::read(sample.path()).unwrap();
    let pages = bytes.len() / 4096;
    let mut noticed = 0;
    for page in (0..pages).filter(|page| page % every == 0 || page + 1 == pages) {
        // The last page in both ways.
        for garbage in [0, 0xa5].into_iter().skip(page % 2).take(if page + 1 == pages { 2 } else { 1 }) {
            let mut damaged = bytes.clone();
            damaged[page * 4096..][..4096].fill(garbage);
            noticed += u64::from(!sample.survives(&damaged));
        }
    }
    assert!(noticed > 20, "of {pages} pages, only {noticed}");
}

#[test]
fn foreign_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.redb");
    fs::write(&path, "{\"pubsubTopic\": \"/waku/2/rs/0/0\"}").unwrap();
    assert!(matches!(refused(&path), OpenError::Foreign { .. }));
    fs::write(&path, [0; 10_000]).unwrap();
    assert!(matches!(refused(&path), OpenError::Corrupt { .. }));

    fs::remove_file(&path).unwrap();
    let db = Database::create(&path).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(TableDefinition::<u64, u64>::new("accounts")).unwrap();
    txn.commit().unwrap();
    drop(db);
    let error = refused(&path);
    assert!(matches!(error, OpenError::Foreign { .. }));
    assert!(error.to_string().contains("accounts") && error.to_string().contains(path.to_str().unwrap()), "{error}");

    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(refused(&path), OpenError::Foreign { .. }));
    assert!(matches!(refused(&folder.path().join("none/archive.redb")), OpenError::NoFolder { .. }));
}

#[test]
fn other_versions() {
    for (version, newer) in [(4, true), (u64::MAX, true), (0, false), (1, false), (2, false)] {
        let sample = Sample::new();
        let db = Database::open(sample.path()).unwrap();
        let txn = db.begin_write().unwrap();
        txn.open_table(META).unwrap().insert("format version", version).unwrap();
        txn.commit().unwrap();
        drop(db);
        let before = fs::read(sample.path()).unwrap();
        let error = refused(&sample.path());
        match &error {
            OpenError::Newer { found, expected: 3, .. } => assert!(newer && *found == version),
            OpenError::Older { found, expected: 3, .. } => assert!(!newer && *found == version),
            other => panic!("{other}"),
        }
        assert!(error.to_string().contains(&format!("version {version}")), "{error}");
        assert!(newer || error.to_string().contains("export"), "{error}");
        assert_eq!(fs::read(sample.path()).unwrap().len(), before.len());
    }
}

#[test]
fn one_file_is_opened_once() {
    let sample = Sample::new();
    let archive = sample.open().unwrap();
    assert!(matches!(sample.open(), Err(OpenError::AlreadyOpen { .. })));
    sample.model.verify(&archive);
    drop(archive);
    sample.model.verify(&sample.open().unwrap());
}

#[test]
fn a_half_made_file_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.redb");
    fs::write(folder.path().join("archive.redb.new"), [0; 5000]).unwrap();
    let archive = Embedded::open(EmbeddedOptions::new(&path, options(vec![filter(&[])]))).unwrap();
    archive.admit(&[live(&nth(0))], common::NOW).unwrap();
    drop(archive);
    let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["archive.redb"]);
}

/// Damages every index page, one at a time: reading repairs it from the messages, alone, and the next commit stores it.
#[test]
fn damaged_index_pages_are_rebuilt() {
    let sample = Sample::new();
    let pages = || {
        let db = Database::open(sample.path()).unwrap();
        db.begin_read().unwrap().open_table(PAGES).unwrap().len().unwrap()
    };
    let count = pages();
    assert!(count > 20, "{count} pages");
    for page in 0..usize::try_from(count).unwrap() {
        let db = Database::open(sample.path()).unwrap();
        let txn = db.begin_write().unwrap();
        {
            let mut table = txn.open_table(PAGES).unwrap();
            let (key, mut row) = {
                let (key, row) = table.iter().unwrap().nth(page).unwrap().unwrap();
                (*key.value(), row.value().to_vec())
            };
            // Where a page of what is held is missing, that of what is kept counts: only `check` sees that.
            if page % 3 == 0 && key[16] == 0 {
                table.remove(&key).unwrap();
            } else {
                row[page % 200] ^= 1 << (page % 8);
                table.insert(&key, row.as_slice()).unwrap();
            }
        }
        txn.commit().unwrap();
        drop(db);
        let archive = sample.open().unwrap();
        sample.model.verify(&archive);
        // The next transaction stores it, whatever it is about.
        archive.delete(&[]).unwrap();
        drop(archive);
        assert_eq!(pages(), count);
    }
    assert!(sample.open().unwrap().check(true).unwrap().is_sound());
}

/// Changes what lies in the file behind the archive's back.
fn tamper(sample: &Sample, change: impl FnOnce(&redb::WriteTransaction)) {
    let db = Database::open(sample.path()).unwrap();
    let txn = db.begin_write().unwrap();
    change(&txn);
    txn.commit().unwrap();
}

/// Checks, expects something, and that it is repaired for good.
fn repairs(sample: &Sample, deep: bool, expected: impl Fn(&CheckReport) -> bool) {
    let archive = sample.open().unwrap();
    let report = archive.check(deep).unwrap();
    assert!(expected(&report) && !report.is_sound(), "{report:?}");
    assert!(archive.check(true).unwrap().is_sound());
    drop(archive);
    assert!(sample.open().unwrap().check(true).unwrap().is_sound());
}

#[test]
fn check_repairs() {
    let sample = Sample::new();
    let report = sample.open().unwrap().check(true).unwrap();
    assert!(report.is_sound() && report.messages == sample.model.messages.len() as u64, "{report:?}");

    // Every page of what is held is gone: those of what is kept serve in their place, and do not fit.
    tamper(&sample, |txn| txn.open_table(PAGES).unwrap().retain(|key, _| key[16] == 0).unwrap());
    repairs(&sample, false, |report| report.groups.iter().any(|group| !group.faults.is_empty()));
    sample.model.verify(&sample.open().unwrap());

    // Damaged pages are counted.
    tamper(&sample, |txn| txn.open_table(PAGES).unwrap().retain(|key, _| key[17] != 0).unwrap());
    repairs(&sample, false, |report| report.groups.iter().all(|group| group.rebuilt_pages > 0));
    sample.model.verify(&sample.open().unwrap());

    tamper(&sample, |txn| {
        let mut ids = txn.open_table(IDS).unwrap();
        (0..3).for_each(|_| drop(ids.pop_first().unwrap()));
    });
    repairs(&sample, true, |report| report.lost_ids == 3);
    sample.model.verify(&sample.open().unwrap());

    tamper(&sample, |txn| drop(txn.open_table(META).unwrap().insert("messages", 7).unwrap()));
    repairs(&sample, false, |report| report.wrong_counts);

    // A message that was changed, and one that is gone.
    let (changed, gone) = {
        let mut keys = sample.model.messages.keys().rev();
        (*keys.next().unwrap(), *keys.next().unwrap())
    };
    tamper(&sample, |txn| {
        let (mut messages, mut keys) = (txn.open_table(MESSAGES).unwrap(), txn.open_table(KEYS).unwrap());
        let sequence = keys.get(changed.as_bytes()).unwrap().unwrap().value();
        let mut row = messages.get(sequence).unwrap().unwrap().value().to_vec();
        *row.last_mut().unwrap() ^= 1;
        messages.insert(sequence, row.as_slice()).unwrap();
        let sequence = keys.remove(gone.as_bytes()).unwrap().unwrap().value();
        messages.remove(sequence).unwrap();
    });
    assert!(matches!(sample.open().unwrap().get(&[changed]), Err(ReadError::Corrupt { .. })));
    repairs(&sample, false, |report| report.damaged == [changed]);
    let mut model = sample.model.clone();
    model.messages.remove(&changed);
    model.messages.remove(&gone);
    model.verify(&sample.open().unwrap());

    // A message that no key leads to, one of which the message is gone, and one of which both are not what they were.
    let [lost, gone, unreadable] = {
        let mut keys = model.messages.keys();
        std::array::from_fn(|_| *keys.next().unwrap())
    };
    tamper(&sample, |txn| {
        let (mut messages, mut keys) = (txn.open_table(MESSAGES).unwrap(), txn.open_table(KEYS).unwrap());
        keys.remove(lost.as_bytes()).unwrap();
        let sequence = keys.get(gone.as_bytes()).unwrap().unwrap().value();
        messages.remove(sequence).unwrap();
        let sequence = keys.remove(unreadable.as_bytes()).unwrap().unwrap().value();
        messages.insert(sequence, &[0; 30][..]).unwrap();
    });
    repairs(&sample, false, |report| report.lost_keys == 1 && report.damaged == [gone] && report.unreadable == 1);
    model.messages.remove(&gone);
    model.messages.remove(&unreadable);
    model.verify(&sample.open().unwrap());
}

/// An archive as a kill would leave it, with many messages of which nothing was written into the index.
fn killed() -> Sample {
    let sample = Sample::new();
    let archive = sample.open().unwrap();
    let mut model = sample.model.clone();
    for n in 60..80 {
        let Op::Admit(batch, now) = op(3, n) else { continue };
        // What is refused has to be written at once.
        let batch = batch
            .into_iter()
            .map(|candidate| Candidate { origin: Origin::Topic(common::TOPIC.to_owned()), ..candidate });
        let op = Op::Admit(batch.collect(), now);
        assert_eq!(Model::run(&archive, &op).unwrap(), model.apply(&op));
    }
    let copy = Sample { folder: tempfile::tempdir().unwrap(), model };
    fs::copy(sample.path(), copy.path()).unwrap();
    copy
}

fn waiting(sample: &Sample) -> Vec<u64> {
    let db = Database::open(sample.path()).unwrap();
    let txn = db.begin_read().unwrap();
    let indexed = txn.open_table(META).unwrap().get("indexed").unwrap().unwrap().value();
    let rows = txn.open_table(MESSAGES).unwrap().range(indexed + 1..).unwrap();
    rows.map(|row| row.unwrap().0.value()).collect()
}

#[test]
fn messages_behind_the_index_are_entered_on_opening() {
    let copy = killed();
    assert!(waiting(&copy).len() > 50, "{} messages wait", waiting(&copy).len());
    // Again and again, until something writes the index: here, closing.
    for _ in 0..3 {
        copy.model.verify(&copy.open().unwrap());
    }
    assert_eq!(waiting(&copy), []);
    assert!(copy.open().unwrap().check(true).unwrap().is_sound());

    // With a group that is new, and without one that was there.
    let mut copy = killed();
    let groups = [&filters()[1..], &[filter(&["c"])]].concat();
    copy.model.reopen(groups.clone());
    let open = || Embedded::open(EmbeddedOptions::new(copy.path(), model_options(groups.clone()))).unwrap();
    copy.model.verify(&open());
    assert!(open().check(true).unwrap().is_sound());

    // Checking enters them, and finds nothing amiss.
    let copy = killed();
    assert!(copy.open().unwrap().check(true).unwrap().is_sound());
    copy.model.verify(&copy.open().unwrap());
}

/// A damaged message among those that wait costs that message; an index that cannot follow is filled anew, or when it is checked.
#[test]
fn what_waits_may_be_damaged_too() {
    let mut copy = killed();
    let all = waiting(&copy);
    let sequence = all[all.len() / 2];
    let mut lost = None;
    tamper(&copy, |txn| {
        let mut messages = txn.open_table(MESSAGES).unwrap();
        let mut row = messages.get(sequence).unwrap().unwrap().value().to_vec();
        lost = copy.model.messages.iter().find(|(_, message)| message.2 == row[10..]).map(|(key, _)| *key);
        *row.last_mut().unwrap() ^= 1;
        messages.insert(sequence, row.as_slice()).unwrap();
    });
    copy.model.messages.remove(&lost.unwrap()).unwrap();
    let archive = copy.open().unwrap();
    copy.model.verify(&archive);
    let report = archive.check(true).unwrap();
    assert!(report.unreadable == 1 && report.damaged.is_empty(), "{report:?}");
    assert!(archive.check(true).unwrap().is_sound());
    copy.model.verify(&archive);

    let copy = killed();
    tamper(&copy, |txn| txn.open_table(PAGES).unwrap().retain(|key, _| key[16] == 0).unwrap());
    let archive = copy.open().unwrap();
    archive.check(false).unwrap();
    copy.model.verify(&archive);
    drop(archive);
    assert!(copy.open().unwrap().check(true).unwrap().is_sound());
}

/// Damage that cannot be mended page by page costs one failed batch: the index is rebuilt, and the next one goes in.
#[test]
fn writing_rebuilds_a_damaged_index() {
    let sample = Sample::new();
    tamper(&sample, |txn| txn.open_table(PAGES).unwrap().retain(|key, _| key[16] == 0).unwrap());
    let archive = sample.open().unwrap();
    let Sample { folder: _folder, mut model } = sample;
    let mut failed = 0;
    for n in 60..70 {
        let op = op(3, n);
        let answers = Model::run(&archive, &op).or_else(|error| {
            assert!(matches!(error, AdmitError::Index(_)), "{error}");
            failed += 1;
            Model::run(&archive, &op)
        });
        assert_eq!(answers.unwrap(), model.apply(&op));
    }
    assert!(failed <= 1, "{failed}");
    model.verify(&archive);
    assert!(archive.check(true).unwrap().is_sound());
}
