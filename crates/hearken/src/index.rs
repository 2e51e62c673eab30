use std::sync::Arc;

use hearken_archive::{Archive, ReadError};
use hearken_scheduler::{IndexFailed, Job, JobResult, View};
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
    let _thread = threads.acquire_owned().await;
    let stage = match job {
        Job::Plan { .. } | Job::Answer { .. } => Stage::Sketch,
        Job::Summarise { .. } | Job::Fingerprint { .. } | Job::Compare { .. } => Stage::Tree,
    };
    let work = move |archive: &dyn Archive| {
        let view = archive.view(&group).map_err(unreadable)?;
        job.run(&View { kept: view.kept, held: view.held })
    };
    reader.timed(stage, work).await.unwrap_or_else(|panic| Err(failed(panic)))
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
