//! What nodes tell each other of their cluster and shards.

use hearken_waku::metadata::Metadata;
use prost::Message;

#[test]
fn the_cluster_and_its_shards_are_told() {
    let metadata =
        Metadata::of(["/my/topic", "/waku/2/rs/66/3", "/waku/2/rs/66/0", "/waku/2/rs/1/5", "/waku/2/rs/66/3"]);
    assert_eq!(metadata, Metadata { cluster_id: Some(66), shards: vec![0, 3] });
    assert_eq!(Metadata::of(["/my/topic"]), Metadata::default());
}

#[test]
fn only_another_cluster_is_foreign() {
    let of = |cluster_id| Metadata { cluster_id, shards: vec![1] };
    assert!(of(Some(66)).foreign(&of(Some(1))));
    assert!(!of(Some(66)).foreign(&of(Some(66))));
    assert!(!of(Some(66)).foreign(&of(None)) && !of(None).foreign(&of(Some(1))));
}

/// Some encode the shards packed, as protobuf's third version does, others one by one, and JavaScript clients read only that.
#[test]
fn both_encodings_of_shards_are_read_and_the_one_that_all_read_is_written() {
    let expected = Metadata { cluster_id: Some(66), shards: vec![0, 1] };
    let one_by_one = [0x08, 66, 0x10, 0, 0x10, 1];
    for bytes in [&[0x08, 66, 0x12, 2, 0, 1][..], &one_by_one] {
        assert_eq!(Metadata::decode(bytes), Ok(expected.clone()));
    }
    assert_eq!(expected.encode_to_vec(), one_by_one);
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let _ = Metadata::decode(bytes.as_slice());
    }
}
