//! Checking an archive against itself, and repairing it.
use hearken_tree::{Key, KeyRange, Snapshot, Tree};
use redb::{ReadableTable, ReadableTableMetadata};

use super::{
    Embedded, Writer,
    error::{located, storage},
    index, open,
    recent::Place,
    schema::{
        CONTENT, GROUPS, IDS, KEYS, MESSAGES, META, REFUSED, content_key, id_key, meta, part, refused_key,
        refused_message, topic_hash,
    },
    store::{Store, catch},
    tables::write_totals,
    version::Context,
};
use crate::{AdmitError, Filter, View};

/// What [`Embedded::check`] found, and repaired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Messages stored.
    pub messages: u64,
    /// Stored messages that are not what was stored: removed, so that a neighbour delivers them again.
    pub damaged: Vec<Key>,
    /// The same, of which not even the key is known: how many.
    pub unreadable: u64,
    /// Messages that could not be found by their keys: entered again.
    pub lost_keys: u64,
    /// Messages that could not be found by their ids: entered again. Checked by the deep check only.
    pub lost_ids: u64,
    /// Messages that could not be found by their content topics: that index is made anew. Checked by the deep check only.
    pub lost_topics: u64,
    /// Whether the counts of messages and bytes were wrong: set right.
    pub wrong_counts: bool,
    /// By group.
    pub groups: Vec<GroupReport>,
}

/// What [`Embedded::check`] found in the index of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupReport {
    /// The group.
    pub filter: Filter,
    /// Keys in the index of what is kept.
    pub kept: u64,
    /// Keys stored, or refused, that the index lacked.
    pub missing: u64,
    /// Keys in the index that are neither stored nor refused.
    pub surplus: u64,
    /// Pages that were damaged and rebuilt alone.
    pub rebuilt_pages: u64,
    /// What could not be read, or does not agree, otherwise: the index was filled anew.
    pub faults: Vec<String>,
}

impl CheckReport {
    /// Whether nothing was amiss.
    pub fn is_sound(&self) -> bool {
        let sound = |group: &GroupReport| group.is_sound() && group.rebuilt_pages == 0;
        let found = self.damaged.is_empty() && self.unreadable == 0 && self.lost_keys == 0;
        found && self.lost_ids == 0 && self.lost_topics == 0 && !self.wrong_counts && self.groups.iter().all(sound)
    }
}

impl GroupReport {
    /// Whether the index need not be filled anew.
    fn is_sound(&self) -> bool {
        self.missing == 0 && self.surplus == 0 && self.faults.is_empty()
    }
}

/// What the messages say that the rest has to be.
#[derive(Default)]
struct Truth {
    damaged: Vec<Place>,
    /// Sequences of rows that are no messages, and at which no key points.
    unreadable: Vec<u64>,
    lost_keys: Vec<Place>,
    lost_ids: Vec<Place>,
    lost_topics: u64,
    messages: u64,
    bytes: u64,
    /// By group, in order.
    keys: Vec<Vec<Key>>,
}

impl Embedded {
    /// Compares the index of every group with the stored messages, key by key, and repairs what is wrong. `deep`: recomputes every
    /// digest, every message's id and the table of ids as well. Writers wait meanwhile; takes 50 bytes of memory a message.
    pub fn check(&self, deep: bool) -> Result<CheckReport, AdmitError> {
        self.check_locked(&mut self.writer(), deep)
    }

    pub(super) fn check_locked(&self, writer: &mut Writer, deep: bool) -> Result<CheckReport, AdmitError> {
        let checked = catch(|| self.check_and_repair(writer, deep))
            .unwrap_or_else(|found| Err(storage(redb::Error::Corrupted(found))));
        checked.map_err(|error| {
            // Halfway through a repair, perhaps. If this fails too, the next one to write tries again.
            let _ = self.recover(writer);
            located(error, self.store.path())
        })
    }

