use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use hearken_tree::{GroupId, Id, Key, KeyRange};

use crate::{
    Admission, AdmitError, Archive, ArchiveOptions, Candidate, Filter, PageLimit, Query, QueryPage, ReadError,
    RefusalReason, StoredMessage, View,
    index::GroupIndex,
    ledger::{Ledger, Tables, Totals},
    predicate::Predicate,
    query::{Filling, Looked},
};

/// An archive in memory: for tests and the simulator. Behaves as the embedded one, but for being gone with the process.
pub struct Memory {
    predicate: Predicate,
    max_bytes: Option<u64>,
    max_refused: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    maps: Maps,
    totals: Totals,
    indexes: Vec<GroupIndex>,
}

#[derive(Default)]
struct Maps {
    messages: BTreeMap<Key, Row>,
    ids: BTreeMap<Id, u64>,
    refused: BTreeMap<(GroupId, Key), RefusalReason>,
    /// Each pubsub topic once.
    topics: BTreeSet<Arc<str>>,
}

struct Row {
    sequence: u64,
    pubsub_topic: Arc<str>,
    body: Bytes,
}

impl Memory {
    /// An empty archive.
    pub fn new(options: ArchiveOptions) -> Memory {
        let ArchiveOptions { filters, format, validator, limits, max_bytes, max_refused } = options;
        let predicate = Predicate::new(format, validator, limits, filters);
        let indexes = vec![GroupIndex::default(); predicate.filters().len()];
        let state = Mutex::new(State { indexes, ..State::default() });
        Memory { predicate, max_bytes, max_refused, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one transaction: the tables, then the index.
    fn write<R>(
        &self,
        work: impl FnOnce(&mut Ledger<'_, &mut Maps>) -> Result<R, AdmitError>,
    ) -> Result<R, AdmitError> {
        let mut state = self.state();
        let State { maps, totals, indexes } = &mut *state;
        let mut ledger = Ledger::new(&self.predicate, maps, totals, self.max_refused);
        let result = work(&mut ledger)?;
        let (changes, ()) = ledger.finish()?;
        for ((index, changes), refused) in indexes.iter_mut().zip(&changes).zip(&totals.refused) {
            index.apply(changes, *refused)?;
        }
        Ok(result)
    }
}

impl Archive for Memory {
    fn groups(&self) -> Vec<Filter> {
        self.predicate.filters().iter().map(|(_, filter)| filter.clone()).collect()
    }

    fn admit(&self, batch: &[Candidate], now: u64) -> Result<Vec<Admission>, AdmitError> {
        let floor = self.state().totals.floor;
        let batch = batch
            .iter()
            .map(|candidate| self.predicate.read(candidate, now, floor))
            .collect::<Result<Vec<_>, _>>()
            .map_err(AdmitError::UnknownGroup)?;
        self.write(|ledger| ledger.admit(batch))
    }

    fn view(&self, group: &GroupId) -> Result<View, ReadError> {
        let place = self.predicate.place(group).ok_or(ReadError::UnknownGroup(*group))?;
        self.state().indexes.get(place).map(GroupIndex::view).ok_or(ReadError::UnknownGroup(*group))
    }

    fn get(&self, keys: &[Key]) -> Result<Vec<Option<StoredMessage>>, ReadError> {
        let state = self.state();
        Ok(keys.iter().map(|key| state.maps.messages.get(key).map(|row| row.message(key))).collect())
    }

    fn find(&self, id: &Id) -> Result<Option<Key>, ReadError> {
        Ok(self.state().maps.ids.get(id).map(|timestamp| Key::new(*timestamp, *id)))
    }

    fn scan(&self, group: &GroupId, range: &KeyRange, limit: PageLimit) -> Result<Vec<StoredMessage>, ReadError> {
        let view = self.view(group)?;
        let state = self.state();
        let mut page = crate::archive::Page::new(limit);
        for key in view.kept.keys(range) {
            let key = key?;
            let Some(row) = state.maps.messages.get(&key) else { continue };
            if !page.push(row.body.len(), || Ok::<_, ReadError>(row.message(&key)))? {
                break;
            }
        }
        Ok(page.messages)
    }

    fn query(&self, query: &Query) -> Result<QueryPage, ReadError> {
        let state = self.state();
        let range = state.maps.messages.range(query.range.start()..query.range.end());
        let rows: &mut dyn Iterator<Item = _> =
            if query.newest_first { &mut range.rev() } else { &mut range.into_iter() };
        let mut filling = Filling::new(query);
        for (key, row) in rows {
            if !filling.look(key, &LookedRow { key, row, predicate: &self.predicate })? {
                break;
            }
        }
        Ok(filling.finish())
    }

    fn delete(&self, keys: &[Key]) -> Result<u64, AdmitError> {
        self.write(|ledger| ledger.delete(keys))
    }

    fn retain(&self, now: u64) -> Result<u64, AdmitError> {
        let aged = self.predicate.kept_from(now);
        let dropped = self.write(|ledger| ledger.drop_before(&Key::at(aged), usize::MAX))?;
        let surplus = self.write(|ledger| {
            let floor = self.max_bytes.map_or(Ok(None), |max_bytes| ledger.raise_floor(max_bytes))?;
            floor.map_or(Ok(0), |floor| ledger.drop_before(&Key::at(floor), usize::MAX))
        })?;
        Ok(dropped + surplus)
    }

    fn kept_from(&self, now: u64) -> u64 {
        self.predicate.kept_from(now).max(self.state().totals.floor)
    }
}

/// A row, as a query looks at it.
struct LookedRow<'a> {
    key: &'a Key,
    row: &'a Row,
    predicate: &'a Predicate,
}

impl Looked<ReadError> for LookedRow<'_> {
    fn pubsub_topic(&self) -> Result<&str, ReadError> {
        Ok(&self.row.pubsub_topic)
    }

    fn content_topic(&self) -> Result<Cow<'_, str>, ReadError> {
        // What was admitted can be read.
        Ok(self.predicate.content_topic(&self.row.pubsub_topic, &self.row.body).unwrap_or_default())
    }

