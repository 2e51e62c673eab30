//! What an archive is to do, as plainly as possible; and random work for both.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use hearken_archive::{
    Admission, Archive, ArchiveOptions, Candidate, Filter, MessageFormat, Origin, PageLimit, Query, RefusalReason,
    Validator,
};
use hearken_tree::{GroupId, Key, KeyRange, Tree};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{NOW, NoBad, SECOND, TOPIC, TestFormat, body, filter, options};

/// A second pubsub topic.
pub const OTHER: &str = "/waku/2/rs/0/1";
/// How old messages get.
pub const MAX_AGE: u64 = 1000;
/// How many refused keys a group remembers.
pub const MAX_REFUSED: usize = 12;

/// Groups that overlap.
pub fn filters() -> Vec<Filter> {
    let other = Filter { pubsub_topic: OTHER.to_owned(), content_topics: BTreeSet::new() };
    vec![filter(&[]), filter(&["a"]), filter(&["b", "c"]), other]
}

/// Options under which the model holds.
pub fn model_options(filters: Vec<Filter>) -> ArchiveOptions {
    let mut options = options(filters);
    options.limits.max_age = Some(Duration::from_secs(MAX_AGE));
    options.limits.max_size = 300;
    options.max_refused = MAX_REFUSED as u64;
    options
}

/// Something that is done to an archive.
#[derive(Clone, Debug)]
pub enum Op {
    Admit(Vec<Candidate>, u64),
    Delete(Vec<Key>),
    Retain(u64),
}

impl Op {
    /// Without what is delivered for groups that are not kept.
    pub fn within(self, filters: &[Filter]) -> Op {
        let kept = |candidate: &Candidate| match &candidate.origin {
            Origin::Synced { group, .. } => filters.iter().any(|filter| filter.group() == *group),
            Origin::Topic(_) => true,
        };
        match self {
            Op::Admit(batch, now) => Op::Admit(batch.into_iter().filter(kept).collect(), now),
            other => other,
        }
    }
}

/// Some of the groups, at least one: without any, nothing is ever written.
pub fn some_filters(rng: &mut ChaCha8Rng) -> Vec<Filter> {
    let sure = rng.random_range(0..4);
    filters().into_iter().enumerate().filter(|(n, _)| *n == sure || rng.random_bool(0.8)).map(|(_, f)| f).collect()
}

/// The `n`th thing done in the run of `seed`.
pub fn op(seed: u64, n: u64) -> Op {
    let mut rng = ChaCha8Rng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n);
    let now = NOW + n * 10 * SECOND;
    match rng.random_range(0..10) {
        0 if n > 0 => {
            // Some of what came lately, whether it is still there or not.
            let keys = match op(seed, n - 1 - rng.random_range(0..n.min(5))) {
                Op::Admit(batch, _) => batch.iter().take(3).map(|candidate| parse(candidate).0).collect(),
                _ => Vec::new(),
            };
            Op::Delete(keys)
        }
        1 => Op::Retain(now),
        _ => {
            let most = if rng.random_bool(0.1) { 300 } else { 40 };
            let size = rng.random_range(0..most);
            Op::Admit((0..size).map(|_| candidate(&mut rng, now)).collect(), now)
        }
    }
}

/// A message of any kind.
fn candidate(rng: &mut ChaCha8Rng, now: u64) -> Candidate {
    let age = match rng.random_range(0..20) {
        0 => rng.random_range(0..2 * MAX_AGE) * SECOND,
        1..5 => rng.random_range(0..MAX_AGE) * SECOND,
        _ => rng.random_range(0..60) * SECOND,
    };
    let content_topic = ["a", "b", "c", "d"][rng.random_range(0..4)];
    let size = if rng.random_bool(0.02) { 300 } else { rng.random_range(0..60) };
    let mut payload = vec![0; size];
    rng.fill(payload.as_mut_slice());
    if rng.random_bool(0.1) {
        payload.splice(.., *b"bad");
        payload.extend_from_slice(&rng.next_u32().to_be_bytes());
    }
    let body = body(now + 5 * SECOND - age, content_topic, &payload);
    let origin = match rng.random_range(0..8) {
        0 => Origin::Topic(OTHER.to_owned()),
        1..4 => Origin::Topic(TOPIC.to_owned()),
        _ => Origin::Synced {
            group: filters()[rng.random_range(0..4)].group(),
            asked: Arc::new([KeyRange::between(0, now)]),
        },
    };
    Candidate { body, origin }
}

