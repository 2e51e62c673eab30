use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What a repair spends its time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Summaries and comparisons in the tree.
    Tree,
    /// Planning and answering requests: sketches, and the keys that are read for them.
    Sketch,
    /// Reading messages that are served.
    ArchiveRead,
    /// Encoding and decoding frames, and writing them to streams, waiting for the neighbour included.
    Wire,
    /// Reading delivered messages and computing their ids.
    Verify,
    /// Storing messages durably, and indexing them.
    ArchiveWrite,
}

impl Stage {
    /// All of them.
    pub const ALL: [Stage; 6] =
        [Stage::Tree, Stage::Sketch, Stage::ArchiveRead, Stage::Wire, Stage::Verify, Stage::ArchiveWrite];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Tree => "tree",
            Stage::Sketch => "sketch",
            Stage::ArchiveRead => "archive_read",
            Stage::Wire => "wire",
            Stage::Verify => "verify",
            Stage::ArchiveWrite => "archive_write",
        }
    }
}

/// Time spent, by stage: wall-clock time of all threads together.
///
/// The task counts tree, sketch, reads and wire. Verifying and storing are the archive's; a host that wants them counted too does
/// so.
#[derive(Debug, Default)]
pub struct Work([AtomicU64; 6]);

impl Work {
    /// Adds to a stage.
    pub fn add(&self, stage: Stage, time: Duration) {
        if let Some(spent) = self.0.get(stage as usize) {
            spent.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        }
    }

    /// What a stage has taken so far.
    pub fn spent(&self, stage: Stage) -> Duration {
        self.0.get(stage as usize).map_or(Duration::ZERO, |spent| Duration::from_nanos(spent.load(Relaxed)))
    }
}