    fn size(&self) -> usize {
        self.row.body.len()
    }

    fn message(&self) -> Result<StoredMessage, ReadError> {
        Ok(self.row.message(self.key))
    }
}

impl Row {
    fn message(&self, key: &Key) -> StoredMessage {
        StoredMessage {
            key: *key,
            sequence: self.sequence,
            pubsub_topic: self.pubsub_topic.clone(),
            body: self.body.clone(),
        }
    }
}

impl Tables for &mut Maps {
    type Written = ();

    fn held(&mut self, keys: &[Key]) -> Result<Vec<bool>, AdmitError> {
        Ok(keys.iter().map(|key| self.messages.contains_key(key)).collect())
    }

    fn put_message(&mut self, key: &Key, sequence: u64, topic: &str, body: &Bytes) -> Result<(), AdmitError> {
        let pubsub_topic = self.topics.get(topic).cloned().unwrap_or_else(|| Arc::from(topic));
        self.topics.insert(pubsub_topic.clone());
        // A copy of its own: what it came in may be much larger.
        let body = Bytes::copy_from_slice(body);
        self.messages.insert(*key, Row { sequence, pubsub_topic, body });
        self.ids.insert(key.id(), key.timestamp());
        Ok(())
    }

    fn take_message(&mut self, key: &Key) -> Result<Option<(String, Bytes)>, AdmitError> {
        self.ids.remove(&key.id());
        Ok(self.messages.remove(key).map(|row| (row.pubsub_topic.to_string(), row.body)))
    }

    fn drop_messages(
        &mut self,
        bound: &Key,
        limit: usize,
        dropped: &mut dyn FnMut(Key, usize),
    ) -> Result<(), AdmitError> {
        let mut left = limit;
        while let Some(first) = self.messages.first_entry().filter(|first| left > 0 && first.key() < bound) {
            let (key, row) = first.remove_entry();
            self.ids.remove(&key.id());
            dropped(key, row.body.len());
            left -= 1;
        }
        Ok(())
    }

    fn oldest(&mut self, until: &mut dyn FnMut(Key, usize) -> bool) -> Result<(), AdmitError> {
        // `any` stops where it is told to.
        self.messages.iter().any(|(key, row)| until(*key, row.body.len()));
        Ok(())
    }

    fn refusal(&mut self, group: &GroupId, key: &Key) -> Result<Option<RefusalReason>, AdmitError> {
        Ok(self.refused.get(&(*group, *key)).cloned())
    }

    fn put_refusal(&mut self, group: &GroupId, key: &Key, reason: &RefusalReason) -> Result<bool, AdmitError> {
        let entry = self.refused.entry((*group, *key));
        let new = matches!(entry, std::collections::btree_map::Entry::Vacant(_));
        entry.or_insert_with(|| reason.clone());
        Ok(new)
    }

    fn drop_refusals(&mut self, group: &GroupId, bound: &Key, limit: usize) -> Result<Vec<Key>, AdmitError> {
        let range = (*group, Key::MIN)..(*group, *bound);
        let keys: Vec<Key> = self.refused.range(range).take(limit).map(|((_, key), _)| *key).collect();
        for key in &keys {
            self.refused.remove(&(*group, *key));
        }
        Ok(keys)
    }

    fn finish(self) -> Result<(), AdmitError> {
        Ok(())
    }
}
