//! Messages as lines: there and back, and what is said of bad ones.
#![allow(clippy::unwrap_used)]

use std::io::{Cursor, Write};
use std::path::Path;

use hearken_archive::MessageFormat;
use hearken_node::ndjson::{Input, MAX_LINE, Output, TopicMessage, format_line};
use hearken_node::trace::Trace;
use hearken_waku::{WakuFormat, WakuMessage};
use proptest::prelude::*;
use prost::Message;

fn read(bytes: &[u8]) -> Vec<Result<TopicMessage, String>> {
    let mut input = Input::new("test".to_owned(), Cursor::new(bytes.to_vec())).unwrap();
    let mut all = Vec::new();
    while let Some(line) = input.next_message().unwrap() {
        all.push(line.map_err(|error| error.to_string()));
    }
    all
}

const LINE: &str = r#"{"pubsubTopic":"/waku/2/rs/66/0","contentTopic":"/chat/1/html5/proto","payload":"dTM3MDcJSGk=","timestamp":1325376180000000000}"#;

#[test]
fn a_line_of_a_trace() {
    let message = read(LINE.as_bytes()).remove(0).unwrap();
    assert_eq!(message.pubsub_topic, "/waku/2/rs/66/0");
    let waku = WakuMessage::decode(&*message.body).unwrap();
    assert_eq!(waku.payload, "u3707\tHi");
    assert_eq!(waku.timestamp, Some(1_325_376_180_000_000_000));
    assert_eq!(format_line(&message.pubsub_topic, &waku).unwrap(), format!("{LINE}\n").into_bytes());
}

#[test]
fn bad_lines_are_numbered_and_the_rest_goes_on() {
    let text = [
        LINE,
        "",
        "{\"pubsubTopic\":",
        "[]",
        r#"{"pubsubTopic":"/a","contentTopic":"/b","payload":"???","timestamp":1}"#,
        r#"{"pubsubTopic":"/a","contentTopic":"/b","payload":""}"#,
        r#"{"pubsubTopic":"/a","contentTopic":"/b","payload":"","timestamp":"soon"}"#,
        r#"{"pubsubTopic":"/a","contentTopic":"/b","payload":"AA","timestamp":1,"unknown":{"is":"ignored"}}"#,
    ]
    .join("\r\n");
    let lines = read(text.as_bytes());
    assert_eq!(lines.iter().filter(|line| line.is_ok()).count(), 2);
    let errors: Vec<&String> = lines.iter().filter_map(|line| line.as_ref().err()).collect();
    let expected = [
        ("line 3:", "EOF"),
        ("line 4:", "expected"),
        ("line 5:", "base64"),
        ("line 6:", "timestamp"),
        ("line 7:", "soon"),
    ];
    assert_eq!(errors.len(), expected.len());
    for (error, (line, reason)) in errors.iter().zip(expected) {
        assert!(error.starts_with(line) && error.contains(reason), "{error}");
    }
}

#[test]
fn an_endless_line_is_skipped_without_being_kept() {
    let mut bytes = vec![b'x'; MAX_LINE + 7];
    bytes.extend_from_slice(format!("\n{LINE}").as_bytes());
    let lines = read(&bytes);
    assert!(lines[0].as_ref().unwrap_err().starts_with("line 1: expected at most"));
    assert!(lines[1].is_ok());
    assert_eq!(lines.len(), 2);
}

#[test]
fn a_compressed_file_that_is_cut_short_says_so() {
    let trace = Trace::generate(500, 1);
    let mut encoder = zstd::Encoder::new(Vec::new(), 0).unwrap();
    for message in &trace.messages {
        let waku = WakuMessage::decode(&*message.body).unwrap();
        encoder.write_all(&format_line(&trace.pubsub_topic, &waku).unwrap()).unwrap();
    }
    let whole = encoder.finish().unwrap();
    assert_eq!(read(&whole).len(), 500);
    let mut input = Input::new("cut".to_owned(), Cursor::new(whole[..whole.len() / 2].to_vec())).unwrap();
    let error = loop {
        match input.next_message() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the end of a file that is cut short"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("cut") && error.contains("cut short"), "{error}");
}

#[test]
fn files_are_read_back_plain_and_compressed() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["trace.ndjson", "trace.ndjson.zst"] {
        let path = folder.path().join(name);
        let trace = Trace::generate(1_000, 2);
        write(&trace, &path);
        assert_eq!(Trace::read(&path, usize::MAX, |error| panic!("{error}")).unwrap(), trace);
        let part = Trace::read(&path, 100, |error| panic!("{error}")).unwrap();
        assert_eq!(part.messages, trace.messages[..100]);
    }
}

fn write(trace: &Trace, path: &Path) {
    let mut output = Output::create(path).unwrap();
    for message in &trace.messages {
        let waku = WakuMessage::decode(&*message.body).unwrap();
        output.write(&format_line(&trace.pubsub_topic, &waku).unwrap()).unwrap();
    }
    output.finish().unwrap();
}

proptest! {
    /// Whatever a message holds, its line gives back a message of the same id, and all that the shape can say.
    #[test]
    fn there_and_back(
        payload: Vec<u8>,
        content_topic: String,
        version: Option<u32>,
        timestamp in 1..i64::MAX,
        meta in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..64)),
        proof: Option<Vec<u8>>,
        ephemeral: Option<bool>,
        pubsub_topic: String,
    ) {
        let message = WakuMessage {
            payload: payload.into(),
            content_topic,
            version,
            timestamp: Some(timestamp),
            meta: meta.map(Into::into),
            rate_limit_proof: proof.map(Into::into),
            ephemeral,
        };
        let line = format_line(&pubsub_topic, &message).unwrap();
        prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let read = read(&line).remove(0).unwrap();
        let header = WakuFormat.header(&read.pubsub_topic, &read.body).unwrap();
        prop_assert_eq!(header.id, hearken_waku::message_hash(&pubsub_topic, &message));
        prop_assert_eq!(WakuMessage::decode(&*read.body).unwrap(), message);
    }
}
