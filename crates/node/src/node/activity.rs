//! What happened lately, for those who ask: relayed messages that were not fetched yet, and repairs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hearken::GroupId;
use hearken_scheduler::Admitted;

/// Repairs that are remembered.
const REPAIRS: usize = 100;
/// Live messages that are remembered, and how much of their content topics, which are foreign text.
const SEEN: usize = 20;
const CONTENT_TOPIC: usize = 256;
/// Bytes of relayed messages that wait for somebody to fetch them, over all topics.
const RELAYED_BYTES: usize = 8 << 20;
/// Content topics of which messages may wait.
pub(crate) const CONTENT_TOPICS: usize = 256;

/// What neighbours brought within about a second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// When, in nanoseconds since the Unix epoch.
    pub at: u64,
    /// The group that was repaired.
    pub group: GroupId,
    /// What became of the messages.
    pub admitted: Admitted,
}

/// A message that was relayed, or published here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When, in nanoseconds since the Unix epoch.
    pub at: u64,
    /// Its pubsub topic, which this node relays.
    pub pubsub_topic: String,
    /// The beginning of its content topic.
    pub content_topic: String,
    /// Its size in bytes.
    pub size: usize,
}

/// What happened lately.
#[derive(Debug)]
pub(crate) struct Activity {
    /// Messages of each topic that wait, at most.
    capacity: usize,
    relayed: Mutex<Relayed>,
    repairs: Mutex<VecDeque<Repair>>,
    seen: Mutex<VecDeque<Seen>>,
}

#[derive(Debug, Default)]
struct Relayed {
    /// By pubsub topic.
    topics: BTreeMap<String, VecDeque<Bytes>>,
    /// By content topic, of those that somebody asked to be kept.
    content_topics: BTreeMap<String, VecDeque<Bytes>>,
    bytes: usize,
}

impl Relayed {
    /// Empties a list of messages that wait.
    fn take(bytes: &mut usize, waiting: &mut VecDeque<Bytes>) -> Vec<Bytes> {
        *bytes -= waiting.iter().map(Bytes::len).sum::<usize>();
        waiting.drain(..).collect()
    }
}

