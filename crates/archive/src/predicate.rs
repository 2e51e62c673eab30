use std::{
    borrow::Cow,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use hearken_tree::{GroupId, Key};

use crate::{Admission, Candidate, Filter, Limits, MessageFormat, Origin, RefusalReason, Validator};

/// The one admission predicate, for live and synced messages alike: what belongs here, and what does not.
pub(crate) struct Predicate {
    format: Arc<dyn MessageFormat>,
    validator: Option<Arc<dyn Validator>>,
    limits: Limits,
    filters: Vec<(GroupId, Filter)>,
    /// Places in `filters`, by pubsub topic.
    by_topic: BTreeMap<String, Vec<usize>>,
}

/// A message that was read, with all that can be said of it without looking into the archive.
pub(crate) struct Judged<'a> {
    pub(crate) key: Key,
    pub(crate) pubsub_topic: &'a str,
    pub(crate) header: crate::Header<'a>,
    pub(crate) candidate: &'a Candidate,
    /// Why it must not be stored, unless it is already.
    pub(crate) fault: Option<RefusalReason>,
}

impl Judged<'_> {
    /// Whether a neighbour delivered it.
    pub(crate) fn synced(&self) -> bool {
        matches!(self.candidate.origin, Origin::Synced { .. })
    }
}

impl Predicate {
    /// The predicate of an archive with these groups; a filter that is there twice counts once.
    pub(crate) fn new(
        format: Arc<dyn MessageFormat>,
        validator: Option<Arc<dyn Validator>>,
        limits: Limits,
        filters: Vec<Filter>,
    ) -> Predicate {
        let mut all: Vec<(GroupId, Filter)> = Vec::with_capacity(filters.len());
        let mut by_topic: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for filter in filters {
            let group = filter.group();
            if all.iter().all(|(known, _)| *known != group) {
                by_topic.entry(filter.pubsub_topic.clone()).or_default().push(all.len());
                all.push((group, filter));
            }
        }
        Predicate { format, validator, limits, filters: all, by_topic }
    }

    /// The groups, in the order they were given.
    pub(crate) fn filters(&self) -> &[(GroupId, Filter)] {
        &self.filters
    }

    /// The place of `group` among the groups.
    pub(crate) fn place(&self, group: &GroupId) -> Option<usize> {
        self.filters.iter().position(|(known, _)| known == group)
    }

    /// The places of the groups that admit messages with these topics.
    pub(crate) fn admitting(&self, pubsub_topic: &str, content_topic: &str) -> impl Iterator<Item = usize> {
        let places = self.by_topic.get(pubsub_topic).map_or(&[][..], Vec::as_slice);
        places.iter().copied().filter(move |place| {
            self.filters.get(*place).is_some_and(|(_, filter)| filter.admits(pubsub_topic, content_topic))
        })
    }

