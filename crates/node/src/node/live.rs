//! Live messages: judged for the relay, then stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use hearken_archive::{Admission, AdmitError, Candidate, Committer, Filter, Header, MessageFormat, Origin, Validator};
use hearken_tree::GroupId;
use hearken_waku::WakuFormat;
use libp2p::gossipsub::MessageAcceptance;
use tokio::sync::{mpsc, oneshot};

use super::PublishError;
use super::activity::Activity;
use crate::clock::Clock;
use crate::config::Config;
use crate::faults::Faults;

/// Judges live messages and hands them to the archive's committer.
pub(super) struct Live {
    clock: Clock,
    faults: Faults,
    max_size: usize,
    max_future: Duration,
    max_age: Duration,
    filters: Vec<(GroupId, Filter)>,
    validator: Option<Arc<dyn Validator>>,
    committer: Arc<Committer>,
    /// Groups of which a message was stored. A full channel loses some, which only delays a probe.
    stored: mpsc::Sender<GroupId>,
    counters: Arc<LiveCounters>,
    activity: Arc<Activity>,
}

/// What was relayed since the node started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveStatus {
    /// Messages that came over the relay.
    pub received: u64,
    /// Those that were stored, and those that this node published.
    pub stored: u64,
    /// Those that were not relayed: no messages, too old, too large, refused by the validator.
    pub refused: u64,
    /// Those that were lost: on purpose, or because the archive could not keep up. Anti-entropy brings them.
    pub lost: u64,
}

#[derive(Debug, Default)]
pub(super) struct LiveCounters {
    received: AtomicU64,
    stored: AtomicU64,
    refused: AtomicU64,
    lost: AtomicU64,
}

impl LiveCounters {
    pub(super) fn status(&self) -> LiveStatus {
        LiveStatus {
            received: self.received.load(Relaxed),
            stored: self.stored.load(Relaxed),
            refused: self.refused.load(Relaxed),
            lost: self.lost.load(Relaxed),
        }
    }
}

/// Why a message is not relayed.
struct NotRelayed {
    /// Whether the neighbour that forwarded it should have known.
    blame: bool,
    reason: String,
}

impl Live {
    pub(super) fn new(
        config: &Config,
        (clock, faults): (Clock, Faults),
        validator: Option<Arc<dyn Validator>>,
        committer: Arc<Committer>,
        (stored, activity): (mpsc::Sender<GroupId>, Arc<Activity>),
    ) -> Live {
        Live {
            clock,
            faults,
            max_size: config.messages.max_size.as_usize(),
            max_future: config.messages.max_future,
            max_age: config.messages.max_relay_age,
            filters: config.filters().into_iter().map(|filter| (filter.group(), filter)).collect(),
            validator,
            committer,
            stored,
            counters: Arc::default(),
            activity,
        }
    }

    pub(super) fn counters(&self) -> Arc<LiveCounters> {
        self.counters.clone()
    }

    /// A message came over the relay: stores it; returns whether it is forwarded. Does not wait for the archive: a relay forwards
    /// at once.
    pub(super) fn on_message(&self, pubsub_topic: &str, data: &[u8]) -> MessageAcceptance {
        self.counters.received.fetch_add(1, Relaxed);
        let header = match self.judge(pubsub_topic, data) {
            Ok(header) => header,
            Err(refused) => {
                self.counters.refused.fetch_add(1, Relaxed);
                tracing::debug!(pubsub_topic, reason = refused.reason, "a message is not relayed");
                return if refused.blame { MessageAcceptance::Reject } else { MessageAcceptance::Ignore };
            }
        };
        if self.faults.drops(&header.id) {
            self.counters.lost.fetch_add(1, Relaxed);
        } else {
            let body = Bytes::copy_from_slice(data);
            self.activity.relayed(self.clock.now(), pubsub_topic, &header.content_topic, &body);
            self.store(pubsub_topic, body, &header, None);
        }
        MessageAcceptance::Accept
    }

    /// This node publishes a message: stores it and says what became of it; `Err` if it must not be relayed.
    pub(super) fn publish(
        &self,
        pubsub_topic: &str,
        body: Bytes,
        answer: oneshot::Sender<Result<Admission, PublishError>>,
    ) -> bool {
        match self.judge(pubsub_topic, &body) {
            Ok(header) => {
                self.activity.relayed(self.clock.now(), pubsub_topic, &header.content_topic, &body);
                self.store(pubsub_topic, body.clone(), &header, Some(answer));
                true
            }
            Err(refused) => {
                // Whoever asked may have gone.
                let _ = answer.send(Err(PublishError::Refused(refused.reason)));
                false
            }
        }
    }

    /// What a relay checks: that it is a message, its size, its time, and what the host's validator says. What is stored is
    /// judged once more, by the archive.
    fn judge<'a>(&self, pubsub_topic: &str, body: &'a [u8]) -> Result<Header<'a>, NotRelayed> {
        let blame = |reason: String| NotRelayed { blame: true, reason };
        if body.len() > self.max_size {
            return Err(blame(format!("{} bytes where {} are allowed", body.len(), self.max_size)));
        }
        let header = WakuFormat.header(pubsub_topic, body).map_err(|error| blame(error.reason))?;
        let now = self.clock.now();
        let (oldest, latest) = (now.saturating_sub(nanos(self.max_age)), now.saturating_add(nanos(self.max_future)));
        if !(oldest..=latest).contains(&header.timestamp) {
            // Clocks differ, and it may have waited on its way: nobody's fault.
            let reason = format!("its timestamp {} is not within {oldest} to {latest}", header.timestamp);
            return Err(NotRelayed { blame: false, reason });
        }
        if let Some(validator) = &self.validator {
            validator.validate(pubsub_topic, &header, body).map_err(blame)?;
        }
        Ok(header)
    }

    fn store(
        &self,
        pubsub_topic: &str,
        body: Bytes,
        header: &Header<'_>,
        answer: Option<oneshot::Sender<Result<Admission, PublishError>>>,
    ) {
        let admits = |filter: &Filter| filter.admits(pubsub_topic, &header.content_topic);
        let groups: Vec<GroupId> =
            self.filters.iter().filter(|(_, filter)| admits(filter)).map(|(id, _)| *id).collect();
        let candidate = Candidate { body, origin: Origin::Topic(pubsub_topic.to_owned()) };
        let (counters, stored) = (self.counters.clone(), self.stored.clone());
        let done = Box::new(move |committed: hearken_archive::Committed| {
            let admission = committed.map(|mut admissions| admissions.pop()).map_err(|error| error.to_string());
            match &admission {
                Ok(Some(Admission::Stored(_))) => {
                    counters.stored.fetch_add(1, Relaxed);
                    for group in groups {
                        let _ = stored.try_send(group);
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    counters.lost.fetch_add(1, Relaxed);
                    tracing::debug!(%error, "a live message was not stored; anti-entropy will bring it");
                }
            }
            let admission = admission.map_err(PublishError::NotStored).transpose();
            if let (Some(answer), Some(admission)) = (answer, admission) {
                let _ = answer.send(admission);
            }
        });
        if let Err(rejected) = self.committer.try_submit(vec![candidate], done) {
            let reason = rejected.reason;
            tracing::warn!(%reason, "a live message was not stored; anti-entropy will bring it");
            // Its callback says so to whoever waits.
            let (done, error) = (rejected.done, AdmitError::Storage(Box::new(reason)));
            done(Err(Arc::new(error)));
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
