//! Archives and traces that are not what they should be: a clear message, and nothing that was there is lost.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Node, Trace, export, hearken, hearken_with_input, import};

/// A data folder with some messages, and the path of its archive file.
fn archive(trace: &Trace) -> (tempfile::TempDir, PathBuf) {
    let data = tempfile::tempdir().unwrap();
    import(data.path(), trace);
    let files = fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().path());
    let file = files.max_by_key(|file| file.metadata().unwrap().len()).unwrap();
    (data, file)
}

/// Every command that opens an archive refuses the file, with these words, and leaves it as it is.
#[track_caller]
fn refused(data: &Path, file: &Path, words: &[&str]) {
    let before = fs::read(file).unwrap();
    let data = data.to_str().unwrap();
    hearken(["run", "--data-dir", data, "--listen", "/ip4/127.0.0.1/tcp/0"]).failure(words);
    hearken(["export", "--data-dir", data]).failure(words);
    hearken_with_input(["import", "--data-dir", data, "-"], Trace::generate(9, 1).text().as_bytes()).failure(words);
    assert!(before == fs::read(file).unwrap(), "a refused file was changed");
}

#[test]
fn a_truncated_archive_is_refused_and_left_alone() {
    let trace = Trace::generate(2, 2000);
    let (data, file) = archive(&trace);
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    refused(data.path(), &file, &[file.file_name().unwrap().to_str().unwrap()]);
    fs::write(&file, &whole).unwrap();
    assert_eq!(export(data.path()), trace.messages(), "the whole file opens again");
}

#[test]
fn a_foreign_file_in_the_place_of_the_archive_is_refused_and_left_alone() {
    let (data, file) = archive(&Trace::generate(3, 20));
    fs::write(&file, "Dear diary, this is not a database.\n".repeat(1000)).unwrap();
    refused(data.path(), &file, &[file.file_name().unwrap().to_str().unwrap()]);
}

#[test]
fn an_archive_of_a_newer_format_is_refused_and_left_alone() {
    let trace = Trace::generate(7, 20);
    let (data, file) = archive(&trace);
    let data_dir = data.path().to_str().unwrap();
    let found = set_format_version(&file, 4711);
    for arguments in
        [&["export", "--data-dir", data_dir][..], &["run", "--data-dir", data_dir, "--listen", "/ip4/127.0.0.1/tcp/0"]]
    {
        hearken(arguments).failure(&["format version 4711", "newer"]);
    }
    set_format_version(&file, found);
    assert_eq!(export(data.path()), trace.messages(), "the program of that format finds everything");
}

/// Writes another format version into the archive; gives the one that was there.
fn set_format_version(file: &Path, version: u64) -> u64 {
    let database = redb::Database::open(file).unwrap();
    let write = database.begin_write().unwrap();
    let table = redb::TableDefinition::<&str, u64>::new("hearken archive");
    let found = write.open_table(table).unwrap().insert("format version", version).unwrap().unwrap().value();
    write.commit().unwrap();
    found
}

#[test]
fn malformed_lines_of_a_trace_are_reported_by_number_and_the_rest_goes_in() {
    let data = tempfile::tempdir().unwrap();
    let trace = Trace::generate(4, 6);
    let mut lines: Vec<String> = trace.text().lines().map(str::to_owned).collect();
    lines.insert(2, "{\"pubsubTopic\": \"/waku/2/rs/66/0\", \"contentTopic\":".to_owned());
    lines.insert(4, lines[4].replacen("\"payload\":\"", "\"payload\":\"!!!", 1));
    lines.insert(6, "not even JSON".to_owned());
    let input = lines.join("\n");
    let finished = hearken_with_input(["import", "--data-dir", data.path().to_str().unwrap(), "-"], input.as_bytes());
    finished.failure_with(3, &["line 3", "line 5", "payload", "line 7", "6 messages stored", "3 lines were bad"]);
    assert_eq!(export(data.path()), trace.messages());
}

#[test]
fn a_trace_compressed_and_cut_short_is_reported_and_what_came_before_goes_in() {
    let data = tempfile::tempdir().unwrap();
    let trace = Trace::generate(5, 5000);
    let whole = zstd::encode_all(trace.text().as_bytes(), 1).unwrap();
    let file = data.path().join("trace.ndjson.zst");
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let archive = data.path().join("data");
    hearken([Path::new("import"), Path::new("--data-dir"), &archive, &file]).failure(&["cut short"]);
    let stored = export(&archive);
    assert!(!stored.is_empty() && stored.is_subset(&trace.messages()), "{} messages stored", stored.len());
}

#[test]
fn a_second_node_on_the_same_folder_is_refused_and_the_first_goes_on() {
    let trace = Trace::generate(6, 50);
    let (data, _) = archive(&trace);
    let first = Node::start(data.path(), &[]);
    let data_dir = data.path().to_str().unwrap();
    hearken(["run", "--data-dir", data_dir, "--listen", "/ip4/127.0.0.1/tcp/0"]).failure(&[data_dir, "another"]);
    hearken(["export", "--data-dir", data_dir]).failure(&[data_dir, "another"]);
    first.stop().success();
    assert_eq!(export(data.path()), trace.messages());
}
