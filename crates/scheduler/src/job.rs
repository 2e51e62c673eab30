use hearken_tree::{KeyRange, PageError, Snapshot};
use hearken_wire::{RangeWant, Salt, ShortFingerprint, Summary, Verdict, Want};

use crate::Selection;

/// One consistent state of a group's index.
#[derive(Clone)]
pub struct View {
    /// What is kept: announced and served.
    pub kept: Snapshot,
    /// What is kept or refused: counts as held when asking. The same as `kept` where nothing is refused.
    pub held: Snapshot,
}

/// Index work that the engine asks for, to be run away from it on a [`View`].
#[derive(Clone, Debug)]
pub enum Job {
    /// Summarise what is kept in `range` in at most `spans` spans.
    Summarise {
        /// The settled window.
        range: KeyRange,
        /// At most so many spans.
        spans: usize,
        /// Shortens the digests.
        salt: Salt,
    },
    /// Compare somebody's spans, those of them that lie wholly inside `within`, with what is here.
    Compare {
        /// Their salt.
        salt: Salt,
        /// Their spans.
        summary: Summary,
        /// Their root over the whole of the summary's range, compared first.
        root: Option<ShortFingerprint>,
        /// What both hold settled.
        within: KeyRange,
    },
    /// Make the ranges of a request out of differences.
    Plan {
        /// The request's fresh salt.
        salt: Salt,
        /// What differs.
        differences: Vec<Difference>,
    },
    /// Answer a neighbour's request.
    Answer {
        /// The request.
        want: Want,
        /// What is held settled here.
        within: KeyRange,
    },
}

/// A range in which somebody's set differs from the one here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub range: KeyRange,
    /// How many keys they have there.
    pub theirs: u64,
    /// How many are held here.
    pub ours: u64,
}

/// How somebody's spans compare with what is here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Spans that were compared, not counting those outside what both hold settled.
    pub spans: usize,
    /// Those that differ, in order.
    pub differences: Vec<Difference>,
}

/// What a [`Job`] found.
#[derive(Clone, Debug)]
pub enum JobResult {
    /// Of [`Job::Summarise`].
    Summary {
        /// Fingerprint of the whole range.
        root: ShortFingerprint,
        /// Its spans.
        summary: Summary,
    },
    /// Of [`Job::Compare`].
    Compared(Compared),
    /// Of [`Job::Plan`].
    Planned(Vec<RangeWant>),
    /// Of [`Job::Answer`].
    Answered {
        /// One verdict for each range.
        verdicts: Vec<Verdict>,
        /// What to stream after them.
        selection: Vec<Selection>,
    },
}

/// The index could not be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the group's index could not be read: {0}")]
pub struct IndexFailed(#[from] pub PageError);

impl Job {
    /// Does the work. Pure: the same view and job give the same result.
    pub fn run(self, _view: &View) -> Result<JobResult, IndexFailed> {
        unreachable!("interim")
    }
}
