//! The tables inside one write transaction.
use std::ops::Bound;

use bytes::Bytes;
use hearken_tree::{GroupId, Key};
use redb::{CursorError, ReadableTable, Table, WriteTransaction};

use super::{
    error::storage,
    schema::{
        CorruptRow, IDS, MESSAGES, META, MessageRow, REFUSED, Topics, id_key, meta, part, read_reason, refused_key,
        refused_message, write_reason,
    },
};
use crate::{
    AdmitError, RefusalReason,
    ledger::{Tables, Totals},
};

/// The open tables of a write transaction.
pub(super) struct WriteTables<'t> {
    messages: Table<'t, &'static [u8; Key::LEN], &'static [u8]>,
    ids: Table<'t, &'static [u8; 20], u64>,
    refused: Table<'t, &'static [u8; 56], &'static [u8]>,
    topics: &'t Topics,
    /// Rows of `messages` to come, in order: written together where they go into one gap.
    new_messages: Vec<NewMessage>,
    /// Rows of `ids` to come, so that they can be written in order.
    new_ids: Vec<([u8; 20], u64)>,
    /// The gap between stored messages in which the last key that was looked up lies.
    gap: Option<Gap>,
    gaps: u64,
}

/// No message is stored from `start` up to `end`; `None`: up to the end.
struct Gap {
    start: Key,
    end: Option<Key>,
}

struct NewMessage {
    key: Key,
    sequence: u64,
    topic: u16,
    body: Bytes,
    /// Which gap it goes into.
    gap: u64,
}

/// From how many messages on a gap is written through a cursor: it takes a leaf's worth at once, but costs more to place.
const RUN: usize = 4;

impl<'t> WriteTables<'t> {
    pub(super) fn open(txn: &'t WriteTransaction, topics: &'t Topics) -> Result<WriteTables<'t>, redb::Error> {
        Ok(WriteTables {
            messages: txn.open_table(MESSAGES)?,
            ids: txn.open_table(IDS)?,
            refused: txn.open_table(REFUSED)?,
            topics,
            new_messages: Vec::new(),
            new_ids: Vec::new(),
            gap: None,
            gaps: 0,
        })
    }

    /// Writes messages that go into one gap.
    fn insert_run(&mut self, run: &[NewMessage]) -> Result<(), redb::Error> {
        if run.len() < RUN {
            for new in run {
                let length = MessageRow::HEAD + new.body.len();
                let mut row = self.messages.insert_reserve(new.key.as_bytes(), length)?;
                new.row().write(row.as_mut());
            }
            return Ok(());
        }
        let Some(first) = run.first() else { return Ok(()) };
        let mut cursor = self.messages.upper_bound_mut(Bound::Excluded(first.key.as_bytes()))?;
        let mut row = Vec::new();
        for new in run {
            row.resize(MessageRow::HEAD + new.body.len(), 0);
            new.row().write(&mut row);
            cursor.insert_before(new.key.as_bytes(), row.as_slice()).map_err(|error| match error {
                CursorError::Storage(error) => redb::Error::from(error),
                other => redb::Error::Corrupted(format!("the table of messages is not in order: {other}")),
            })?;
        }
        cursor.close()?;
        Ok(())
    }

    fn remove_id(&mut self, key: &Key, sequence: u64) -> Result<(), AdmitError> {
        self.ids.remove(&id_key(part(sequence), &key.id())).map_err(storage)?;
        Ok(())
    }
}

/// Writes the counters.
pub(super) fn write_totals(txn: &WriteTransaction, totals: &Totals) -> Result<(), redb::Error> {
    let mut table = txn.open_table(META)?;
    table.insert(meta::SEQUENCE, totals.sequence)?;
    table.insert(meta::MESSAGES, totals.messages)?;
    table.insert(meta::BYTES, totals.bytes)?;
    table.insert(meta::FLOOR, totals.floor)?;
    Ok(())
}

impl NewMessage {
    fn row(&self) -> MessageRow<'_> {
        MessageRow { sequence: self.sequence, topic: self.topic, body: &self.body }
    }
}