    fn check_and_repair(&self, writer: &mut Writer, deep: bool) -> Result<CheckReport, AdmitError> {
        match self.write_backlog(&mut writer.state) {
            Err(AdmitError::Index(_)) => self.reload_written(writer)?,
            written => written?,
        }
        let truth = Truth::read(&self.store, &self.context, deep)?;
        // Read anew from the file: what is in memory may be sound where the file is not.
        let (stored, trees) = open::load(&self.store, &self.context, self.cache_size, self.at_once)?;
        let counts = (stored.totals.messages, stored.totals.bytes);
        let mut report = CheckReport {
            messages: truth.messages,
            damaged: truth.damaged.iter().map(|(key, _)| *key).collect(),
            unreadable: truth.unreadable.len() as u64,
            lost_keys: truth.lost_keys.len() as u64,
            lost_ids: truth.lost_ids.len() as u64,
            lost_topics: truth.lost_topics,
            wrong_counts: truth.damaged.is_empty()
                && truth.unreadable.is_empty()
                && counts != (truth.messages, truth.bytes),
            groups: Vec::new(),
        };
        let filters = self.context.predicate.filters().iter();
        for (((group, filter), index), keys) in filters.zip(&trees).zip(&truth.keys) {
            let refused = refused_keys(&self.store, group).map_err(storage)?;
            let mut found = GroupReport::compare(filter, &index.view(), keys, &refused, deep);
            if stored.totals.refused.get(report.groups.len()) != Some(&(refused.len() as u64)) {
                found.faults.push("the count of refused keys was wrong".to_owned());
            }
            found.rebuilt_pages = self.context.healed_in(group);
            report.groups.push(found);
        }
        let unsound = report.groups.iter().enumerate().filter(|(_, group)| !group.is_sound());
        let places: Vec<usize> = unsound.map(|(place, _)| place).collect();
        if !report.is_sound() {
            self.repair(writer, &truth, &places)?;
        }
        Ok(report)
    }

    /// Repairs what was found, in transactions that leave a sound archive, or one that is filled on opening, at any instant.
    fn repair(&self, writer: &mut Writer, truth: &Truth, places: &[usize]) -> Result<(), AdmitError> {
        let mut totals = writer.state.totals.clone();
        (totals.messages, totals.bytes) = (truth.messages, truth.bytes);
        let txn = self.store.write().map_err(storage)?;
        index::write_healed(&txn, &writer.state.version, &self.context.take_healed())?;
        truth.write(&txn).map_err(storage)?;
        write_totals(&txn, &totals).map_err(storage)?;
        for place in places {
            let Some((group, _)) = self.context.predicate.filters().get(*place) else { continue };
            index::clear(&txn, group).map_err(storage)?;
            txn.open_table(GROUPS).map_err(storage)?.remove(&group.0).map_err(storage)?;
        }
        txn.commit().map_err(storage)?;
        self.reload(writer)
    }
}

impl GroupReport {
    fn compare(filter: &Filter, view: &View, kept: &[Key], refused: &[Key], deep: bool) -> GroupReport {
        let mut report = GroupReport {
            filter: filter.clone(),
            kept: view.kept.len(),
            missing: 0,
            surplus: 0,
            rebuilt_pages: 0,
            faults: Vec::new(),
        };
        report.compare_one("kept", &view.kept, kept, deep);
        let mut held = [kept, refused].concat();
        held.sort_unstable();
        held.dedup();
        report.compare_one("held", &view.held, &held, deep);
        report
    }

    /// Compares an index with what it should hold.
    fn compare_one(&mut self, name: &str, snapshot: &Snapshot, keys: &[Key], deep: bool) {
        let mut expected = keys.iter().copied().peekable();
        for key in snapshot.keys(&KeyRange::ALL) {
            let key = match key {
                Ok(key) => key,
                Err(error) => return self.faults.push(format!("{name}: {error}")),
            };
            while expected.next_if(|next| *next < key).is_some() {
                self.missing += 1;
            }
            if expected.next_if_eq(&key).is_none() {
                self.surplus += 1;
            }
        }
        self.missing += expected.count() as u64;
        if !deep {
            return;
        }
        let root = Tree::from_sorted(keys.iter().copied()).map(|tree| tree.snapshot().root());
        match (root, snapshot.root()) {
            (Ok(Ok(fresh)), Ok(stored)) if fresh == stored => {}
            (Ok(Ok(fresh)), Ok(stored)) => {
                self.faults
                    .push(format!("{name}: its digest was {}, that of its keys is {}", stored.digest, fresh.digest));
            }
            (_, Err(error)) | (Ok(Err(error)), _) => self.faults.push(format!("{name}: {error}")),
            (Err(error), _) => self.faults.push(format!("{name}: {error}")),
        }
    }
}

