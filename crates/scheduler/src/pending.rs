//! What index work and admissions were asked for.
use hearken_tree::KeyRange;
use hearken_wire::{RequestId, Salt, Want, Window};

use crate::{
    Trigger,
    pursuit::{TaskId, Way},
};

/// What to do with the result of a [`Job`](crate::Job).
pub(crate) enum Pending<P> {
    /// Publish it: so many spans were asked for.
    Announce { spans: usize },
    /// Ask a peer whether it has the same.
    Probe(Probe<P>),
    /// An announcement was compared.
    Heard { window: Window, salt: Salt },
    /// A neighbour's spans were compared.
    Finer(Finer<P>),
    /// Send a request.
    Plan(Plan<P>),
    /// Send an answer.
    Answer(Asker<P>),
}

impl<P: PartialEq> Pending<P> {
    /// Whether it belongs to a request for what is missing here that is being made, to this peer.
    pub(crate) fn prepares(&self, request_to: &P) -> bool {
        match self {
            // Of all that was to be narrowed down. What was sketched in vain goes on by itself.
            Pending::Finer(finer) => finer.peer == *request_to && finer.task.is_some() && !finer.way.again,
            Pending::Plan(plan) => plan.peer == *request_to,
            _ => false,
        }
    }
}

pub(crate) struct Probe<P> {
    pub(crate) peer: P,
    pub(crate) trigger: Trigger,
    pub(crate) range: KeyRange,
    pub(crate) salt: Salt,
    /// What this probe is to narrow down.
    pub(crate) task: Option<TaskId>,
}

pub(crate) struct Finer<P> {
    pub(crate) peer: P,
    pub(crate) task: Option<TaskId>,
    pub(crate) way: Way,
    /// What was asked, if it was a probe.
    pub(crate) probed: Option<KeyRange>,
}

pub(crate) struct Plan<P> {
    pub(crate) peer: P,
    pub(crate) salt: Salt,
    pub(crate) tasks: Vec<TaskId>,
}

pub(crate) struct Asker<P> {
    pub(crate) peer: P,
    pub(crate) want: WantHead,
    pub(crate) holds: Window,
    /// The group's repairs when it asked: the answer may be of the index as of then.
    pub(crate) repairs: u64,
}

/// What is kept of a request while it is answered.
pub(crate) struct WantHead {
    pub(crate) request: RequestId,
    pub(crate) salt: Salt,
    /// It only compares.
    pub(crate) probe: bool,
    /// The ranges with the counts that the requester said to hold there, if it did.
    pub(crate) ranges: Vec<(KeyRange, Option<u64>)>,
}

impl WantHead {
    pub(crate) fn of(want: &Want) -> WantHead {
        use hearken_wire::Ask;
        let count = |ask: &Ask| match ask {
            Ask::Check(fingerprint) => Some(fingerprint.count),
            Ask::Sketch { fingerprint, .. } => Some(fingerprint.count),
            _ => None,
        };
        let ranges = want.ranges.iter().map(|want| (want.range, count(&want.ask))).collect();
        let probe = want.ranges.only().is_some_and(|only| matches!(only.ask, Ask::Check(_)));
        WantHead { request: want.request, salt: want.salt, probe, ranges }
    }
}

/// Messages that are being stored.
pub(crate) struct Admission<P> {
    pub(crate) peer: P,
    pub(crate) request: RequestId,
    pub(crate) bytes: usize,
}