impl Activity {
    pub(crate) fn new(capacity: usize, topics: impl IntoIterator<Item = String>) -> Activity {
        let topics = topics.into_iter().map(|topic| (topic, VecDeque::new())).collect();
        Activity {
            capacity,
            relayed: Mutex::new(Relayed { topics, ..Relayed::default() }),
            repairs: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    /// A message was relayed, or published here. Of too many, the oldest are forgotten.
    pub(crate) fn relayed(&self, at: u64, topic: &str, content_topic: &str, body: &Bytes) {
        let beginning = content_topic.chars().take(CONTENT_TOPIC).collect();
        let seen = Seen { at, pubsub_topic: topic.to_owned(), content_topic: beginning, size: body.len() };
        push(&mut lock(&self.seen), SEEN, seen);
        let mut relayed = lock(&self.relayed);
        let Relayed { topics, content_topics, bytes } = &mut *relayed;
        for waiting in topics.get_mut(topic).into_iter().chain(content_topics.get_mut(content_topic)) {
            waiting.push_back(body.clone());
            *bytes += body.len();
            while waiting.len() > self.capacity || (*bytes > RELAYED_BYTES && !waiting.is_empty()) {
                *bytes -= waiting.pop_front().map_or(0, |oldest| oldest.len());
            }
        }
    }

    /// The messages of a pubsub topic since this was last called; `None` if the topic is not relayed here.
    pub(crate) fn fetch(&self, topic: &str) -> Option<Vec<Bytes>> {
        let Relayed { topics, bytes, .. } = &mut *lock(&self.relayed);
        topics.get_mut(topic).map(|waiting| Relayed::take(bytes, waiting))
    }

    /// The messages of a content topic since this was last called; `None` if nobody [asked](Activity::keep) for them.
    pub(crate) fn fetch_content(&self, content_topic: &str) -> Option<Vec<Bytes>> {
        let Relayed { content_topics, bytes, .. } = &mut *lock(&self.relayed);
        content_topics.get_mut(content_topic).map(|waiting| Relayed::take(bytes, waiting))
    }

    /// From now on, messages of these content topics are kept to be fetched; `false`, and none of them, if those are too many.
    pub(crate) fn keep(&self, content_topics: &[String]) -> bool {
        let mut relayed = lock(&self.relayed);
        let known = &mut relayed.content_topics;
        let new: BTreeSet<&String> = content_topics.iter().filter(|topic| !known.contains_key(*topic)).collect();
        let room = known.len() + new.len() <= CONTENT_TOPICS;
        if room {
            known.extend(new.into_iter().map(|topic| (topic.clone(), VecDeque::new())));
        }
        room
    }

    /// Messages of these content topics are not kept any more, and those that wait are forgotten.
    pub(crate) fn forget(&self, content_topics: &[String]) {
        let Relayed { content_topics: known, bytes, .. } = &mut *lock(&self.relayed);
        for topic in content_topics {
            if let Some(mut waiting) = known.remove(topic) {
                Relayed::take(bytes, &mut waiting);
            }
        }
    }

    /// Neighbours brought something.
    pub(crate) fn repaired(&self, repair: Repair) {
        push(&mut lock(&self.repairs), REPAIRS, repair);
    }

    /// The last messages, newest first.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).iter().rev().cloned().collect()
    }

    /// The last repairs, newest first.
    pub(crate) fn repairs(&self) -> Vec<Repair> {
        lock(&self.repairs).iter().rev().cloned().collect()
    }
}

fn push<T>(ring: &mut VecDeque<T>, capacity: usize, newest: T) {
    if ring.len() >= capacity {
        ring.pop_front();
    }
    ring.push_back(newest);
}

/// A poisoned lock means that a thread panicked between two plain assignments: what is there is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn messages_are_fetched_once_and_the_oldest_are_forgotten() {
        let activity = Activity::new(2, ["/a".to_owned()]);
        for body in ["1", "2", "3"] {
            activity.relayed(1, "/a", "/c", &Bytes::from_static(body.as_bytes()));
            activity.relayed(1, "/b", "/c", &Bytes::from_static(body.as_bytes()));
        }
        assert_eq!(activity.fetch("/a").unwrap(), ["2", "3"]);
        assert_eq!(activity.fetch("/a").unwrap(), [""; 0]);
        assert_eq!(activity.fetch("/b"), None);
    }

    #[test]
    fn content_topics_are_kept_for_whom_asks() {
        let activity = Activity::new(2, ["/a".to_owned()]);
        let relay = |body: &'static str| activity.relayed(1, "/a", "/c", &Bytes::from_static(body.as_bytes()));
        relay("1");
        assert_eq!(activity.fetch_content("/c"), None);
        let many: Vec<String> = (0..=CONTENT_TOPICS).map(|n| n.to_string()).collect();
        assert!(!activity.keep(&many));
        let topics = ["/c".to_owned(), "/c".to_owned()];
        assert!(activity.keep(&topics) && activity.keep(&topics));
        for body in ["2", "3", "4"] {
            relay(body);
        }
        assert_eq!(activity.fetch_content("/c").unwrap(), ["3", "4"]);
        assert_eq!(activity.fetch("/a").unwrap(), ["3", "4"], "the pubsub topic has its own");
        relay("5");
        activity.forget(&topics);
        assert_eq!(activity.fetch_content("/c"), None);
        activity.fetch("/a").unwrap();
        assert_eq!(lock(&activity.relayed).bytes, 0);
    }

    #[test]
    fn what_waits_is_bounded_in_bytes() {
        let activity = Activity::new(1000, ["/a".to_owned()]);
        for _ in 0..20 {
            activity.relayed(1, "/a", "/c", &Bytes::from(vec![0; 1 << 20]));
        }
        assert_eq!(activity.fetch("/a").unwrap().len(), RELAYED_BYTES >> 20);
        assert_eq!(lock(&activity.relayed).bytes, 0);
    }
}
