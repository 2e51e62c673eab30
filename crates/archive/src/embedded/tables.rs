//! The tables inside one write transaction.
use std::ops::Bound;

use bytes::Bytes;
use hearken_tree::{GroupId, Key, KeyRange};
use redb::{CursorError, ReadableTable, Table, WriteTransaction};

use super::{
    error::storage,
    recent::Place,
    rows::Entered,
    schema::{
        CorruptRow, IDS, KEYS, MESSAGES, META, MessageRow, REFUSED, id_key, meta, part, read_reason, refused_key,
        refused_message, write_reason,
    },
    state::State,
};
use crate::{
    AdmitError, RefusalReason,
    ledger::{Tables, Totals},
};

/// The open tables of a write transaction. What it deletes or drops, or looks for the oldest of, must be entered before.
pub(super) struct WriteTables<'t> {
    messages: Table<'t, u64, &'static [u8]>,
    refused: Table<'t, &'static [u8; 56], &'static [u8]>,
    places: Places<'t>,
    /// As of the last commit.
    before: &'t State,
    /// Rows that are to be appended.
    new: NewRows,
    /// What was stored, whether appended by now or not.
    stored: Stored,
}

/// Rows of new messages, side by side.
#[derive(Default)]
struct NewRows {
    bytes: Vec<u8>,
    /// The sequence of each, and where it ends.
    ends: Vec<(u64, usize)>,
}

/// Where messages are found: the tables of keys and ids.
struct Places<'t> {
    keys: Table<'t, &'static [u8; Key::LEN], u64>,
    ids: Table<'t, &'static [u8; 20], u64>,
}

/// What a transaction stored, and is to be entered or remembered.
#[derive(Default)]
pub(super) struct Stored {
    /// In the order of keys.
    pub(super) places: Vec<Place>,
    /// Bytes of their bodies.
    pub(super) bytes: u64,
}

/// How many rows are inserted in the same way.
const BLOCK: usize = 1_024;
/// How many of them are looked at to choose it.
const SAMPLE: usize = 64;
/// Among how many rows each a few are not worth filling leaves anew.
const AMONG: usize = 16;
/// Bytes of new rows that are appended at once, about: few enough to stay in a processor's cache.
const ROWS: usize = 128 << 10;
/// Bytes of a page of the database.
const PAGE: usize = 4_096;

impl<'t> WriteTables<'t> {
    /// `before`: what was committed last.
    pub(super) fn open(txn: &'t WriteTransaction, before: &'t State) -> Result<WriteTables<'t>, redb::Error> {
        Ok(WriteTables {
            messages: txn.open_table(MESSAGES)?,
            refused: txn.open_table(REFUSED)?,
            places: Places::open(txn)?,
            before,
            new: NewRows::default(),
            stored: Stored::default(),
        })
    }

    /// Appends the rows that wait for it.
    fn append(&mut self) -> Result<(), redb::Error> {
        let mut cursor = self.messages.upper_bound_mut(Bound::<u64>::Unbounded)?;
        let mut start = 0;
        for (sequence, end) in self.new.ends.drain(..) {
            cursor.insert_before(sequence, &self.new.bytes[start..end]).map_err(unordered)?;
            start = end;
        }
        cursor.close()?;
        self.new.bytes.clear();
        Ok(())
    }
}

