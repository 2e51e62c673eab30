use hearken_archive::{Archive, Filter, MessageFormat, PageLimit, ReadError};
use hearken_tree::{Fingerprint, Key, KeyRange};
use hearken_waku::WakuFormat;

use crate::export::after;

/// How much is read at a time.
const PAGE: PageLimit = PageLimit { messages: 4_096, bytes: 8 << 20 };

/// How a node's archive compares with what was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// What its index says.
    pub(super) root: Fingerprint,
    /// Messages in the archive.
    pub(super) count: u64,
    /// Messages that it should have.
    pub(super) missing: u64,
    /// Messages that nobody sent.
    pub(super) extra: u64,
    /// Messages whose bytes do not have the id under which they are stored.
    pub(super) damaged: u64,
}

impl Verdict {
    /// The archive holds exactly what was sent, and its index says so.
    pub(super) fn is_exact(&self) -> bool {
        self.missing == 0 && self.extra == 0 && self.damaged == 0 && self.root.count == self.count
    }
}

/// Reads the whole archive and compares it with the keys of all messages sent, in order.
pub(super) fn verify(archive: &dyn Archive, pubsub_topic: &str, expected: &[Key]) -> Result<Verdict, ReadError> {
    let group = Filter { pubsub_topic: pubsub_topic.to_owned(), content_topics: Default::default() }.group();
    let root = archive.view(&group)?.kept.root()?;
    let mut verdict = Verdict { root, count: 0, missing: 0, extra: 0, damaged: 0 };
    let mut expected = expected.iter().peekable();
    let mut from = Key::MIN;
    while let Ok(range) = KeyRange::new(from, Key::MAX) {
        let page = archive.scan(&group, &range, PAGE)?;
        let Some(last) = page.last() else { break };
        from = after(&last.key);
        for message in &page {
            while expected.next_if(|key| **key < message.key).is_some() {
                verdict.missing += 1;
            }
            let wanted = expected.next_if(|key| **key == message.key).is_some();
            let header = WakuFormat.header(&message.pubsub_topic, &message.body);
            let intact =
                *message.pubsub_topic == *pubsub_topic && header.is_ok_and(|header| header.key() == message.key);
            verdict.count += 1;
            verdict.extra += u64::from(!wanted);
            verdict.damaged += u64::from(!intact);
        }
    }
    verdict.missing += expected.count() as u64;
    Ok(verdict)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use hearken_archive::{ArchiveOptions, Candidate, Memory, Origin};

    use super::*;
    use crate::trace::Trace;

    #[test]
    fn every_difference_is_counted() {
        let trace = Trace::generate(500, 1);
        let filter = Filter { pubsub_topic: trace.pubsub_topic.clone(), content_topics: Default::default() };
        let archive = Memory::new(ArchiveOptions::new(vec![filter], Arc::new(WakuFormat)));
        let candidates: Vec<Candidate> = trace.messages[10..]
            .iter()
            .map(|message| Candidate { body: message.body.clone(), origin: Origin::Topic(trace.pubsub_topic.clone()) })
            .collect();
        archive.admit(&candidates, trace.bounds().1).unwrap();
        let keys: Vec<Key> = trace.messages.iter().map(|message| message.key).collect();

        let exact = verify(&archive, &trace.pubsub_topic, &keys[10..]).unwrap();
        assert!(exact.is_exact());
        assert_eq!(exact.count, 490);
        let lacking = verify(&archive, &trace.pubsub_topic, &keys).unwrap();
        assert!(!lacking.is_exact());
        assert_eq!((lacking.missing, lacking.extra), (10, 0));
        let other = verify(&archive, &trace.pubsub_topic, &keys[..100]).unwrap();
        assert_eq!((other.missing, other.extra, other.damaged), (10, 400, 0));
    }
}