    /// The content topic of a stored message.
    pub(crate) fn content_topic<'a>(
        &self,
        pubsub_topic: &str,
        body: &'a [u8],
    ) -> Result<Cow<'a, str>, crate::FormatError> {
        Ok(self.format.header(pubsub_topic, body)?.content_topic)
    }

    /// Whether a stored message belongs to the group at `place`.
    pub(crate) fn belongs(&self, place: usize, pubsub_topic: &str, body: &[u8]) -> bool {
        let Some((_, filter)) = self.filters.get(place) else { return false };
        filter.pubsub_topic == pubsub_topic
            && (filter.content_topics.is_empty()
                || self.content_topic(pubsub_topic, body).is_ok_and(|topic| filter.admits(pubsub_topic, &topic)))
    }

    /// The content topic of the message with this key; `None` if `body` is not that message.
    pub(crate) fn content_topic_of<'a>(&self, key: &Key, pubsub_topic: &str, body: &'a [u8]) -> Option<Cow<'a, str>> {
        let (found, content_topic) = self.read_stored(pubsub_topic, body)?;
        (found == *key).then_some(content_topic)
    }

    /// Key and content topic of a stored message; `None` if it is none.
    pub(crate) fn read_stored<'a>(&self, pubsub_topic: &str, body: &'a [u8]) -> Option<(Key, Cow<'a, str>)> {
        let header = self.format.header(pubsub_topic, body).ok()?;
        Some((header.key(), header.content_topic))
    }

    /// The oldest timestamp that is kept as of `now`.
    pub(crate) fn kept_from(&self, now: u64) -> u64 {
        self.limits.max_age.map_or(0, |age| now.saturating_sub(nanos(age)))
    }

    /// Reads `candidate` and judges what can be judged without the archive. `Ok(Err(..))`: it is not a message, or not one that was
    /// asked for. `floor`: the oldest timestamp that fits into the archive's size.
    pub(crate) fn read<'a>(
        &'a self,
        candidate: &'a Candidate,
        now: u64,
        floor: u64,
    ) -> Result<Result<Judged<'a>, Admission>, GroupId> {
        let (pubsub_topic, asked) = match &candidate.origin {
            Origin::Topic(topic) => (topic.as_str(), None),
            Origin::Synced { group, asked } => {
                let filter = self.place(group).and_then(|place| self.filters.get(place)).ok_or(*group)?;
                (filter.1.pubsub_topic.as_str(), Some((&filter.1, asked)))
            }
        };
        let header = match self.format.header(pubsub_topic, &candidate.body) {
            Ok(header) => header,
            Err(error) => return Ok(Err(Admission::Malformed(error.reason))),
        };
        let key = header.key();
        if let Some((filter, asked)) = asked {
            let before = asked.partition_point(|range| range.start() <= key);
            let within = before.checked_sub(1).and_then(|last| asked.get(last));
            if !within.is_some_and(|range| range.contains(&key)) || !filter.admits(pubsub_topic, &header.content_topic)
            {
                return Ok(Err(Admission::Unasked(key)));
            }
        }
        let fault = self.fault(pubsub_topic, &header, candidate.body.len(), now, floor);
        Ok(Ok(Judged { key, pubsub_topic, header, candidate, fault }))
    }

    /// What forbids to store the message, as far as the message itself tells.
    fn fault(
        &self,
        pubsub_topic: &str,
        header: &crate::Header<'_>,
        size: usize,
        now: u64,
        floor: u64,
    ) -> Option<RefusalReason> {
        let latest = now.saturating_add(nanos(self.limits.max_future));
        if size > self.limits.max_size {
            Some(RefusalReason::TooLarge { size, limit: self.limits.max_size })
        } else if header.timestamp == 0 || header.timestamp > latest || header.key() == Key::MAX {
            Some(RefusalReason::BadTimestamp)
        } else if header.timestamp < self.kept_from(now).max(floor) {
            Some(RefusalReason::TooOld)
        } else if header.ephemeral {
            Some(RefusalReason::Ephemeral)
        } else if self.admitting(pubsub_topic, &header.content_topic).next().is_none() {
            Some(RefusalReason::NoGroup)
        } else {
            None
        }
    }

    /// The host's own check, which may be costly: asked last, and only for messages that would be stored. One that panics counts as
    /// a refusal: nobody's message must stop a node.
    pub(crate) fn validate(&self, judged: &Judged<'_>) -> Result<(), RefusalReason> {
        let Some(validator) = &self.validator else { return Ok(()) };
        let validate = || validator.validate(judged.pubsub_topic, &judged.header, &judged.candidate.body);
        catch_unwind(AssertUnwindSafe(validate))
            .unwrap_or_else(|_| {
                tracing::error!(key = ?judged.key, "the validator panicked over this message: refused");
                Err("the validator panicked".to_owned())
            })
            .map_err(RefusalReason::Invalid)
    }
}

/// A duration in nanoseconds, as timestamps count; 584 years at most.
fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
