use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use hearken_archive::Archive;
use tokio::sync::mpsc;
use tokio::task::{JoinError, spawn_blocking};

use crate::work::{Stage, Work};

/// The archive, read on tokio's blocking pool.
///
/// What runs there cannot be given up, so the task waits for it when it ends: afterwards nothing of it holds the archive.
#[derive(Clone)]
pub(crate) struct Reader {
    archive: Arc<dyn Archive>,
    work: Arc<Work>,
    _alive: mpsc::Sender<Infallible>,
}

/// Tells when the last [`Reader`] is gone.
pub(crate) struct Readers(mpsc::Receiver<Infallible>);

impl Reader {
    pub(crate) fn new(archive: Arc<dyn Archive>, work: Arc<Work>) -> (Reader, Readers) {
        let (alive, dead) = mpsc::channel(1);
        (Reader { archive, work, _alive: alive }, Readers(dead))
    }

    /// The same as [`run`](Reader::run), and counts the time it takes.
    pub(crate) async fn timed<T: Send + 'static>(
        &self,
        stage: Stage,
        work: impl FnOnce(&dyn Archive) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let spent = self.work.clone();
        self.run(move |archive| {
            let started = Instant::now();
            let result = work(archive);
            spent.add(stage, started.elapsed());
            result
        })
        .await
    }

    /// Does the work on another thread; fails only if it panics.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Archive) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let reader = self.clone();
        spawn_blocking(move || work(&*reader.archive)).await
    }
}

impl Readers {
    /// Waits until all readers are dropped and what they began is done.
    pub(crate) async fn done(mut self) {
        while self.0.recv().await.is_some() {}
    }
}
