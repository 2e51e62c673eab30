//! What admitting, deleting and retaining do, written once for every backend.
use bytes::Bytes;
use hearken_tree::{GroupId, Key};

use crate::{
    Admission, AdmitError, RefusalReason,
    predicate::{Judged, Predicate},
};

/// The tables of an archive inside one write transaction.
pub(crate) trait Tables {
    /// What was written, as far as the backend has to know.
    type Written;
    /// Which of these messages, given in ascending order, were stored before the transaction.
    fn held(&mut self, keys: &[Key]) -> Result<Vec<bool>, AdmitError>;
    /// Stores a message that is not stored. In ascending order of keys.
    fn put_message(&mut self, key: &Key, sequence: u64, pubsub_topic: &str, body: &Bytes) -> Result<(), AdmitError>;
    /// Removes a message; its pubsub topic and body if it was there.
    fn take_message(&mut self, key: &Key) -> Result<Option<(String, Bytes)>, AdmitError>;
    /// Removes at most `limit` of the oldest messages before `bound`; hands each one's key and size to `dropped`.
    fn drop_messages(
        &mut self,
        bound: &Key,
        limit: usize,
        dropped: &mut dyn FnMut(Key, usize),
    ) -> Result<(), AdmitError>;
    /// The oldest messages in order, until `until` says that there were enough: each one's key and size.
    fn oldest(&mut self, until: &mut dyn FnMut(Key, usize) -> bool) -> Result<(), AdmitError>;
    /// Why the group refused the message, if it did.
    fn refusal(&mut self, group: &GroupId, key: &Key) -> Result<Option<RefusalReason>, AdmitError>;
    /// Remembers a refusal; `false` if there was one already.
    fn put_refusal(&mut self, group: &GroupId, key: &Key, reason: &RefusalReason) -> Result<bool, AdmitError>;
    /// Forgets at most `limit` of the group's oldest refusals before `bound`; their keys.
    fn drop_refusals(&mut self, group: &GroupId, bound: &Key, limit: usize) -> Result<Vec<Key>, AdmitError>;
    /// Writes what was put off.
    fn finish(self) -> Result<Self::Written, AdmitError>;
}

/// The archive's counters; durable together with what they count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// The last admission sequence given.
    pub(crate) sequence: u64,
    /// Messages stored.
    pub(crate) messages: u64,
    /// Bytes of their bodies.
    pub(crate) bytes: u64,
    /// What is older was dropped to stay within the archive's size.
    pub(crate) floor: u64,
    /// Refused keys remembered, by group.
    pub(crate) refused: Vec<u64>,
}

/// What a transaction changes in one group's index, in the order in which it is to be applied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// Keys stored, each once.
    pub(crate) stored: Vec<Key>,
    /// Keys refused, each once.
    pub(crate) refused: Vec<Key>,
    /// Keys deleted: refused as well, and not stored any more.
    pub(crate) deleted: Vec<Key>,
    /// Refused keys that are not remembered any longer.
    pub(crate) forgotten: Vec<Key>,
    /// Everything before this is gone.
    pub(crate) before: Option<Key>,
}

impl Changes {
    /// Whether nothing changes.
    pub(crate) fn is_empty(&self) -> bool {
        self.stored.is_empty() && self.only_stores()
    }

    /// Whether nothing changes but that messages came.
    pub(crate) fn only_stores(&self) -> bool {
        self.refused.is_empty() && self.deleted.is_empty() && self.forgotten.is_empty() && self.before.is_none()
    }
}

/// One write transaction's work: changes the tables and the totals, and collects what the index has to follow.
pub(crate) struct Ledger<'a, T> {
    predicate: &'a Predicate,
    tables: T,
    totals: &'a mut Totals,
    max_refused: u64,
    /// In the predicate's order.
    groups: Vec<Group>,
}

/// A group while a transaction is under way.
struct Group {
    id: GroupId,
    refused: u64,
    changes: Changes,
}

