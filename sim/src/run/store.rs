//! What nodes hold. Nodes that hold the same share one tree, so that ten thousand equal nodes take the memory of one.

use std::collections::HashMap;

use hearken_scheduler::View;
use hearken_tree::{Key, PageError, Tree};

use super::ledger::{Ledger, MessageId};

/// Sets remembered by their sum before the oldest are forgotten.
const REMEMBERED: usize = 4_096;

/// A set of indices.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    pub(crate) fn contains(&self, index: u32) -> bool {
        self.0.get(index as usize / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// True if it was there.
    pub(crate) fn remove(&mut self, index: u32) -> bool {
        let there = self.contains(index);
        if let Some(word) = self.0.get_mut(index as usize / 64) {
            *word &= !(1 << (index % 64));
        }
        there
    }

    /// True if it was not there.
    pub(crate) fn insert(&mut self, index: u32) -> bool {
        let word = index as usize / 64;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] >> (index % 64) & 1 == 0;
        self.0[word] |= 1 << (index % 64);
        new
    }
}

/// A tree, and what tells it from others: the XOR of its keys' ids. (Nobody grinds ids here.)
#[derive(Clone, Default)]
pub(crate) struct Set {
    tree: Tree,
    sum: u128,
}

fn summand(key: &Key) -> u128 {
    let id = key.id().0;
    let mut half = [0; 16];
    half.copy_from_slice(&id[..16]);
    u128::from_le_bytes(half)
}

/// Trees by what they hold.
#[derive(Default)]
pub(crate) struct Sets {
    young: HashMap<u128, Tree>,
    old: HashMap<u128, Tree>,
}

impl Sets {
    /// The set of these keys, sorted and distinct.
    pub(crate) fn build(&mut self, keys: &[Key]) -> Set {
        let sum = keys.iter().fold(0, |sum, key| sum ^ summand(key));
        let build = || Tree::from_sorted(keys.iter().copied()).unwrap_or_default();
        Set { tree: self.share(sum, || Ok(build())).unwrap_or_default(), sum }
    }

    /// `set` with these keys, none of which it holds.
    pub(crate) fn add(&mut self, set: &mut Set, keys: &[Key]) -> Result<(), PageError> {
        let sum = keys.iter().fold(set.sum, |sum, key| sum ^ summand(key));
        let tree = set.tree.clone();
        set.tree = self.share(sum, move || {
            let mut tree = tree;
            tree.insert_all(keys.iter().copied())?;
            Ok(tree)
        })?;
        set.sum = sum;
        Ok(())
    }

    /// `set` without these keys, as far as it holds them.
    fn remove(&mut self, set: &mut Set, keys: &[Key]) -> Result<(), PageError> {
        let (mut tree, mut sum) = (set.tree.clone(), set.sum);
        for key in keys {
            if tree.remove(key)? {
                sum ^= summand(key);
            }
        }
        set.tree = self.share(sum, move || Ok(tree))?;
        set.sum = sum;
        Ok(())
    }

    /// `set` without what is older than `bound`.
    pub(crate) fn drop_before(&mut self, set: &mut Set, bound: &Key) -> Result<(), PageError> {
        let snapshot = set.tree.snapshot();
        if snapshot.rank(bound)? == 0 {
            return Ok(());
        }
        let old = hearken_tree::KeyRange::new(Key::MIN, *bound).unwrap_or(hearken_tree::KeyRange::ALL);
        let mut sum = set.sum;
        for key in snapshot.keys(&old) {
            sum ^= summand(&key?);
        }
        let tree = set.tree.clone();
        set.tree = self.share(sum, move || {
            let mut tree = tree;
            tree.drop_before(bound)?;
            Ok(tree)
        })?;
        set.sum = sum;
        Ok(())
    }

    fn share(&mut self, sum: u128, make: impl FnOnce() -> Result<Tree, PageError>) -> Result<Tree, PageError> {
        if let Some(tree) = self.young.get(&sum) {
            return Ok(tree.clone());
        }
        let tree = match self.old.get(&sum) {
            Some(tree) => tree.clone(),
            None => make()?,
        };
        if self.young.len() >= REMEMBERED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(sum, tree.clone());
        Ok(tree)
    }
}

/// One node's archive: which messages, and its index.
#[derive(Clone, Default)]
pub(crate) struct Store {
    has: Bits,
    kept: Set,
    /// What is kept or refused, once anything was refused.
    held: Option<Set>,
    /// Stored since the index was last looked at.
    pending: Vec<MessageId>,
    refused: Vec<MessageId>,
    trimmed: u64,
}

impl Store {
    /// A store that holds these messages, of which `set` is the index.
    pub(crate) fn with(messages: impl IntoIterator<Item = MessageId>, set: Set) -> Store {
        let mut store = Store { kept: set, ..Store::default() };
        messages.into_iter().for_each(|message| {
            store.has.insert(message);
        });
        store
    }

    /// What it holds or refused.
    pub(crate) fn holds(&self) -> &Bits {
        &self.has
    }

    /// Whether it holds, or refused, a message.
    pub(crate) fn has(&self, message: MessageId) -> bool {
        self.has.contains(message)
    }

    /// Stores a message; false if it was there.
    pub(crate) fn insert(&mut self, message: MessageId) -> bool {
        let new = self.has.insert(message);
        if new {
            self.pending.push(message);
        }
        new
    }

    /// Refuses a message; false if it was known.
    pub(crate) fn refuse(&mut self, message: MessageId) -> bool {
        let new = self.has.insert(message);
        if new {
            self.refused.push(message);
        }
        new
    }

    /// Messages that came but were not durable yet are gone with the power.
    pub(crate) fn lose(&mut self, messages: &[MessageId], ledger: &Ledger, sets: &mut Sets) -> Result<(), PageError> {
        let lost: Vec<Key> = messages.iter().filter(|id| self.has.remove(**id)).map(|id| ledger.key(*id)).collect();
        self.pending.retain(|message| !messages.contains(message));
        self.refused.retain(|message| !messages.contains(message));
        sets.remove(&mut self.kept, &lost)?;
        if let Some(held) = &mut self.held {
            sets.remove(held, &lost)?;
        }
        Ok(())
    }

    /// The index as it stands. Drops what is older than `retained` (nanoseconds since the Unix epoch), at most each minute.
    pub(crate) fn view(&mut self, ledger: &Ledger, sets: &mut Sets, retained: u64) -> Result<View, PageError> {
        if !self.pending.is_empty() {
            let keys = keys(ledger, &mut self.pending);
            sets.add(&mut self.kept, &keys)?;
            if let Some(held) = &mut self.held {
                sets.add(held, &keys)?;
            }
        }
        if !self.refused.is_empty() {
            let keys = keys(ledger, &mut self.refused);
            sets.add(self.held.get_or_insert_with(|| self.kept.clone()), &keys)?;
        }
        if retained > self.trimmed.saturating_add(60_000_000_000) {
            self.trimmed = retained;
            let bound = Key::at(retained);
            sets.drop_before(&mut self.kept, &bound)?;
            if let Some(held) = &mut self.held {
                sets.drop_before(held, &bound)?;
            }
        }
        let kept = self.kept.tree.snapshot();
        let held = self.held.as_ref().map_or_else(|| kept.clone(), |held| held.tree.snapshot());
        Ok(View { kept, held })
    }
}

fn keys(ledger: &Ledger, messages: &mut Vec<MessageId>) -> Vec<Key> {
    let mut keys: Vec<Key> = messages.drain(..).map(|message| ledger.key(message)).collect();
    keys.sort_unstable();
    keys
}
