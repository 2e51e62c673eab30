//! The index of content topics: which messages have one, in the order of their keys.
//!
//! It follows the messages late, when [`Archive::retain`](crate::Archive::retain) is called, in transactions of its own: commits know
//! nothing of it. The few messages that it does not follow yet are indexed in memory, by the first query that needs them.
use std::collections::{BTreeMap, BTreeSet};

use hearken_tree::{Key, KeyRange};
use redb::{Range, ReadableTable, WriteTransaction};

use super::{
    Published,
    error::unreadable,
    recent::Place,
    schema::{CONTENT, CONTENT_KEY, MESSAGES, META, content_key, content_message, meta, part, topic_hash},
    version::Version,
};
use crate::{Query, ReadError};

/// How many messages one transaction enters: others wait that long.
pub(super) const AT_ONCE: usize = 16_384;
/// From how many messages on it is worth a transaction, if so many may wait for the other indexes.
const WORTH: usize = 1024;
/// How many messages are indexed in memory at most, some 100 bytes each. Where more are missing, a query looks at all messages.
const IN_MEMORY: u64 = 65_536;

/// A message as it is entered: the hash of its content topic, and its place.
type Entry = (u64, Place);

/// Messages that the index does not follow yet.
#[derive(Default)]
pub(super) struct Fresh {
    /// The index follows up to this sequence: what is here comes after it.
    indexed: u64,
    /// What is here goes up to this sequence.
    read: u64,
    entries: BTreeMap<(u64, Key), u64>,
}

/// What is to be entered next.
pub(super) struct Slice {
    entries: Vec<Entry>,
    /// The last sequence of them.
    last: u64,
}

impl Slice {
    /// The messages after those that the index follows; `None` while there are too few, where `backlog` of them may wait.
    pub(super) fn read(state: &Published, backlog: usize) -> Result<Option<Slice>, redb::Error> {
        if state.stats.sequence.saturating_sub(state.content) < backlog.clamp(1, WORTH) as u64 {
            return Ok(None);
        }
        let (mut entries, mut last) = (Vec::with_capacity(AT_ONCE), state.stats.sequence);
        let mut left = AT_ONCE;
        read_after(&state.version, state.content, |sequence, entry| {
            entries.extend(entry);
            left -= 1;
            if left == 0 {
                last = sequence;
            }
            left > 0
        })?;
        entries.sort_unstable_by_key(|(hash, (key, sequence))| (part(*sequence), *hash, *key));
        Ok(Some(Slice { entries, last }))
    }

    /// Enters them, and lets go of parts of which no message is stored any more; returns up to where the index follows now.
    pub(super) fn write(&self, txn: &WriteTransaction) -> Result<u64, redb::Error> {
        let mut table = txn.open_table(CONTENT)?;
        for (hash, (key, sequence)) in &self.entries {
            table.insert(&content_key(part(*sequence), *hash, key), sequence)?;
        }
        let oldest = txn.open_table(MESSAGES)?.first()?.map_or(self.last, |(sequence, _)| sequence.value());
        let bound = content_key(part(oldest), 0, &Key::MIN);
        table.retain_in::<&[u8; CONTENT_KEY], _>(..&bound, |_, _| false)?;
        txn.open_table(META)?.insert(meta::CONTENT, self.last)?;
        Ok(self.last)
    }
}

/// The places of all messages with some content topics, and of a few that only share the hash of one: in a range, from either end.
pub(super) struct TopicPlaces {
    newest_first: bool,
    sources: Vec<Source>,
    /// The next place of each source that has one.
    ahead: BTreeSet<(Place, usize)>,
}

enum Source {
    /// A topic in a part of the table.
    Entered(Box<Range<'static, &'static [u8; CONTENT_KEY], u64>>),
    /// Those that the table lacks, in the order of their keys.
    Fresh(std::vec::IntoIter<Place>),
}

