use std::sync::Arc;

use bytes::Bytes;
use hearken_archive::{Admission, Candidate, Committed, Committer, Done, Origin, RejectedReason};
use hearken_scheduler::Admitted;
use hearken_tree::{GroupId, KeyRange};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;

/// The way of delivered messages into the archive, in commits that they share with whatever else is stored.
#[derive(Clone)]
pub(crate) struct Store {
    committer: Arc<Committer>,
    /// Whose turn it is to wait for room: one thread waits, however many batches there are.
    turn: Arc<Semaphore>,
}

impl Store {
    pub(crate) fn new(committer: Arc<Committer>) -> Store {
        Store { committer, turn: Arc::new(Semaphore::new(1)) }
    }

    /// Verifies delivered messages and stores them durably.
    ///
    /// `messages` are slices of frames and carry their share of the budget, which is free again once they are stored: an archive
    /// holds on to none of them. `last`: nothing more comes before they are stored.
    pub(crate) async fn admit(
        self,
        group: GroupId,
        asked: Vec<KeyRange>,
        messages: Vec<Bytes>,
        last: bool,
    ) -> Admitted {
        let asked: Arc<[KeyRange]> = asked.into();
        let count = messages.len();
        let candidate = |body| Candidate { body, origin: Origin::Synced { group, asked: asked.clone() } };
        let result = self.commit(messages.into_iter().map(candidate).collect(), last).await;
        let admissions = match result {
            Ok(admissions) => admissions,
            Err(error) => {
                tracing::error!(%group, %error, messages = count, "delivered messages could not be stored");
                return Admitted { failed: count as u64, ..Admitted::default() };
            }
        };
        let mut outcome = Admitted::default();
        for admission in &admissions {
            let count = match admission {
                Admission::Stored(_) => &mut outcome.stored,
                Admission::Held(_) => &mut outcome.duplicates,
                Admission::Refused(..) => &mut outcome.refused,
                Admission::Malformed(_) | Admission::Unasked(_) => &mut outcome.unasked,
            };
            *count += 1;
        }
        outcome
    }

    async fn commit(&self, batch: Vec<Candidate>, last: bool) -> Result<Vec<Admission>, String> {
        let (done, committed) = oneshot::channel::<Committed>();
        let done: Done = Box::new(move |result| {
            // Nobody listens any more if the task was given up.
            let _ = done.send(result);
        });
        let turn = self.turn.acquire().await;
        if let Err(rejected) = self.committer.try_submit(batch, done) {
            if rejected.reason == RejectedReason::Stopped {
                return Err(rejected.reason.to_string());
            }
            let committer = self.committer.clone();
            let submitted = spawn_blocking(move || committer.submit(rejected.batch, rejected.done)).await;
            submitted.map_err(|panic| panic.to_string())?.map_err(|rejected| rejected.reason.to_string())?;
        }
        drop(turn);
        if last {
            self.committer.hurry();
        }
        match committed.await {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("the archive's committer died".to_owned()),
        }
    }
}
