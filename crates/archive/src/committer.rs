use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{Admission, AdmitError, Archive, Candidate};

/// What became of a submitted batch, in its order. Batches that were committed together share the error.
pub type Committed = Result<Vec<Admission>, Arc<AdmitError>>;

/// Called once, on the committer's thread, when the batch is durable and indexed, or failed. Must return soon: the next commit waits
/// for it. Dropped uncalled only if the committer's thread died.
pub type Done = Box<dyn FnOnce(Committed) + Send>;

/// How much a [`Committer`] takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitterOptions {
    /// Messages that may wait, over all callers.
    pub queue_messages: usize,
    /// Bytes of bodies that may wait, over all callers.
    pub queue_bytes: usize,
    /// Messages in one commit, unless one batch alone has more.
    pub commit_messages: usize,
    /// Bytes of bodies in one commit, unless one batch alone has more.
    pub commit_bytes: usize,
    /// How long a commit that is not full waits for the next batch (as `commit_delay` of PostgreSQL).
    pub linger: Duration,
    /// How long it waits while batch follows batch. Longer: fewer commits for the same messages; they are acknowledged later.
    pub linger_at_most: Duration,
}

impl Default for CommitterOptions {
    /// Commits of up to 10,000 messages or 16 MiB, and twice as much waiting: one commit's worth while another is written.
    /// They wait about as long for the next batch as a commit takes, and while batches come, a few times as long.
    fn default() -> CommitterOptions {
        CommitterOptions {
            queue_messages: 20_000,
            queue_bytes: 32 << 20,
            commit_messages: 10_000,
            commit_bytes: 16 << 20,
            linger: Duration::from_millis(10),
            linger_at_most: Duration::from_millis(60),
        }
    }
}

/// A batch that was not taken, given back.
pub struct Rejected {
    /// The batch.
    pub batch: Vec<Candidate>,
    /// Its callback, not called.
    pub done: Done,
    /// Why it was not taken.
    pub reason: RejectedReason,
}

/// Why a batch was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RejectedReason {
    /// Too much is waiting: try again when a batch is done.
    #[error("too many messages wait to be committed: try again when a batch is done")]
    Full,
    /// The committer was stopped.
    #[error("the archive's committer was stopped")]
    Stopped,
}

/// Groups the batches of many callers (live relay, sync, import) into few durable commits: while one commit is written, what comes
/// waits, and goes into the next one together.
///
/// One thread, a bounded queue, no async runtime. Batches are committed in the order in which they were submitted.
pub struct Committer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    options: CommitterOptions,
    queue: Mutex<Queue>,
    /// Something to commit, or stopped.
    work: Condvar,
    /// Something left the queue, or stopped.
    room: Condvar,
}

#[derive(Default)]
struct Queue {
    batches: VecDeque<Waiting>,
    messages: usize,
    bytes: usize,
    /// What waits need not wait for more.
    hurried: bool,
    stopped: bool,
}

struct Waiting {
    batch: Vec<Candidate>,
    bytes: usize,
    done: Done,
}

impl Committer {
    /// Starts the thread. `clock` gives the time at which a commit judges its messages: nanoseconds since the Unix epoch.
    pub fn spawn(
        archive: Arc<dyn Archive>,
        clock: impl Fn() -> u64 + Send + 'static,
        options: CommitterOptions,
    ) -> io::Result<Committer> {
        let shared = Arc::new(Shared {
            options,
            queue: Mutex::new(Queue::default()),
            work: Condvar::new(),
            room: Condvar::new(),
        });
        let stop = StopOnExit(shared.clone());
        let thread = thread::Builder::new().name("hearken-commit".to_owned()).spawn(move || {
            while let Some(batches) = stop.0.next() {
                commit(&*archive, &clock, batches);
            }
        })?;
        Ok(Committer { shared, thread: Some(thread) })
    }

    /// Submits a batch if there is room; an empty queue has room for any.
    pub fn try_submit(&self, batch: Vec<Candidate>, done: Done) -> Result<(), Box<Rejected>> {
        let waiting = Waiting::new(batch, done);
        let queue = self.shared.queue();
        if queue.stopped {
            Err(waiting.reject(RejectedReason::Stopped))
        } else if !self.shared.fits(&queue, &waiting) {
            Err(waiting.reject(RejectedReason::Full))
        } else {
            self.shared.push(queue, waiting);
            Ok(())
        }
    }

