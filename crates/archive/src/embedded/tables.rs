//! The tables inside one write transaction.
use bytes::Bytes;
use hearken_tree::{GroupId, Key};
use redb::{ReadableTable, Table, WriteTransaction};

use super::{
    error::storage,
    schema::{
        GROUPS, IDS, MESSAGES, META, MessageRow, REFUSED, meta, read_reason, refused_key, refused_message, write_reason,
    },
};
use crate::{
    AdmitError, RefusalReason,
    ledger::{Tables, Totals},
    predicate::Predicate,
};

/// The open tables of a write transaction.
pub(super) struct WriteTables<'t> {
    messages: Table<'t, &'static [u8; Key::LEN], &'static [u8]>,
    ids: Table<'t, &'static [u8; 32], u64>,
    refused: Table<'t, &'static [u8; 56], &'static [u8]>,
}

impl<'t> WriteTables<'t> {
    pub(super) fn open(txn: &'t WriteTransaction) -> Result<WriteTables<'t>, redb::Error> {
        Ok(WriteTables {
            messages: txn.open_table(MESSAGES)?,
            ids: txn.open_table(IDS)?,
            refused: txn.open_table(REFUSED)?,
        })
    }
}

/// Writes the counters.
pub(super) fn write_totals(txn: &WriteTransaction, predicate: &Predicate, totals: &Totals) -> Result<(), redb::Error> {
    let mut table = txn.open_table(META)?;
    table.insert(meta::SEQUENCE, totals.sequence)?;
    table.insert(meta::MESSAGES, totals.messages)?;
    table.insert(meta::BYTES, totals.bytes)?;
    table.insert(meta::FLOOR, totals.floor)?;
    let mut groups = txn.open_table(GROUPS)?;
    for ((group, _), refused) in predicate.filters().iter().zip(&totals.refused) {
        groups.insert(&group.0, (totals.sequence, *refused))?;
    }
    Ok(())
}

impl Tables for WriteTables<'_> {
    fn holds(&mut self, key: &Key) -> Result<bool, AdmitError> {
        Ok(self.messages.get(key.as_bytes()).map_err(storage)?.is_some())
    }

    fn put_message(&mut self, key: &Key, sequence: u64, topic: &str, body: &Bytes) -> Result<(), AdmitError> {
        let length = MessageRow::len(topic, body);
        let mut row = self.messages.insert_reserve(key.as_bytes(), length).map_err(storage)?;
        MessageRow::write(row.as_mut(), sequence, topic, body);
        drop(row);
        self.ids.insert(&key.id().0, key.timestamp()).map_err(storage)?;
        Ok(())
    }

    fn take_message(&mut self, key: &Key) -> Result<Option<(String, Bytes)>, AdmitError> {
        let Some(row) = self.messages.remove(key.as_bytes()).map_err(storage)? else { return Ok(None) };
        self.ids.remove(&key.id().0).map_err(storage)?;
        let row = MessageRow::read(row.value()).map_err(|corrupt| AdmitError::Storage(Box::new(corrupt)))?;
        Ok(Some((row.pubsub_topic.to_owned(), Bytes::copy_from_slice(row.body))))
    }

    fn drop_messages(
        &mut self,
        bound: &Key,
        limit: usize,
        dropped: &mut dyn FnMut(Key, usize),
    ) -> Result<(), AdmitError> {
        let rows =
            self.messages.extract_from_if::<&[u8; Key::LEN], _>(..bound.as_bytes(), |_, _| true).map_err(storage)?;
        for row in rows.take(limit) {
            let (key, row) = row.map_err(storage)?;
            let key = Key::from_bytes(*key.value());
            self.ids.remove(&key.id().0).map_err(storage)?;
            dropped(key, body_size(row.value())?);
        }
        Ok(())
    }

    fn oldest(&mut self, until: &mut dyn FnMut(Key, usize) -> bool) -> Result<(), AdmitError> {
        for row in self.messages.iter().map_err(storage)? {
            let (key, row) = row.map_err(storage)?;
            if until(Key::from_bytes(*key.value()), body_size(row.value())?) {
                break;
            }
        }
        Ok(())
    }

    fn refusal(&mut self, group: &GroupId, key: &Key) -> Result<Option<RefusalReason>, AdmitError> {
        let row = self.refused.get(&refused_key(group, key)).map_err(storage)?;
        row.map(|row| read_reason(row.value())).transpose().map_err(|corrupt| AdmitError::Storage(Box::new(corrupt)))
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
}

fn body_size(row: &[u8]) -> Result<usize, AdmitError> {
    Ok(MessageRow::read(row).map_err(|corrupt| AdmitError::Storage(Box::new(corrupt)))?.body.len())
}