impl Truth {
    fn read(store: &Store, context: &Context, deep: bool) -> Result<Truth, AdmitError> {
        let txn = store.read().map_err(storage)?;
        let (messages, ids) = (txn.open_table(MESSAGES).map_err(storage)?, txn.open_table(IDS).map_err(storage)?);
        let topics = txn.open_table(CONTENT).map_err(storage)?;
        let meta = txn.open_table(META).map_err(storage)?;
        let followed = meta.get(meta::CONTENT).map_err(storage)?.map_or(0, |sequence| sequence.value());
        let mut truth = Truth { keys: vec![Vec::new(); context.predicate.filters().len()], ..Truth::default() };
        let mut sequences = Vec::new();
        for row in txn.open_table(KEYS).map_err(storage)?.iter().map_err(storage)? {
            let (key, sequence) = row.map_err(storage)?;
            let place = (Key::from_bytes(*key.value()), sequence.value());
            sequences.push(place.1);
            let row = messages.get(place.1).map_err(storage)?;
            let Some(topic) = row.and_then(|row| truth.take(context, &place, row.value())) else {
                truth.damaged.push(place);
                continue;
            };
            if deep {
                let found = topics.get(&content_key(part(place.1), topic, &place.0)).map_err(storage)?;
                if place.1 <= followed && found.is_none_or(|sequence| sequence.value() != place.1) {
                    truth.lost_topics += 1;
                }
                let found = ids.get(&id_key(part(place.1), &place.0.id())).map_err(storage)?;
                if found.is_none_or(|timestamp| timestamp.value() != place.0.timestamp()) {
                    truth.lost_ids.push(place);
                }
            }
        }
        if messages.len().map_err(storage)? != sequences.len() as u64 {
            sequences.sort_unstable();
            truth.find_lost(context, &messages, &sequences).map_err(storage)?;
        }
        Ok(truth)
    }

    /// Counts the message in a row, if it is the one with that key; returns the hash of its content topic.
    fn take(&mut self, context: &Context, (key, _): &Place, row: &[u8]) -> Option<u64> {
        let (row, topic, content_topic) = context.read_row(key, row)?;
        self.messages += 1;
        self.bytes += row.body.len() as u64;
        for place in context.predicate.admitting(topic, &content_topic) {
            if let Some(keys) = self.keys.get_mut(place) {
                keys.push(*key);
            }
        }
        Some(topic_hash(&content_topic))
    }

    /// Looks for messages at which no key points: `sequences` are those at which one does.
    fn find_lost(
        &mut self,
        context: &Context,
        messages: &impl ReadableTable<u64, &'static [u8]>,
        sequences: &[u64],
    ) -> Result<(), redb::Error> {
        for row in messages.iter()? {
            let (sequence, row) = row?;
            let sequence = sequence.value();
            if sequences.binary_search(&sequence).is_ok() {
                continue;
            }
            match context.read_unkeyed(row.value()).map(|(key, ..)| (key, sequence)) {
                Some(place) if self.take(context, &place, row.value()).is_some() => self.lost_keys.push(place),
                _ => self.unreadable.push(sequence),
            }
        }
        self.keys.iter_mut().for_each(|keys| keys.sort_unstable());
        Ok(())
    }

    /// Takes out what is damaged and enters what is lost.
    fn write(&self, txn: &redb::WriteTransaction) -> Result<(), redb::Error> {
        let (mut messages, mut keys, mut ids) =
            (txn.open_table(MESSAGES)?, txn.open_table(KEYS)?, txn.open_table(IDS)?);
        for (key, sequence) in &self.damaged {
            keys.remove(key.as_bytes())?;
            messages.remove(sequence)?;
            ids.remove(&id_key(part(*sequence), &key.id()))?;
        }
        for sequence in &self.unreadable {
            messages.remove(sequence)?;
        }
        for (key, sequence) in &self.lost_keys {
            keys.insert(key.as_bytes(), sequence)?;
        }
        for (key, sequence) in self.lost_ids.iter().chain(&self.lost_keys) {
            ids.insert(&id_key(part(*sequence), &key.id()), key.timestamp())?;
        }
        if self.lost_topics > 0 {
            // It follows again from its beginning.
            txn.delete_table(CONTENT)?;
            txn.open_table(CONTENT)?;
            txn.open_table(META)?.insert(meta::CONTENT, 0)?;
        }
        Ok(())
    }
}

fn refused_keys(store: &Store, group: &hearken_tree::GroupId) -> Result<Vec<Key>, redb::Error> {
    let (start, end) = (refused_key(group, &Key::MIN), refused_key(group, &Key::MAX));
    let table = store.read()?.open_table(REFUSED)?;
    let rows = table.range::<&[u8; 56]>(&start..=&end)?;
    rows.map(|row| Ok(refused_message(row?.0.value()))).collect()
}
