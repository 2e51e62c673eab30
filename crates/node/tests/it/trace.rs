//! Traces that are made up.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use hearken_archive::MessageFormat;
use hearken_node::trace::Trace;
use hearken_waku::WakuFormat;
use sha2::{Digest, Sha256};

#[test]
fn a_seed_always_makes_the_same_trace() {
    let trace = Trace::generate(2_000, 7);
    assert_eq!(trace, Trace::generate(2_000, 7));
    assert_ne!(trace, Trace::generate(2_000, 8));
    // The same on every machine: whoever repeats a run by its seed repeats its messages.
    let mut hasher = Sha256::new();
    trace.messages.iter().for_each(|message| hasher.update(message.key.as_bytes()));
    let digest: String = hasher.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, "00f99e3e9f733a09");
}

#[test]
fn it_looks_like_a_chat() {
    let trace = Trace::generate(20_000, 1);
    assert_eq!(trace.messages.len(), 20_000);
    assert!(trace.messages.is_sorted_by(|a, b| a.key < b.key));
    let mut channels: BTreeMap<String, usize> = BTreeMap::new();
    let mut times = BTreeSet::new();
    for message in &trace.messages {
        let header = WakuFormat.header(&trace.pubsub_topic, &message.body).unwrap();
        assert_eq!(header.key(), message.key);
        assert!(!header.ephemeral);
        *channels.entry(header.content_topic.into_owned()).or_default() += 1;
        times.insert(header.timestamp);
    }
    let largest = channels.values().max().copied().unwrap_or_default();
    assert!((9_000..14_000).contains(&largest), "{channels:?}");
    assert_eq!(channels.len(), 6);
    let shared = trace.messages.len() - times.len();
    assert!((1_000..12_000).contains(&shared), "{shared} messages share their timestamp with an earlier one");
}
