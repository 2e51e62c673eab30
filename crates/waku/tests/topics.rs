//! Names of shards and content topics.
#![allow(clippy::unwrap_used)]

use hearken_waku::{ContentTopic, Shard, TopicError, autoshard};

#[test]
fn shards_are_read_and_written() {
    let shard: Shard = "/waku/2/rs/66/0".parse().unwrap();
    assert_eq!(shard, Shard { cluster: 66, index: 0 });
    assert_eq!(shard.to_string(), "/waku/2/rs/66/0");
    for wrong in ["", "/waku/2/rs/66", "/waku/2/rs/66/0/", "/waku/2/rs/066/0", "/waku/2/rs/+6/0", "/waku/2/rs/65536/0"]
    {
        assert_eq!(wrong.parse::<Shard>(), Err(TopicError::Shard(wrong.to_owned())));
    }
}

#[test]
fn autosharding_vector() {
    let topic: ContentTopic = "/toy-chat/2/huilong/proto".parse().unwrap();
    assert_eq!(autoshard(&topic, 1, 8).unwrap(), Shard { cluster: 1, index: 7 });
    let explicit: ContentTopic = "/0/toy-chat/2/huilong/proto".parse().unwrap();
    assert_eq!(autoshard(&explicit, 1, 8).unwrap(), Shard { cluster: 1, index: 7 });
    let later: ContentTopic = "/1/toy-chat/2/huilong/proto".parse().unwrap();
    assert_eq!(autoshard(&later, 1, 8), Err(TopicError::Generation(1)));
    assert_eq!(autoshard(&topic, 1, 0), Err(TopicError::NoShards));
}

#[test]
fn content_topics_are_read_and_written() {
    for topic in ["/toy-chat/2/huilong/proto", "/0/toy-chat/2/huilong/proto"] {
        assert_eq!(topic.parse::<ContentTopic>().unwrap().to_string(), topic);
    }
    for wrong in ["", "toy-chat/2/huilong/proto", "/toy-chat/2/huilong", "/toy-chat//huilong/proto", "/x/a/2/b/proto"] {
        assert_eq!(wrong.parse::<ContentTopic>(), Err(TopicError::Content(wrong.to_owned())));
    }
}
