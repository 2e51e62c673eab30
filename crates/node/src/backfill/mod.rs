//! Older history, fetched from one node into a data folder: by sync as far as the node keeps that history equal with its
//! neighbours, and by Store v3 beyond, or from a node that has no sync at all.

mod store;
mod sync;

use std::sync::Arc;
use std::time::Duration;

use hearken::AntiEntropy;
use hearken_archive::{Admission, AdmitError, Archive, Filter, ReadError};
use hearken_scheduler::Config as SyncConfig;
use libp2p::Multiaddr;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::config::text::Text as _;
use crate::config::{ByteSize, Config};
use crate::network::{Client, ClientError};

pub(crate) use store::Listing;

/// What is fetched, and from where.
pub(crate) struct Backfill {
    pub(crate) archive: Arc<dyn Archive>,
    /// From this time on: nanoseconds since the Unix epoch.
    pub(crate) from: u64,
    /// Up to this time.
    pub(crate) to: u64,
    /// The node's own settings of anti-entropy.
    pub(crate) sync: SyncConfig,
    pub(crate) limits: hearken::Limits,
    pub(crate) max_size: ByteSize,
    /// For admission: nanoseconds since the Unix epoch.
    pub(crate) now: fn() -> u64,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fetched {
    /// Stored, delivered by sync.
    pub(crate) by_sync: u64,
    /// Stored, delivered by Store v3.
    pub(crate) by_store: u64,
    /// Delivered, and refused by the admission predicate.
    pub(crate) refused: u64,
    /// Part of the time range that the node could not be asked for, because it keeps it neither equal nor in a store.
    pub(crate) unasked: Option<(u64, u64)>,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BackfillError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Spawn(#[from] hearken::SpawnError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Admit(#[from] AdmitError),
    #[error("the node sent something else than was asked: {0}")]
    Nonsense(String),
    #[error("{0} speaks neither Hearken's sync nor Waku's Store v3: nothing can be fetched from it")]
    NoProtocol(Multiaddr),
    #[error("no node to fetch from")]
    NoPeer,
}

/// Nothing can be fetched as it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BadRange {
    #[error("expected from (--from) to be before to (--to), and that not to lie in the future")]
    Order,
    /// What would be dropped at once is not fetched.
    #[error(
        "the time to fetch begins further back than messages are kept (archive.retention is {0}): raise it where the node runs, \
         for example with --archive-retention unlimited"
    )]
    TooOld(String),
}

impl Backfill {
    /// Fetches this range of time into the archive, under a node's settings.
    pub(crate) fn new(
        archive: Arc<dyn Archive>,
        config: &Config,
        (from, to): (u64, u64),
    ) -> Result<Backfill, BadRange> {
        let now = || Clock::SYSTEM.now();
        if to <= from || to > now() {
            return Err(BadRange::Order);
        }
        let retention = &config.archive.retention;
        if retention.at_most().is_some_and(|kept| u128::from(now() - from) > kept.as_nanos()) {
            return Err(BadRange::TooOld(retention.format()));
        }
        let (sync, limits) = (config.sync.clone(), config.resources.clone());
        Ok(Backfill { archive, from, to, sync, limits, max_size: config.messages.max_size, now })
    }

    /// Fetches from the first of these nodes that can be asked; says of the others why not.
    pub(crate) async fn fetch(
        &self,
        peers: &[Multiaddr],
        mut tell: impl FnMut(String),
    ) -> Result<Fetched, BackfillError> {
        let mut failure = BackfillError::NoPeer;
        for peer in peers {
            match Box::pin(self.from(peer)).await {
                Ok(fetched) => return Ok(fetched),
                Err(error) => {
                    if peers.len() > 1 {
                        tell(format!("{peer}: {error}"));
                    }
                    failure = error;
                }
            }
        }
        Err(failure)
    }

    /// Fetches from the node at this address.
    pub(crate) async fn from(&self, address: &Multiaddr) -> Result<Fetched, BackfillError> {
        let mut hosted: Option<AntiEntropy> = None;
        let connecting = Client::connect::<BackfillError>(address, self.max_size, |control, gossipsub| {
            let spawned = self.spawn(control, gossipsub)?;
            hosted = spawned.as_ref().map(|(sync, _)| sync.clone());
            Ok(spawned)
        });
        let mut client = Box::pin(connecting).await?;
        let with_sync = hosted.filter(|_| client.speaks(hearken::PROTOCOL));
        if with_sync.is_none() && !client.has_store() {
            return Err(BackfillError::NoProtocol(address.clone()));
        }
        let mut fetched = Fetched::default();
        // Sync covers the younger part of the range, if any.
        let mut covered_from = self.to;
        if let Some(sync) = with_sync {
            covered_from = self.by_sync(&client, &sync, &mut fetched).await;
            sync.stop().await;
        }
        if covered_from > self.from {
            if client.has_store() {
                for filter in self.archive.groups() {
                    self.by_store(&mut client, &filter, covered_from, &mut fetched).await?;
                }
            } else {
                fetched.unasked = Some((self.from, covered_from));
            }
        }
        Ok(fetched)
    }

    fn listing(&self, filter: &Filter, from: u64, to: u64) -> Listing {
        Listing { filter: filter.clone(), from, to }
    }
}

impl Fetched {
    fn note(&mut self, admission: &Admission) {
        match admission {
            Admission::Stored(_) => self.by_store += 1,
            Admission::Held(_) => {}
            Admission::Refused(..) | Admission::Malformed(_) | Admission::Unasked(_) => {
                tracing::debug!(?admission, "a message was not stored");
                self.refused += 1;
            }
        }
    }
}

/// Nanoseconds of a duration that is known to be short.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