impl TopicPlaces {
    /// `None` if the index lacks too many messages.
    pub(super) fn new(state: &Published, fresh: &mut Fresh, query: &Query) -> Result<Option<TopicPlaces>, ReadError> {
        if query.content_topics.is_empty() || state.stats.sequence.saturating_sub(state.content) > IN_MEMORY {
            return Ok(None);
        }
        fresh.follow(state).map_err(unreadable)?;
        let hashes: BTreeSet<u64> = query.content_topics.iter().map(|topic| topic_hash(topic)).collect();
        let mut places = TopicPlaces { newest_first: query.newest_first, sources: Vec::new(), ahead: BTreeSet::new() };
        for hash in &hashes {
            places.add(Source::Fresh(fresh.places(*hash, &query.range).into_iter()))?;
        }
        for part in state.version.content_parts().map_err(unreadable)? {
            for hash in &hashes {
                let rows = state.version.content(part, *hash, &query.range).map_err(unreadable)?;
                places.add(Source::Entered(Box::new(rows)))?;
            }
        }
        Ok(Some(places))
    }

    fn add(&mut self, mut source: Source) -> Result<(), ReadError> {
        if let Some(place) = source.next(self.newest_first)? {
            self.ahead.insert((place, self.sources.len()));
            self.sources.push(source);
        }
        Ok(())
    }

    pub(super) fn next(&mut self) -> Result<Option<Place>, ReadError> {
        let next = if self.newest_first { self.ahead.pop_last() } else { self.ahead.pop_first() };
        let Some((place, number)) = next else { return Ok(None) };
        if let Some(source) = self.sources.get_mut(number)
            && let Some(place) = source.next(self.newest_first)?
        {
            self.ahead.insert((place, number));
        }
        Ok(Some(place))
    }
}

impl Source {
    fn next(&mut self, newest_first: bool) -> Result<Option<Place>, ReadError> {
        match self {
            Source::Entered(rows) => {
                let row = if newest_first { rows.next_back() } else { rows.next() };
                let row = row.transpose().map_err(unreadable)?;
                Ok(row.map(|(key, sequence)| (content_message(key.value()), sequence.value())))
            }
            Source::Fresh(places) => Ok(if newest_first { places.next_back() } else { places.next() }),
        }
    }
}

impl Fresh {
    /// Indexes what was stored since, and lets go of what the table has got since. States come in order.
    fn follow(&mut self, state: &Published) -> Result<(), redb::Error> {
        if state.content < self.indexed || state.stats.sequence < self.read {
            // Only a file that was taken back to an earlier state has less.
            *self = Fresh { indexed: state.content, read: state.content, entries: BTreeMap::new() };
        }
        if state.content != self.indexed {
            self.entries.retain(|_, sequence| *sequence > state.content);
            (self.indexed, self.read) = (state.content, self.read.max(state.content));
        }
        let entries = &mut self.entries;
        read_after(&state.version, self.read, |_, entry| {
            entries.extend(entry.map(|(hash, (key, sequence))| ((hash, key), sequence)));
            true
        })?;
        self.read = state.stats.sequence;
        Ok(())
    }

    fn places(&self, hash: u64, range: &KeyRange) -> Vec<Place> {
        let found = self.entries.range((hash, range.start())..(hash, range.end()));
        found.map(|((_, key), sequence)| (*key, *sequence)).collect()
    }
}

/// Hands the messages after `sequence` to `take`, until it has enough; a row that is no message is handed on as none.
fn read_after(
    version: &Version,
    sequence: u64,
    mut take: impl FnMut(u64, Option<Entry>) -> bool,
) -> Result<(), redb::Error> {
    for row in version.rows_from(sequence.saturating_add(1))? {
        let (sequence, row) = row?;
        let sequence = sequence.value();
        let entry = version.read_unkeyed(row.value()).map(|(key, hash)| (hash, (key, sequence)));
        if !take(sequence, entry) {
            break;
        }
    }
    Ok(())
}