    /// Submits a batch; blocks until there is room. Not to be called from [`Done`].
    pub fn submit(&self, batch: Vec<Candidate>, done: Done) -> Result<(), Box<Rejected>> {
        let waiting = Waiting::new(batch, done);
        let mut queue = self.shared.queue();
        while !queue.stopped && !self.shared.fits(&queue, &waiting) {
            queue = self.shared.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if queue.stopped {
            return Err(waiting.reject(RejectedReason::Stopped));
        }
        self.shared.push(queue, waiting);
        Ok(())
    }

    /// Commits what waits as soon as it can, without waiting for more to go with it: for whoever knows that nothing will come before
    /// this is done.
    pub fn hurry(&self) {
        let mut queue = self.shared.queue();
        queue.hurried |= !queue.batches.is_empty();
        self.shared.work.notify_one();
    }

    /// Takes no more, commits what waits, and returns when that is done. Dropping the committer does the same.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.shared.stop();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

impl Waiting {
    fn new(batch: Vec<Candidate>, done: Done) -> Waiting {
        let bytes = batch.iter().map(|candidate| candidate.body.len()).sum();
        Waiting { batch, bytes, done }
    }

    fn reject(self, reason: RejectedReason) -> Box<Rejected> {
        Box::new(Rejected { batch: self.batch, done: self.done, reason })
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fits(&self, queue: &Queue, waiting: &Waiting) -> bool {
        queue.batches.is_empty()
            || (queue.messages + waiting.batch.len() <= self.options.queue_messages
                && queue.bytes + waiting.bytes <= self.options.queue_bytes)
    }

    fn push(&self, mut queue: MutexGuard<'_, Queue>, waiting: Waiting) {
        queue.messages += waiting.batch.len();
        queue.bytes += waiting.bytes;
        queue.batches.push_back(waiting);
        self.work.notify_one();
    }

    fn stop(&self) {
        self.queue().stopped = true;
        self.work.notify_all();
        self.room.notify_all();
    }

    /// Waits for batches and takes as many as go into one commit; `None` when stopped and drained.
    fn next(&self) -> Option<Vec<Waiting>> {
        let mut queue = self.queue();
        while queue.batches.is_empty() && !queue.stopped {
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue = self.linger(queue);
        queue.hurried = false;
        let (mut taken, mut messages, mut bytes) = (Vec::new(), 0, 0);
        while let Some(first) = queue.batches.front() {
            messages += first.batch.len();
            bytes += first.bytes;
            let fits = messages <= self.options.commit_messages && bytes <= self.options.commit_bytes;
            if !fits && !taken.is_empty() {
                break;
            }
            if let Some(first) = queue.batches.pop_front() {
                queue.messages -= first.batch.len();
                queue.bytes -= first.bytes;
                taken.push(first);
            }
        }
        self.room.notify_all();
        (!taken.is_empty()).then_some(taken)
    }

    /// Waits until a commit is full, or no more may come, or none came for a while, or it has waited long enough, or somebody is in a
    /// hurry.
    fn linger<'a>(&self, mut queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        let start = Instant::now();
        let mut until = start + self.options.linger;
        let mut batches = queue.batches.len();
        loop {
            let full = queue.messages >= self.options.commit_messages || queue.bytes >= self.options.commit_bytes;
            let now = Instant::now();
            if queue.batches.len() > batches {
                batches = queue.batches.len();
                until = (now + self.options.linger).min(start + self.options.linger_at_most);
            }
            let left = until.saturating_duration_since(now);
            if full || queue.hurried || queue.stopped || left.is_zero() {
                return queue;
            }
            queue = self.work.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Frees those who wait for room if the thread ends, for whatever reason.
struct StopOnExit(Arc<Shared>);

impl Drop for StopOnExit {
    fn drop(&mut self) {
        self.0.stop();
        // Their callbacks are dropped: whoever waits for them learns that way.
        self.0.queue().batches.clear();
    }
}

/// Commits the batches together and answers each.
fn commit(archive: &dyn Archive, clock: &dyn Fn() -> u64, batches: Vec<Waiting>) {
    let mut lengths = Vec::with_capacity(batches.len());
    let mut all = Vec::new();
    let mut callbacks = Vec::with_capacity(batches.len());
    for Waiting { mut batch, done, .. } in batches {
        lengths.push(batch.len());
        all.append(&mut batch);
        callbacks.push(done);
    }
    match archive.admit(&all, clock()) {
        Ok(admitted) => {
            let mut admitted = admitted.into_iter();
            for (length, done) in lengths.into_iter().zip(callbacks) {
                answer(done, Ok(admitted.by_ref().take(length).collect()));
            }
        }
        // One caller's mistake must not cost the others: each for itself.
        Err(AdmitError::UnknownGroup(_)) if callbacks.len() > 1 => {
            let mut rest = all.as_slice();
            for (length, done) in lengths.into_iter().zip(callbacks) {
                let (batch, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                answer(done, archive.admit(batch, clock()).map_err(Arc::new));
                rest = after;
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            callbacks.into_iter().for_each(|done| answer(done, Err(error.clone())));
        }
    }
}

/// Calls back; a callback that panics is its own affair.
fn answer(done: Done, committed: Committed) {
    if catch_unwind(AssertUnwindSafe(|| done(committed))).is_err() {
        tracing::error!("a commit's callback panicked; the commit itself stands");
    }
}