/// A candidate's key, pubsub topic and content topic.
fn parse(candidate: &Candidate) -> (Key, String, String) {
    let topic = match &candidate.origin {
        Origin::Topic(topic) => topic.clone(),
        Origin::Synced { group, .. } => {
            filters().into_iter().find(|filter| filter.group() == *group).unwrap().pubsub_topic
        }
    };
    let header = TestFormat.header(&topic, &candidate.body).unwrap();
    (header.key(), topic, header.content_topic.into_owned())
}

/// What an archive holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub filters: Vec<Filter>,
    /// Pubsub topic, content topic, body.
    pub messages: BTreeMap<Key, (String, String, Bytes)>,
    pub refused: BTreeMap<GroupId, BTreeMap<Key, RefusalReason>>,
}

impl Model {
    pub fn new(filters: Vec<Filter>) -> Model {
        Model { filters, ..Model::default() }
    }

    /// Opens it with other groups.
    pub fn reopen(&mut self, filters: Vec<Filter>) {
        self.refused.retain(|group, _| filters.iter().any(|filter| filter.group() == *group));
        self.filters = filters;
    }

    /// Does it; what became of the messages of [`Op::Admit`].
    pub fn apply(&mut self, op: &Op) -> Vec<Admission> {
        match op {
            Op::Admit(batch, now) => {
                // Equal ones in a batch: the first counts. So the order of judging is the order of the batch within a key.
                let answers = batch.iter().map(|candidate| self.admit(candidate, *now)).collect();
                self.forget();
                answers
            }
            Op::Delete(keys) => {
                for key in keys {
                    if let Some((topic, content_topic, _)) = self.messages.remove(key) {
                        self.refuse(&topic, &content_topic, *key, &RefusalReason::Deleted);
                    }
                }
                self.forget();
                Vec::new()
            }
            Op::Retain(now) => {
                let bound = Key::at(now - MAX_AGE * SECOND);
                self.messages.retain(|key, _| *key >= bound);
                self.refused.values_mut().for_each(|refused| refused.retain(|key, _| *key >= bound));
                Vec::new()
            }
        }
    }

    fn groups(&self, topic: &str, content_topic: &str) -> Vec<GroupId> {
        self.filters.iter().filter(|filter| filter.admits(topic, content_topic)).map(Filter::group).collect()
    }

    fn admit(&mut self, candidate: &Candidate, now: u64) -> Admission {
        let (key, topic, content_topic) = parse(candidate);
        let groups = self.groups(&topic, &content_topic);
        if let Origin::Synced { group, asked } = &candidate.origin
            && (!groups.contains(group) || !asked.iter().any(|range| range.contains(&key)))
        {
            return Admission::Unasked(key);
        }
        if self.messages.contains_key(&key) {
            return Admission::Held(key);
        }
        let known = groups.iter().find_map(|group| self.refused.get(group)?.get(&key).cloned());
        let size = candidate.body.len();
        let reason = if known.is_some() {
            known
        } else if size > 300 {
            Some(RefusalReason::TooLarge { size, limit: 300 })
        } else if key.timestamp() > now + 20 * SECOND {
            Some(RefusalReason::BadTimestamp)
        } else if key.timestamp() < now - MAX_AGE * SECOND {
            Some(RefusalReason::TooOld)
        } else if groups.is_empty() {
            Some(RefusalReason::NoGroup)
        } else {
            let header = TestFormat.header(&topic, &candidate.body).unwrap();
            NoBad.validate(&topic, &header, &candidate.body).err().map(RefusalReason::Invalid)
        };
        let Some(reason) = reason else {
            self.messages.insert(key, (topic, content_topic, candidate.body.clone()));
            return Admission::Stored(key);
        };
        let lasts = !matches!(reason, RefusalReason::BadTimestamp | RefusalReason::TooOld | RefusalReason::NoGroup);
        if lasts && matches!(candidate.origin, Origin::Synced { .. }) {
            self.refuse(&topic, &content_topic, key, &reason);
        }
        Admission::Refused(key, reason)
    }

    fn refuse(&mut self, topic: &str, content_topic: &str, key: Key, reason: &RefusalReason) {
        for group in self.groups(topic, content_topic) {
            self.refused.entry(group).or_default().entry(key).or_insert_with(|| reason.clone());
        }
    }

