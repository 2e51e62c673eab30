use std::collections::BTreeSet;

use hearken_tree::GroupId;

/// Which messages belong to a group: those of a pubsub topic and, where content topics are listed, of one of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter {
    /// The pubsub topic.
    pub pubsub_topic: String,
    /// The content topics; empty: all of them.
    pub content_topics: BTreeSet<String>,
}

impl Filter {
    /// The group's name: the first 16 bytes of BLAKE3 over the filter's canonical form, in which every topic is preceded by its
    /// length in bytes (8 bytes, big endian): the pubsub topic, then the content topics in ascending order.
    pub fn group(&self) -> GroupId {
        let mut hasher = blake3::Hasher::new_derive_key("hearken v1 group filter");
        for topic in std::iter::once(&self.pubsub_topic).chain(&self.content_topics) {
            hasher.update(&(topic.len() as u64).to_be_bytes());
            hasher.update(topic.as_bytes());
        }
        let mut id = [0; 16];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        GroupId(id)
    }

    /// Whether messages with these topics belong to the group.
    pub fn admits(&self, pubsub_topic: &str, content_topic: &str) -> bool {
        self.pubsub_topic == pubsub_topic
            && (self.content_topics.is_empty() || self.content_topics.contains(content_topic))
    }
}
