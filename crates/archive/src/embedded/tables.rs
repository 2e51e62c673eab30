//! The tables inside one write transaction.
use bytes::Bytes;
use hearken_tree::{GroupId, Key};
use redb::{ReadableTable, Table, WriteTransaction};

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
    /// Rows of `ids` to come, so that they can be written in order.
    new_ids: Vec<([u8; 20], u64)>,
}

impl<'t> WriteTables<'t> {
    pub(super) fn open(txn: &'t WriteTransaction, topics: &'t Topics) -> Result<WriteTables<'t>, redb::Error> {
        Ok(WriteTables {
            messages: txn.open_table(MESSAGES)?,
            ids: txn.open_table(IDS)?,
            refused: txn.open_table(REFUSED)?,
            topics,
            new_ids: Vec::new(),
        })
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

impl Tables for WriteTables<'_> {
    fn holds(&mut self, key: &Key) -> Result<bool, AdmitError> {
        Ok(self.messages.get(key.as_bytes()).map_err(storage)?.is_some())
    }

    fn put_message(&mut self, key: &Key, sequence: u64, topic: &str, body: &Bytes) -> Result<(), AdmitError> {
        // Only topics of filters are admitted, and those were given numbers on opening.
        let topic = self.topics.number(topic).unwrap_or(u16::MAX);
        let mut row = self.messages.insert_reserve(key.as_bytes(), MessageRow::HEAD + body.len()).map_err(storage)?;
        MessageRow { sequence, topic, body }.write(row.as_mut());
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
