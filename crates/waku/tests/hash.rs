//! The published vectors of Waku's deterministic message hash (14/WAKU2-MESSAGE, "Test vectors").
#![allow(clippy::unwrap_used)]

use hearken_archive::{Header, MessageFormat};
use hearken_waku::{MAX_META, WakuFormat, WakuMessage, message_hash};
use proptest::prelude::*;
use prost::Message;

fn message(payload: &str, meta: Option<&[u8]>) -> WakuMessage {
    WakuMessage {
        payload: hex::decode(payload).unwrap().into(),
        content_topic: "/waku/2/default-content/proto".into(),
        timestamp: Some(0x1757_89bf_a23f_8400),
        meta: meta.map(|meta| meta.to_vec().into()),
        ..WakuMessage::default()
    }
}

const PAYLOAD: &str = "010203045445535405060708";

#[test]
fn published_vectors() {
    let long: Vec<u8> = (0..64).collect();
    let vectors: [(&str, Option<&[u8]>, &str); 4] = [
        ("/waku/2/rs/0/0", None, "cccab07fed94181c83937c8ca8340c9108492b7ede354a6d95421ad34141fd37"),
        ("/waku/2/rs/0/0", Some(b"super-secret"), "b9b4852f9d8c489846e8bfc6c5ca6a1a8d460a40d28832a966e029eb39619199"),
        ("/waku/2/rs/0/0", Some(&long), "653460d04f66c5b11814d235152f4f246e6f03ef80a305a825913636fbafd0ba"),
        ("/waku/2/default-waku/proto", None, "a2554498b31f5bcdfcbf7fa58ad1c2d45f0254f3f8110a85588ec3cf10720fd8"),
    ];
    for (topic, meta, expected) in vectors {
        let message = message(PAYLOAD, meta);
        assert_eq!(message_hash(topic, &message).to_string(), expected);
        let body = message.encode_to_vec();
        let header = WakuFormat.header(topic, &body).unwrap();
        assert_eq!(header.id.to_string(), expected);
        assert_eq!(header.timestamp, 0x1757_89bf_a23f_8400);
        assert_eq!(header.content_topic, "/waku/2/default-content/proto");
        assert!(!header.ephemeral);
    }
}

/// The hash covers fields, not bytes: defaults written out, as JavaScript clients do, and fields of later versions do
/// not change it.
#[test]
fn other_encodings_have_the_same_hash() {
    let message = message(PAYLOAD, None);
    let explicit = WakuMessage {
        version: Some(0),
        meta: Some(Vec::new().into()),
        rate_limit_proof: Some(vec![1, 2, 3].into()),
        ephemeral: Some(false),
        ..message.clone()
    };
    let mut unknown_field = message.encode_to_vec();
    unknown_field.extend_from_slice(&[0xc8, 0x06, 0x01]); // field 105, varint 1
    let topic = "/waku/2/rs/0/0";
    let body = message.encode_to_vec();
    let header = WakuFormat.header(topic, &body).unwrap();
    assert_eq!(WakuFormat.header(topic, &explicit.encode_to_vec()).unwrap(), header);
    assert_eq!(WakuFormat.header(topic, &unknown_field).unwrap(), header);
}

#[test]
fn what_is_no_message_says_why() {
    let valid = message(PAYLOAD, None);
    let cases = [
        (WakuMessage { timestamp: None, ..valid.clone() }, "timestamp"),
        (WakuMessage { timestamp: Some(0), ..valid.clone() }, "timestamp"),
        (WakuMessage { timestamp: Some(-1), ..valid.clone() }, "timestamp"),
        (WakuMessage { meta: Some(vec![0; MAX_META + 1].into()), ..valid.clone() }, "65"),
    ];
    for (message, expected) in cases {
        let error = WakuFormat.header("/waku/2/rs/0/0", &message.encode_to_vec()).unwrap_err();
        assert!(error.reason.contains(expected), "{}", error.reason);
    }
    let whole = valid.encode_to_vec();
    let error = WakuFormat.header("/waku/2/rs/0/0", &whole[..whole.len() - 1]).unwrap_err();
    assert!(error.reason.contains("protobuf"), "{}", error.reason);
}

/// A timestamp is a zigzag varint (`sint64`): read as another integer type it would be doubled.
#[test]
fn timestamp_is_zigzag_encoded() {
    let encoded = WakuMessage { timestamp: Some(1), ..WakuMessage::default() }.encode_to_vec();
    assert_eq!(encoded, [10 << 3, 2]);
}

/// What prost reads of a message, and hashes: the reference for the short way.
fn by_prost(topic: &str, body: &[u8]) -> Result<Header<'static>, String> {
    let message = WakuMessage::decode(body).map_err(|error| error.to_string())?;
    let timestamp = u64::try_from(message.timestamp.unwrap_or_default()).ok().filter(|timestamp| *timestamp > 0);
    let meta = message.meta.as_ref().map_or(0, |meta| meta.len());
    let timestamp = timestamp.filter(|_| meta <= MAX_META).ok_or("timestamp or meta")?;
    Ok(Header {
        id: message_hash(topic, &message),
        timestamp,
        content_topic: message.content_topic.into(),
        ephemeral: message.ephemeral.unwrap_or_default(),
    })
}

/// A piece of a message: a field of it, whole or spoiled, or something else.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..80);
    let message = (bytes(), ".{0,20}", any::<Option<u32>>(), any::<Option<i64>>(), prop::option::of(bytes()));
    let rest = (prop::option::of(bytes()), any::<Option<bool>>());
    let whole = (message, rest).prop_map(|((payload, content_topic, version, timestamp, meta), (proof, ephemeral))| {
        let timestamp = timestamp.map(|timestamp| timestamp.saturating_abs());
        let (meta, rate_limit_proof) = (meta.map(Into::into), proof.map(Into::into));
        let payload = payload.into();
        WakuMessage { payload, content_topic, version, timestamp, meta, rate_limit_proof, ephemeral }.encode_to_vec()
    });
    let field = (prop::sample::select(vec![1u8, 2, 3, 10, 11, 15]), 0u8..8, bytes())
        .prop_map(|(field, wire_type, value)| [vec![field << 3 | wire_type], value].concat());
    prop_oneof![8 => whole, 2 => field, 1 => bytes()]
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes: Vec<u8>) {
        if let Ok(header) = WakuFormat.header("/waku/2/rs/0/0", &bytes) {
            prop_assert!(header.timestamp > 0);
        }
    }

    /// However odd the encoding: repeated fields, unknown ones, spoiled ones.
    #[test]
    fn a_message_is_what_prost_reads(pieces in prop::collection::vec(piece(), 1..4), cut in prop::option::of(0usize..40)) {
        let mut body = pieces.concat();
        body.truncate(body.len().saturating_sub(cut.unwrap_or_default()));
        let (found, expected) = (WakuFormat.header("/waku/2/rs/0/0", &body), by_prost("/waku/2/rs/0/0", &body));
        match expected {
            Ok(expected) => prop_assert_eq!(found.unwrap(), expected),
            Err(_) => prop_assert!(found.is_err()),
        }
    }
}
