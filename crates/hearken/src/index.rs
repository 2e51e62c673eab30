use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use hearken_archive::{Archive, ReadError};
use hearken_scheduler::{IndexFailed, Job, JobResult, View, Workers};
use hearken_tree::{GroupId, Key, PageError, PageId};
use tokio::sync::Semaphore;

use crate::reader::Reader;
use crate::work::Stage;

/// Runs a job on the group's index as it stands once a thread is free for it.
pub(crate) async fn run(
    reader: Reader,
    threads: Arc<Semaphore>,
    group: GroupId,
    job: Job,
) -> Result<JobResult, IndexFailed> {
    // Never closed; if it were, only the bound would be gone.
    let _thread = threads.clone().acquire_owned().await;
    let stage = match job {
        Job::Plan { .. } | Job::Answer { .. } => Stage::Sketch,
        Job::Summarise { .. } | Job::Fingerprint { .. } | Job::Compare { .. } => Stage::Tree,
    };
    let work = move |archive: &dyn Archive| {
        let view = archive.view(&group).map_err(unreadable)?;
        job.run_on(&View { kept: view.kept, held: view.held }, &Idle(&threads))
    };
    reader.timed(stage, work).await.unwrap_or_else(|panic| Err(failed(panic)))
}

/// The threads for index work that have nothing to do.
struct Idle<'a>(&'a Semaphore);

impl Workers for Idle<'_> {
    fn each(&self, pieces: usize, work: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let next_piece = || Some(next.fetch_add(1, Relaxed)).filter(|piece| *piece < pieces);
        let work_on = || std::iter::from_fn(next_piece).for_each(work);
        std::thread::scope(|scope| {
            for _ in 1..pieces {
                let Ok(thread) = self.0.try_acquire() else { break };
                scope.spawn(move || {
                    work_on();
                    drop(thread);
                });
            }
            work_on();
        });
    }
}

/// What the engine is told of an archive that fails beside its index.
fn unreadable(error: ReadError) -> IndexFailed {
    match error {
        ReadError::Index(error) => error.into(),
        error => failed(error),
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> IndexFailed {
    PageError::Store { id: PageId { level: 0, first: Key::MIN }, source: Arc::new(error) }.into()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// Each piece is done once, and the threads are idle afterwards.
    #[test]
    fn pieces_are_spread_over_idle_threads() {
        for idle in [0, 1, 3] {
            let threads = Semaphore::new(idle);
            let done: Vec<AtomicUsize> = (0..100).map(|_| AtomicUsize::new(0)).collect();
            Idle(&threads).each(done.len(), &|piece| _ = done[piece].fetch_add(1, Relaxed));
            assert!(done.iter().all(|times| times.load(Relaxed) == 1), "{done:?}");
            assert_eq!(threads.available_permits(), idle);
        }
        let threads = Semaphore::new(3);
        // Two pieces, each of which waits until the other has begun.
        let (begun, start) = (AtomicUsize::new(0), Instant::now());
        Idle(&threads).each(2, &|_| {
            begun.fetch_add(1, Relaxed);
            while begun.load(Relaxed) < 2 && start.elapsed() < Duration::from_secs(30) {
                std::thread::yield_now();
            }
            assert_eq!(begun.load(Relaxed), 2, "both pieces on one thread");
        });
        assert_eq!(threads.available_permits(), 3);
    }
}