impl Tables for WriteTables<'_> {
    fn holds(&mut self, key: &Key) -> Result<bool, AdmitError> {
        if self.new_messages.last().is_some_and(|last| last.key == *key) {
            return Ok(true);
        }
        if self.gap.as_ref().is_some_and(|gap| gap.start <= *key && gap.end.is_none_or(|end| *key < end)) {
            return Ok(false);
        }
        let next = self.messages.range::<&[u8; Key::LEN]>(key.as_bytes()..).map_err(storage)?.next();
        let next = next.transpose().map_err(storage)?.map(|(next, _)| Key::from_bytes(*next.value()));
        if next == Some(*key) {
            return Ok(true);
        }
        self.gap = Some(Gap { start: *key, end: next });
        self.gaps += 1;
        Ok(false)
    }

    fn put_message(&mut self, key: &Key, sequence: u64, topic: &str, body: &Bytes) -> Result<(), AdmitError> {
        // Only topics of filters are admitted, and those were given numbers on opening.
        let topic = self.topics.number(topic).unwrap_or(u16::MAX);
        let message = NewMessage { key: *key, sequence, topic, body: body.clone(), gap: self.gaps };
        self.new_messages.push(message);
        self.new_ids.push((id_key(part(sequence), &key.id()), key.timestamp()));
        Ok(())
    }

    fn take_message(&mut self, key: &Key) -> Result<Option<(String, Bytes)>, AdmitError> {
        let Some(row) = self.messages.remove(key.as_bytes()).map_err(storage)? else { return Ok(None) };
        let message = MessageRow::read(row.value()).map_err(corrupt)?;
        let topic = self.topics.name(message.topic).map_err(corrupt)?.to_owned();
        let (sequence, body) = (message.sequence, Bytes::copy_from_slice(message.body));
        drop(row);
        self.remove_id(key, sequence)?;
        Ok(Some((topic, body)))
    }

    fn drop_messages(
        &mut self,
        bound: &Key,
        limit: usize,
        dropped: &mut dyn FnMut(Key, usize),
    ) -> Result<(), AdmitError> {
        let mut ids = Vec::new();
        let rows =
            self.messages.extract_from_if::<&[u8; Key::LEN], _>(..bound.as_bytes(), |_, _| true).map_err(storage)?;
        for row in rows.take(limit) {
            let (key, row) = row.map_err(storage)?;
            let (key, row) = (Key::from_bytes(*key.value()), MessageRow::read(row.value()).map_err(corrupt)?);
            ids.push((key, row.sequence));
            dropped(key, row.body.len());
        }
        ids.into_iter().try_for_each(|(key, sequence)| self.remove_id(&key, sequence))
    }

    fn oldest(&mut self, until: &mut dyn FnMut(Key, usize) -> bool) -> Result<(), AdmitError> {
        for row in self.messages.iter().map_err(storage)? {
            let (key, row) = row.map_err(storage)?;
            if until(Key::from_bytes(*key.value()), MessageRow::read(row.value()).map_err(corrupt)?.body.len()) {
                break;
            }
        }
        Ok(())
    }

    fn refusal(&mut self, group: &GroupId, key: &Key) -> Result<Option<RefusalReason>, AdmitError> {
        let row = self.refused.get(&refused_key(group, key)).map_err(storage)?;
        row.map(|row| read_reason(row.value())).transpose().map_err(corrupt)
    }

    fn put_refusal(&mut self, group: &GroupId, key: &Key, reason: &RefusalReason) -> Result<bool, AdmitError> {
        let place = refused_key(group, key);
        if self.refused.get(&place).map_err(storage)?.is_some() {
            return Ok(false);
        }
        self.refused.insert(&place, write_reason(reason).as_slice()).map_err(storage)?;
        Ok(true)
    }

    fn drop_refusals(&mut self, group: &GroupId, bound: &Key, limit: usize) -> Result<Vec<Key>, AdmitError> {
        let (start, end) = (refused_key(group, &Key::MIN), refused_key(group, bound));
        let rows = self.refused.extract_from_if::<&[u8; 56], _>(&start..&end, |_, _| true).map_err(storage)?;
        rows.take(limit).map(|row| Ok(refused_message(row.map_err(storage)?.0.value()))).collect()
    }

    fn finish(mut self) -> Result<(), AdmitError> {
        let new = std::mem::take(&mut self.new_messages);
        new.chunk_by(|a, b| a.gap == b.gap).try_for_each(|run| self.insert_run(run)).map_err(storage)?;
        self.new_ids.sort_unstable();
        for (id, timestamp) in &self.new_ids {
            self.ids.insert(id, timestamp).map_err(storage)?;
        }
        Ok(())
    }
}

fn corrupt(row: CorruptRow) -> AdmitError {
    AdmitError::Storage(Box::new(row))
}
