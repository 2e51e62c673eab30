//! The program as a user meets it: settings from everywhere, files in and out, errors in words.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use hearken_node::ndjson::{self, format_line};
use hearken_node::trace::Trace;
use hearken_waku::WakuMessage;
use prost::Message;

fn hearken(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hearken"));
    command.args(arguments).current_dir(folder).env_clear();
    command
}

fn output(mut command: Command) -> (Output, String, String) {
    let output = command.output().unwrap();
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    (output, out, err)
}

/// The error of a command that must fail with exit code 1, in one paragraph and without a backtrace.
fn fails(folder: &Path, arguments: &[&str]) -> String {
    let (output, _, err) = output(hearken(folder, arguments));
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.starts_with("hearken: ") && !err.contains("panicked") && !err.contains("\n\n"), "{err}");
    err
}

fn lines(trace: &Trace) -> Vec<u8> {
    let line = |message: &hearken_node::trace::TraceMessage| {
        format_line(&trace.pubsub_topic, &WakuMessage::decode(&*message.body).unwrap()).unwrap()
    };
    trace.messages.iter().flat_map(line).collect()
}

#[test]
fn flags_win_over_the_environment_and_the_environment_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("node.toml"), "[sync]\nwindow = '2h'\nsettle_delay = '40s'\nhorizon_grid = '20s'")
        .unwrap();
    let mut command = hearken(folder.path(), &["config", "--sync-window", "4h"]);
    command.env("HEARKEN_CONFIG", "node.toml").env("HEARKEN_SYNC_WINDOW", "3h").env("HEARKEN_SYNC_SETTLE_DELAY", "50s");
    let (output, out, err) = output(command);
    assert!(output.status.success(), "{err}");
    for expected in ["window = \"4h\"", "settle_delay = \"50s\"", "horizon_grid = \"20s\"", "interval_max = \"4m\""] {
        assert!(out.contains(expected), "{out}");
    }
}

#[test]
fn a_wrong_variable_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = hearken(folder.path(), &["config"]);
    command.env("HEARKEN_ARCHIVE_CACHE", "lots");
    let (output, _, err) = output(command);
    assert_eq!(output.status.code(), Some(1));
    for expected in ["HEARKEN_ARCHIVE_CACHE", "archive.cache", "expected a size", "lots"] {
        assert!(err.contains(expected), "{err}");
    }
}

#[test]
fn what_is_imported_is_exported() {
    let folder = tempfile::tempdir().unwrap();
    let trace = Trace::generate(300, 1);
    let text = lines(&trace);
    fs::write(folder.path().join("trace.ndjson"), &text).unwrap();
    let keep = ["--archive-retention", "unlimited"];
    let run = |arguments: &[&str]| {
        let (output, out, err) = output(hearken(folder.path(), &[arguments, &keep].concat()));
        assert!(output.status.success(), "{err}");
        (out, err)
    };
    assert!(run(&["import", "trace.ndjson"]).1.contains("300 messages stored, 0 were there already, 0 lines were bad"));
    assert!(run(&["import", "trace.ndjson"]).1.contains("0 messages stored, 300 were there already"));
    assert_eq!(run(&["export"]).0.as_bytes(), text);

    run(&["export", "copy.ndjson.zst"]);
    let mut copy = ndjson::Input::open(&folder.path().join("copy.ndjson.zst")).unwrap();
    let mut count = 0;
    while let Some(message) = copy.next_message().unwrap() {
        message.unwrap();
        count += 1;
    }
    assert_eq!(count, 300);

    let middle = trace.messages[150].key.timestamp();
    let (from, to) =
        (run(&["export", "--from", &middle.to_string()]).0, run(&["export", "--to", &middle.to_string()]).0);
    assert_eq!([to, from].concat().as_bytes(), text);
    assert!(run(&["check", "--deep"]).0.contains("/waku/2/rs/66/0: 300 messages; 0 were missing"));
    let lobby = run(&["export", "--topic", "/chat/1/lobby/proto"]).0;
    assert_eq!(lobby.lines().count(), String::from_utf8_lossy(&text).matches("/chat/1/lobby/proto").count());
}

#[test]
fn bad_lines_are_reported_and_the_rest_goes_in() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = lines(&Trace::generate(3, 1));
    text.extend_from_slice(b"{\"half\":\n{\"pubsubTopic\":\"/other\",\"contentTopic\":\"/a\",\"payload\":\"\",\"timestamp\":1735689600000000000}\n");
    let mut command = hearken(folder.path(), &["import", "-", "--archive-retention", "unlimited"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&text).unwrap();
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{err}");
    for expected in ["line 4: ", "line 5: no group here holds its topics", "3 messages stored", "2 lines were bad"] {
        assert!(err.contains(expected), "{err}");
    }
}

#[test]
fn messages_that_are_too_old_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("trace.ndjson"), lines(&Trace::generate(3, 1))).unwrap();
    let (output, _, err) = output(hearken(folder.path(), &["import", "trace.ndjson"]));
    assert_eq!(output.status.code(), Some(3));
    assert!(err.contains("--archive-retention unlimited"), "{err}");
}

#[test]
fn what_cannot_be_opened_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(fails(folder.path(), &["import", "nothing.ndjson"]).contains("nothing.ndjson"));
    assert!(fails(folder.path(), &["export"]).contains("hearken-data"));
    fs::write(folder.path().join("file"), "").unwrap();
    assert!(fails(folder.path(), &["run", "--data-dir", "file"]).contains("file"));
    fs::create_dir(folder.path().join("hearken-data")).unwrap();
    fs::write(folder.path().join("hearken-data/identity.key"), "no key").unwrap();
    assert!(fails(folder.path(), &["run"]).contains("identity.key does not hold a node's identity"));
    fs::write(folder.path().join("hearken-data/archive.hearken"), "no archive").unwrap();
    assert!(fails(folder.path(), &["run"]).contains("is not a Hearken archive"));
}

#[test]
fn a_port_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().unwrap().port());
    let err = fails(folder.path(), &["run", "--listen", &address]);
    assert!(err.contains(&address) && err.contains("another program listens there"), "{err}");
}