impl<'t> Places<'t> {
    fn open(txn: &'t WriteTransaction) -> Result<Places<'t>, redb::Error> {
        Ok(Places { keys: txn.open_table(KEYS)?, ids: txn.open_table(IDS)? })
    }

    fn remove_id(&mut self, key: &Key, sequence: u64) -> Result<(), redb::Error> {
        self.ids.remove(&id_key(part(sequence), &key.id()))?;
        Ok(())
    }
}

/// Enters the ids of places. They go into the newest parts of the table alone.
pub(super) fn enter_ids(txn: &WriteTransaction, places: &[Place]) -> Result<(), redb::Error> {
    let id = |(key, sequence): &Place| (id_key(part(*sequence), &key.id()), key.timestamp());
    let mut ids: Vec<_> = places.iter().map(id).collect();
    ids.sort_unstable();
    let mut table = txn.open_table(IDS)?;
    ids.chunks(BLOCK).try_for_each(|ids| insert_sorted(&mut table, ids).map(drop))
}

/// Enters the keys of the first of these places, which are in order, until that has changed about `room` bytes of pages; how many.
pub(super) fn enter_keys(txn: &WriteTransaction, places: &[Place], room: usize) -> Result<usize, redb::Error> {
    let mut table = txn.open_table(KEYS)?;
    let (mut entered, mut changed) = (0, 0);
    // Each may change a page.
    for some in places.chunks((room / PAGE).clamp(1, BLOCK)) {
        let keys: Vec<_> = some.iter().map(|(key, sequence)| (*key.as_bytes(), *sequence)).collect();
        changed += insert_sorted(&mut table, &keys)?;
        entered += some.len();
        if changed >= room {
            break;
        }
    }
    Ok(entered)
}

/// Inserts rows, which are in order; about how many bytes of pages that changes. Rows that are there change nothing.
///
/// Where they lie among few others, leaves are filled anew with both; where each falls into another leaf, that is not worth it.
fn insert_sorted<const N: usize>(
    table: &mut Table<'_, &'static [u8; N], u64>,
    rows: &[([u8; N], u64)],
) -> Result<usize, redb::Error> {
    if is_dense(table, rows)? {
        return merge_sorted(table, rows);
    }
    for (key, value) in rows {
        table.insert(key, value)?;
    }
    Ok(rows.len() * PAGE)
}

/// Whether there are few rows between the first ones of `rows`.
fn is_dense<const N: usize>(
    table: &Table<'_, &'static [u8; N], u64>,
    rows: &[([u8; N], u64)],
) -> Result<bool, redb::Error> {
    let sample = rows.get(..SAMPLE).unwrap_or(rows);
    let ([(first, _), ..], [.., (last, _)]) = (sample, sample) else { return Ok(false) };
    let few = sample.len() * AMONG;
    Ok(table.range::<&[u8; N]>(first..=last)?.take(few).count() < few)
}

/// Takes out the rows between the first and the last of `rows`, and inserts all of them as one run.
fn merge_sorted<const N: usize>(
    table: &mut Table<'_, &'static [u8; N], u64>,
    rows: &[([u8; N], u64)],
) -> Result<usize, redb::Error> {
    let ([(first, _), ..], [.., (last, _)]) = (rows, rows) else { return Ok(0) };
    let mut all = rows.to_vec();
    for row in table.extract_from_if::<&[u8; N], _>(first..=last, |_, _| true)? {
        let (key, value) = row?;
        all.push((*key.value(), value.value()));
    }
    // Two runs in order: this one merges them.
    all.sort();
    all.dedup_by_key(|(key, _)| *key);
    let mut cursor = table.upper_bound_mut(Bound::Excluded(first))?;
    for (key, value) in &all {
        cursor.insert_before(key, value).map_err(unordered)?;
    }
    cursor.close()?;
    Ok(all.len() * size_of::<([u8; N], u64)>())
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
    type Written = Stored;

    fn held(&mut self, keys: &[Key]) -> Result<Vec<bool>, AdmitError> {
        let mut entered = Entered::new(self.before.version.clone(), &KeyRange::ALL).map_err(storage)?;
        let mut held = self.before.recent.contain(keys);
        for (key, held) in keys.iter().zip(&mut held).filter(|(_, held)| !**held) {
            *held = entered.sequence(key).map_err(storage)?.is_some();
        }
        Ok(held)
    }

    fn put_message(&mut self, key: &Key, sequence: u64, topic: &str, body: &Bytes) -> Result<(), AdmitError> {
        // Only topics of filters are admitted, and those were given numbers on opening.
        let topic = self.before.context.topics.number(topic).unwrap_or(u16::MAX);
        let start = self.new.bytes.len();
        let end = start + MessageRow::HEAD + body.len();
        self.new.bytes.resize(end, 0);
        MessageRow::new(topic, &key.id(), body).write(&mut self.new.bytes[start..]);
        self.new.ends.push((sequence, end));
        self.stored.places.push((*key, sequence));
        self.stored.bytes += body.len() as u64;
        if end < ROWS { Ok(()) } else { self.append().map_err(storage) }
    }

    fn take_message(&mut self, key: &Key) -> Result<Option<(String, Bytes)>, AdmitError> {
        let sequence = self.places.keys.remove(key.as_bytes()).map_err(storage)?.map(|sequence| sequence.value());
        let Some(sequence) = sequence else { return Ok(None) };
        self.places.remove_id(key, sequence).map_err(storage)?;
        let row = self.messages.remove(sequence).map_err(storage)?;
        let row = row.ok_or_else(|| storage(redb::Error::Corrupted(format!("the message {key:?} is gone"))))?;
        let message = MessageRow::read(row.value()).map_err(corrupt)?;
        let topic = self.before.context.topics.name(message.topic).map_err(corrupt)?.to_string();
        Ok(Some((topic, Bytes::copy_from_slice(message.body))))
    }

    fn drop_messages(
        &mut self,
        bound: &Key,
        limit: usize,
        dropped: &mut dyn FnMut(Key, usize),
    ) -> Result<(), AdmitError> {
        let first = self.places.keys.first().map_err(storage)?.map(|(key, _)| Key::from_bytes(*key.value()));
        if first.is_none_or(|first| first >= *bound) {
            return Ok(());
        }
        let mut places: Vec<Place> = Vec::new();
        let rows =
            self.places.keys.extract_from_if::<&[u8; Key::LEN], _>(..bound.as_bytes(), |_, _| true).map_err(storage)?;
        for row in rows.take(limit) {
            let (key, sequence) = row.map_err(storage)?;
            places.push((Key::from_bytes(*key.value()), sequence.value()));
        }
        for (key, sequence) in places {
            self.places.remove_id(&key, sequence).map_err(storage)?;
            let row = self.messages.remove(sequence).map_err(storage)?;
            dropped(key, row.map_or(0, |row| row.value().len().saturating_sub(MessageRow::HEAD)));
        }
        Ok(())
    }

    fn oldest(&mut self, until: &mut dyn FnMut(Key, usize) -> bool) -> Result<(), AdmitError> {
        for row in self.places.keys.iter().map_err(storage)? {
            let (key, sequence) = row.map_err(storage)?;
            let row = self.messages.get(sequence.value()).map_err(storage)?;
            let size = row.map_or(0, |row| row.value().len().saturating_sub(MessageRow::HEAD));
            if until(Key::from_bytes(*key.value()), size) {
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

    fn finish(mut self) -> Result<Stored, AdmitError> {
        if !self.new.ends.is_empty() {
            self.append().map_err(storage)?;
        }
        Ok(self.stored)
    }
}

fn corrupt(row: CorruptRow) -> AdmitError {
    AdmitError::Storage(Box::new(row))
}

fn unordered(error: CursorError) -> redb::Error {
    match error {
        CursorError::Storage(error) => redb::Error::from(error),
        other => redb::Error::Corrupted(format!("a table is not in order: {other}")),
    }
}
