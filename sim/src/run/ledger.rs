//! Every message there is, and who lacks it.

use std::{collections::HashMap, time::Duration};

use hearken_tree::Key;

use crate::net::{Nanos, nanos};

/// A message's index.
pub(crate) type MessageId = u32;

/// When virtual time begins: 2026-01-01, in nanoseconds since the Unix epoch.
pub(crate) const EPOCH: u64 = 1_767_225_600_000_000_000;

/// What of a message concerns everyone. Nodes with the same window form a class: they have to hold the same.
#[derive(Default)]
pub(crate) struct Ledger {
    keys: Vec<Key>,
    sizes: Vec<u32>,
    published: Vec<Nanos>,
    index: HashMap<Key, MessageId>,
    /// How many nodes that are up hold it.
    holders: Vec<u32>,
    complete: Vec<bool>,
    classes: Vec<Class>,
    up: u32,
    /// Seconds from publication until everyone held it.
    pub(crate) completeness: Vec<f64>,
    /// Copies that were missing when they left the window.
    pub(crate) expired: u64,
    /// Copies that are missing because nobody who is up has the message.
    pub(crate) unreachable: u64,
}

struct Class {
    window: Duration,
    up: u32,
    holders: Vec<u32>,
    /// Messages before it have left the window.
    oldest: usize,
}

impl Ledger {
    /// The class of nodes with this window.
    pub(crate) fn class(&mut self, window: Duration) -> usize {
        if let Some(class) = self.classes.iter().position(|class| class.window == window) {
            return class;
        }
        let holders = vec![0; self.keys.len()];
        self.classes.push(Class { window, up: 0, holders, oldest: 0 });
        self.classes.len() - 1
    }

    /// A new message that nobody holds yet. Messages come in the order of their timestamps, or nearly.
    pub(crate) fn publish(&mut self, key: Key, size: u32, at: Nanos) -> MessageId {
        let message = MessageId::try_from(self.keys.len()).unwrap_or(MessageId::MAX);
        self.keys.push(key);
        self.sizes.push(size);
        self.published.push(at);
        self.index.insert(key, message);
        self.holders.push(0);
        self.complete.push(false);
        self.classes.iter_mut().for_each(|class| class.holders.push(0));
        message
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn key(&self, message: MessageId) -> Key {
        self.keys[message as usize]
    }

    pub(crate) fn size(&self, message: MessageId) -> u32 {
        self.sizes[message as usize]
    }

    pub(crate) fn published(&self, message: MessageId) -> Nanos {
        self.published[message as usize]
    }

    /// How many nodes that are up hold it.
    pub(crate) fn holders(&self, message: MessageId) -> u32 {
        self.holders[message as usize]
    }

    pub(crate) fn find(&self, key: &Key) -> Option<MessageId> {
        self.index.get(key).copied()
    }

    pub(crate) fn messages(&self) -> impl Iterator<Item = MessageId> + use<> {
        0..MessageId::try_from(self.keys.len()).unwrap_or(MessageId::MAX)
    }

    /// A node that is up holds a message from now on.
    pub(crate) fn held(&mut self, class: usize, message: MessageId, now: Nanos) {
        self.classes[class].holders[message as usize] += 1;
        self.holders[message as usize] += 1;
        self.check(message, now);
    }

    /// A node comes up and holds what `has` says.
    pub(crate) fn comes(&mut self, class: usize, has: impl Fn(MessageId) -> bool) {
        self.up += 1;
        self.classes[class].up += 1;
        self.count(class, has, |holders| *holders += 1);
    }

    /// A node goes down.
    pub(crate) fn goes(&mut self, class: usize, has: impl Fn(MessageId) -> bool, now: Nanos) {
        self.up -= 1;
        self.classes[class].up -= 1;
        self.count(class, has, |holders| *holders -= 1);
        self.messages().for_each(|message| self.check(message, now));
    }

    /// What everyone holds from the beginning tells nothing about completeness.
    pub(crate) fn settle(&mut self) {
        for message in 0..self.holders.len() {
            self.complete[message] = self.holders[message] == self.up;
        }
    }

    fn count(&mut self, class: usize, has: impl Fn(MessageId) -> bool, change: impl Fn(&mut u32)) {
        for message in self.messages().filter(|message| has(*message)) {
            change(&mut self.classes[class].holders[message as usize]);
            change(&mut self.holders[message as usize]);
        }
    }

    fn check(&mut self, message: MessageId, now: Nanos) {
        let at = message as usize;
        if !self.complete[at] && self.holders[at] == self.up && self.up > 0 {
            self.complete[at] = true;
            self.completeness.push(crate::net::seconds(now - self.published[at]));
        }
    }

    /// Copies that nodes which are up lack, of messages published before `horizon` that are in their windows.
    pub(crate) fn missing(&mut self, now: Nanos, settle: Duration) -> u64 {
        let horizon = (now + EPOCH).saturating_sub(nanos(settle));
        let mut missing = 0;
        self.unreachable = 0;
        for class in &mut self.classes {
            let from = horizon.saturating_sub(nanos(class.window));
            while class.oldest < self.keys.len() && self.keys[class.oldest].timestamp() < from {
                self.expired += u64::from(class.up - class.holders[class.oldest]);
                class.oldest += 1;
            }
            for message in class.oldest..self.keys.len() {
                if self.published[message] + EPOCH >= horizon {
                    break;
                }
                let lack = u64::from(class.up - class.holders[message]);
                *(if self.holders[message] == 0 { &mut self.unreachable } else { &mut missing }) += lack;
            }
        }
        missing
    }

    /// The first message that was not published by `at`. What lies in the stores at the beginning was.
    pub(crate) fn published_before(&self, at: Nanos) -> MessageId {
        let before = self.published.partition_point(|published| *published == 0 || *published < at);
        MessageId::try_from(before).unwrap_or(MessageId::MAX)
    }

    /// Messages in the window that some node of the class lacks.
    pub(crate) fn incomplete(&self, class: usize) -> impl Iterator<Item = MessageId> + '_ {
        let class = &self.classes[class];
        self.messages().skip(class.oldest).filter(|message| class.holders[*message as usize] < class.up)
    }
}