impl<'a, T: Tables> Ledger<'a, T> {
    pub(crate) fn new(predicate: &'a Predicate, tables: T, totals: &'a mut Totals, max_refused: u64) -> Self {
        let refused = totals.refused.iter().copied().chain(std::iter::repeat(0));
        let groups = predicate.filters().iter().zip(refused);
        let groups = groups.map(|((id, _), refused)| Group { id: *id, refused, changes: Changes::default() }).collect();
        Ledger { predicate, tables, totals, max_refused, groups }
    }

    /// Ends the work: the index's changes, by group, and what was written.
    pub(crate) fn finish(self) -> Result<(Vec<Changes>, T::Written), AdmitError> {
        let written = self.tables.finish()?;
        self.totals.refused = self.groups.iter().map(|group| group.refused).collect();
        Ok((self.groups.into_iter().map(|group| group.changes).collect(), written))
    }

    /// Admits messages; what becomes of each is in the order of `batch`.
    pub(crate) fn admit(&mut self, batch: Vec<Result<Judged<'_>, Admission>>) -> Result<Vec<Admission>, AdmitError> {
        // In the order of keys: neighbours in the tables are written together. The sort is a stable one: the first of two equal
        // ones counts, and it makes use of the order that each neighbour's messages come in. The keys lie side by side for it.
        let key = |(at, read): (usize, &Result<Judged<'_>, Admission>)| Some((read.as_ref().ok()?.key, at));
        let mut order: Vec<(Key, usize)> = batch.iter().enumerate().filter_map(key).collect();
        order.sort_by_key(|(key, _)| *key);
        let keys: Vec<Key> = order.iter().map(|(key, _)| *key).collect();
        let held = self.tables.held(&keys)?;
        let (mut admitted, mut last) = (vec![None; batch.len()], None);
        for ((key, at), held) in order.into_iter().zip(held) {
            let (Some(Ok(judged)), Some(place)) = (batch.get(at), admitted.get_mut(at)) else { continue };
            let admission = if held || last == Some(key) { Admission::Held(key) } else { self.admit_one(judged)? };
            if let Admission::Stored(key) = admission {
                last = Some(key);
            }
            *place = Some(admission);
        }
        self.forget_surplus()?;
        let answers = batch.into_iter().zip(admitted);
        Ok(answers.filter_map(|(read, admitted)| read.map_or_else(Some, |_| admitted)).collect())
    }

    /// Admits a message that is not stored.
    fn admit_one(&mut self, judged: &Judged<'_>) -> Result<Admission, AdmitError> {
        let key = judged.key;
        let reason = match self.known_refusal(judged)? {
            Some(reason) => Some(reason),
            None => judged.fault.clone().or_else(|| self.predicate.validate(judged).err()),
        };
        if let Some(reason) = reason {
            if judged.synced() && reason.lasts(&key) {
                self.refuse(judged.pubsub_topic, &judged.header.content_topic, &key, &reason)?;
            }
            return Ok(Admission::Refused(key, reason));
        }
        self.totals.sequence += 1;
        self.totals.messages += 1;
        self.totals.bytes += judged.candidate.body.len() as u64;
        self.tables.put_message(&key, self.totals.sequence, judged.pubsub_topic, &judged.candidate.body)?;
        for place in self.predicate.admitting(judged.pubsub_topic, &judged.header.content_topic) {
            if let Some(group) = self.groups.get_mut(place) {
                group.changes.stored.push(key);
            }
        }
        Ok(Admission::Stored(key))
    }

    /// Why it was refused before by a group it belongs to.
    fn known_refusal(&mut self, judged: &Judged<'_>) -> Result<Option<RefusalReason>, AdmitError> {
        for place in self.predicate.admitting(judged.pubsub_topic, &judged.header.content_topic) {
            if let Some(group) = self.groups.get(place).filter(|group| group.refused > 0)
                && let Some(reason) = self.tables.refusal(&group.id, &judged.key)?
            {
                return Ok(Some(reason));
            }
        }
        Ok(None)
    }

    /// Remembers a key as refused in every group that it belongs to.
    fn refuse(
        &mut self,
        pubsub_topic: &str,
        content_topic: &str,
        key: &Key,
        reason: &RefusalReason,
    ) -> Result<(), AdmitError> {
        for place in self.predicate.admitting(pubsub_topic, content_topic) {
            let Some(group) = self.groups.get_mut(place) else { continue };
            let new = self.tables.put_refusal(&group.id, key, reason)?;
            group.refused += u64::from(new);
            match reason {
                RefusalReason::Deleted => group.changes.deleted.push(*key),
                _ if new => group.changes.refused.push(*key),
                _ => {}
            }
        }
        Ok(())
    }

    /// Forgets the oldest refusals of groups that remember too many.
    fn forget_surplus(&mut self) -> Result<(), AdmitError> {
        for group in &mut self.groups {
            let surplus = group.refused.saturating_sub(self.max_refused);
            if surplus > 0 {
                let surplus = usize::try_from(surplus).unwrap_or(usize::MAX);
                let keys = self.tables.drop_refusals(&group.id, &Key::MAX, surplus)?;
                group.refused = group.refused.saturating_sub(keys.len() as u64);
                group.changes.forgotten.extend(keys);
            }
        }
        Ok(())
    }

    /// Deletes messages and refuses them from now on; returns how many there were.
    pub(crate) fn delete(&mut self, keys: &[Key]) -> Result<u64, AdmitError> {
        let mut deleted = 0;
        for key in keys {
            let Some((pubsub_topic, body)) = self.tables.take_message(key)? else { continue };
            let content_topic = self
                .predicate
                .content_topic(&pubsub_topic, &body)
                .map_err(|source| AdmitError::Unreadable { key: *key, source })?;
            self.uncount(1, body.len() as u64);
            deleted += 1;
            self.refuse(&pubsub_topic, &content_topic, key, &RefusalReason::Deleted)?;
        }
        self.forget_surplus()?;
        Ok(deleted)
    }

    /// Drops at most `limit` of the messages before `bound`, oldest first, and the refusals before the same place. Returns how many
    /// messages there were; fewer than `limit` if that was all.
    pub(crate) fn drop_before(&mut self, bound: &Key, limit: usize) -> Result<u64, AdmitError> {
        let (mut messages, mut bytes, mut last) = (0, 0, None);
        self.tables.drop_messages(bound, limit, &mut |key, size| {
            messages += 1;
            bytes += size as u64;
            last = Some(key);
        })?;
        // All of them are gone only if the limit did not stop it; else only those up to the last one are.
        let bound = match last {
            Some(last) if messages >= limit as u64 => successor(&last),
            _ => *bound,
        };
        self.uncount(messages, bytes);
        for group in &mut self.groups {
            let forgotten = match group.refused {
                0 => 0,
                _ => self.tables.drop_refusals(&group.id, &bound, usize::MAX)?.len() as u64,
            };
            group.refused = group.refused.saturating_sub(forgotten);
            if messages > 0 || forgotten > 0 {
                group.changes.before = Some(bound);
            }
        }
        Ok(messages)
    }

    /// Messages have left. The counters may be wrong in a damaged file: that must not stop it.
    fn uncount(&mut self, messages: u64, bytes: u64) {
        self.totals.messages = self.totals.messages.saturating_sub(messages);
        self.totals.bytes = self.totals.bytes.saturating_sub(bytes);
    }

    /// Raises the floor so far that the messages above it fit into `max_bytes`; the new floor if it had to be raised.
    pub(crate) fn raise_floor(&mut self, max_bytes: u64) -> Result<Option<u64>, AdmitError> {
        let surplus = self.totals.bytes.saturating_sub(max_bytes);
        if surplus == 0 {
            return Ok(None);
        }
        let (mut freed, mut last) = (0, 0);
        self.tables.oldest(&mut |key, size| {
            freed += size as u64;
            last = key.timestamp();
            freed >= surplus
        })?;
        self.totals.floor = last.saturating_add(1);
        Ok(Some(self.totals.floor))
    }
}

/// The first key after `key`.
pub(crate) fn successor(key: &Key) -> Key {
    let mut bytes = *key.as_bytes();
    for byte in bytes.iter_mut().rev() {
        let (next, overflow) = byte.overflowing_add(1);
        *byte = next;
        if !overflow {
            break;
        }
    }
    Key::from_bytes(bytes)
}
