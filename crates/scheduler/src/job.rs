//! Index work: what the engine needs to know of a group's tree, computed away from it.
mod answer;
mod compare;
mod gaps;
mod narrowing;
mod plan;
mod scatter;
mod short;
mod spread;
mod summarise;
mod view;

use std::ops::Range;

use hearken_tree::{GroupId, KeyRange, PageError};
use hearken_wire::{Ihave, RangeWant, Salt, ShortFingerprint, Summary, Verdict, Want, Window};

use crate::Selection;

pub(crate) use answer::{FINER_SPANS, cost};
pub(crate) use narrowing::are_many;
pub(crate) use plan::MAX_SKETCH;
pub(crate) use scatter::Scatter;
pub use spread::{Alone, Workers};
pub use view::View;

/// Index work that the engine asks for, to be run away from it on a [`View`].
#[derive(Clone, Debug)]
pub enum Job {
    /// Summarise what is kept in `window` in at most `spans` spans, for an IHAVE of at most `budget` bytes.
    Summarise {
        /// The group it is about.
        group: GroupId,
        /// The settled window.
        window: Window,
        /// At most so many spans.
        spans: usize,
        /// Shortens the digests.
        salt: Salt,
        /// At most so many bytes; with more, nothing is hashed.
        budget: usize,
    },
    /// Fingerprint what is kept or refused in `range`: what a probe asks about.
    Fingerprint {
        /// The settled window.
        range: KeyRange,
        /// Shortens the digest.
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
        /// What differs, in order and without overlaps.
        differences: Vec<Difference>,
        /// Which of them the request is to be about: how many keys are held there is counted anew. The others only tell how messages are
        /// missing.
        part: Range<usize>,
        /// Whether the one who is asked said that it differs there, rather than somebody unknown.
        confirmed: bool,
        /// Whether these ranges were sketched before, in vain: then more differs than counts tell.
        again: bool,
        /// Differences in a range that counts have hidden lately, since both sides lacked something.
        hidden: u64,
    },
    /// Answer a neighbour's request.
    Answer {
        /// The request.
        want: Want,
        /// What is held settled here.
        within: KeyRange,
        /// Cost units that may be spent; beyond them ranges get [`Verdict::TooCostly`].
        budget: u64,
        /// Finer spans that may be answered with; beyond them, the same.
        spans: usize,
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
    /// How many keys lie between the difference before this one and it, the same on both sides; `None` if that is not known.
    pub before: Option<u64>,
    /// `Some` if these are several spans with equal ones between them: so many keys at least are held by one side only.
    pub apart: Option<u64>,
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
    Summary(Ihave),
    /// Of [`Job::Summarise`]: the IHAVE would have so many bytes.
    TooLong(usize),
    /// Of [`Job::Fingerprint`].
    Fingerprint(ShortFingerprint),
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
        /// Cost units that were spent.
        cost: u64,
    },
}

/// The index could not be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the group's index could not be read: {0}")]
pub struct IndexFailed(#[from] pub PageError);

impl Job {
    /// Does the work. Pure: the same view and job give the same result.
    ///
    /// Costs a few range fingerprints, and for [`Job::Plan`] and [`Job::Answer`] reading the keys of the ranges that are
    /// sketched or looked for gaps.
    pub fn run(self, view: &View) -> Result<JobResult, IndexFailed> {
        self.run_on(view, &Alone)
    }

    /// [`run`](Self::run) with the help of `workers`: sketches of many keys are made and decoded side by side. The result is the same.
    pub fn run_on(self, view: &View, workers: &dyn Workers) -> Result<JobResult, IndexFailed> {
        Ok(match self {
            Job::Summarise { group, window, spans, salt, budget } => {
                summarise::summarise(view, (group, window, salt), spans, budget)?
            }
            Job::Fingerprint { range, salt } => JobResult::Fingerprint(salt.shorten(&view.held.fingerprint(&range)?)),
            Job::Compare { salt, summary, root, within } => {
                JobResult::Compared(compare::compare(view, &salt, &summary, root.as_ref(), &within)?)
            }
            Job::Plan { salt, differences, part, confirmed, again, hidden } => {
                let margins = plan::Margins { again, hidden };
                JobResult::Planned(plan::plan(view, salt, (&differences, part), (confirmed, margins), workers)?)
            }
            Job::Answer { want, within, budget, spans } => {
                answer::answer(view, &want, within, (budget, spans), workers)?
            }
        })
    }
}