    fn forget(&mut self) {
        for refused in self.refused.values_mut() {
            while refused.len() > MAX_REFUSED {
                refused.pop_first();
            }
        }
    }

    /// Does it to an archive; its answers, as [`Model::apply`] gives them.
    pub fn run(archive: &dyn Archive, op: &Op) -> Result<Vec<Admission>, hearken_archive::AdmitError> {
        match op {
            Op::Admit(batch, now) => archive.admit(batch, *now),
            Op::Delete(keys) => archive.delete(keys).map(|_| Vec::new()),
            Op::Retain(now) => archive.retain(*now).map(|_| Vec::new()),
        }
    }

    /// What a group keeps, and what it keeps or refused.
    fn keys(&self, group: &Filter) -> (BTreeSet<Key>, BTreeSet<Key>) {
        let kept: BTreeSet<Key> = self
            .messages
            .iter()
            .filter(|(_, (topic, content_topic, _))| group.admits(topic, content_topic))
            .map(|(key, _)| *key)
            .collect();
        let refused = self.refused.get(&group.group()).into_iter().flat_map(BTreeMap::keys).copied();
        let held = kept.iter().copied().chain(refused).collect();
        (kept, held)
    }

    /// Whether the archive's indexes hold exactly these keys: a quick look.
    pub fn agrees(&self, archive: &dyn Archive) -> bool {
        self.filters.iter().all(|group| {
            let (kept, held) = self.keys(group);
            super::kept(archive, group) == kept && super::held(archive, group) == held
        })
    }

    /// Compares the archive in full: index, digests, messages, ids.
    pub fn verify(&self, archive: &dyn Archive) {
        for group in &self.filters {
            let (kept, held) = self.keys(group);
            let view = archive.view(&group.group()).unwrap();
            for (snapshot, keys) in [(&view.kept, &kept), (&view.held, &held)] {
                let found: BTreeSet<Key> = snapshot.keys(&KeyRange::ALL).map(Result::unwrap).collect();
                assert_eq!(found, *keys, "{group:?}");
                let fresh = Tree::from_sorted(keys.iter().copied()).unwrap();
                assert_eq!(snapshot.root().unwrap(), fresh.snapshot().root().unwrap(), "{group:?}");
            }
            let all = PageLimit { messages: usize::MAX, bytes: usize::MAX };
            let scanned = archive.scan(&group.group(), &KeyRange::ALL, all).unwrap();
            let scanned: Vec<_> = scanned
                .into_iter()
                .map(|message| (message.key, message.pubsub_topic.to_string(), message.body))
                .collect();
            let expected: Vec<_> =
                kept.iter().map(|key| (*key, self.messages[key].0.clone(), self.messages[key].2.clone())).collect();
            assert_eq!(scanned, expected, "{group:?}");
        }
        let keys: Vec<Key> = self.messages.keys().copied().collect();
        let stored = archive.get(&keys).unwrap();
        let mut sequences = BTreeSet::new();
        for (key, stored) in keys.iter().zip(stored) {
            let stored = stored.unwrap_or_else(|| panic!("{key:?} is missing"));
            assert_eq!(stored.body, self.messages[key].2);
            assert!(sequences.insert(stored.sequence), "a sequence was used twice");
            assert_eq!(archive.find(&key.id()).unwrap(), Some(*key));
        }
        let topics: BTreeSet<&String> = self.messages.values().map(|(_, content_topic, _)| content_topic).collect();
        for (place, topic) in topics.into_iter().enumerate() {
            let newest_first = place % 2 == 0;
            let wanted = self.messages.iter().filter(|(_, (_, content_topic, _))| content_topic == topic);
            let mut wanted: Vec<Key> = wanted.map(|(key, _)| *key).collect();
            if newest_first {
                wanted.reverse();
            }
            let query = Query {
                pubsub_topic: None,
                content_topics: BTreeSet::from([topic.clone()]),
                range: KeyRange::ALL,
                newest_first,
                limit: PageLimit { messages: usize::MAX, bytes: usize::MAX },
            };
            let found = archive.query(&query).unwrap();
            let found: Vec<Key> = found.messages.iter().map(|message| message.key).collect();
            assert_eq!(found, wanted, "{topic}");
        }
    }
}
