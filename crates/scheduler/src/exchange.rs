//! A request to a neighbour while it is under way.
use std::time::Duration;

use hearken_tree::{GroupId, KeyRange};
use hearken_wire::{Answer, Ask, RangeWant, Salt, Summary, Verdict};

use crate::{Offence, pursuit::TaskId};

/// What started a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trigger {
    /// The group's interval.
    Periodic,
    /// The first neighbour after start.
    Boot,
    /// No live message for a while.
    Idle,
    /// A neighbour connected.
    Reconnect,
    /// Somebody asked for it.
    Manual,
    /// An announcement that would be costly to follow, or a neighbour that lied: another is asked.
    Doubt,
    /// A neighbour that holds more by its probe, or what it said was false or has not been followed: it is asked itself.
    Suspect,
    /// A range that was too costly as it was asked.
    Narrow,
    /// A repair after which more is probably missing, or one that brought what a neighbour lacks.
    FollowUp,
}

impl Trigger {
    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Trigger::Periodic => "periodic",
            Trigger::Boot => "boot",
            Trigger::Idle => "idle",
            Trigger::Reconnect => "reconnect",
            Trigger::Manual => "manual",
            Trigger::Doubt => "doubt",
            Trigger::Suspect => "suspect",
            Trigger::Narrow => "narrow",
            Trigger::FollowUp => "follow_up",
        }
    }
}

/// Why a request was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To fetch what tasks are about.
    Fetch,
    /// To compare.
    Probe(Trigger),
    /// To fetch what a neighbour's request showed to be missing here.
    AskBack,
}

/// What was asked of a range, without the sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) range: KeyRange,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    All,
    Check { ours: u64 },
    Sketch { ours: u64, capacity: u64 },
    Ids(u64),
}

/// Messages promised for a range.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    pub(crate) task: TaskId,
    pub(crate) range: KeyRange,
    /// How many keys the provider has there.
    pub(crate) theirs: u64,
    /// All that it has there, not only what a sketch or ids named.
    pub(crate) whole: bool,
}

/// A request under way.
#[derive(Clone, Debug)]
pub(crate) struct Exchange<P> {
    pub(crate) group: GroupId,
    pub(crate) peer: P,
    pub(crate) purpose: Purpose,
    pub(crate) salt: Salt,
    pub(crate) asked: Vec<Asked>,
    pub(crate) tasks: Vec<TaskId>,
    /// How many times finer spans led here.
    pub(crate) depth: u32,
    pub(crate) answered: bool,
    /// The peer probes this node at the same time, and is to go on from there.
    pub(crate) yielded: bool,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) promised: u64,
    pub(crate) received: u64,
    /// Bytes of the request and of its answer, about, and of the messages that came.
    pub(crate) bytes: [u64; 3],
    /// Batches of messages that are being stored.
    pub(crate) admitting: u32,
    /// Nothing more will come.
    pub(crate) over: bool,
    /// What was promised has not been stored entirely.
    pub(crate) incomplete: bool,
    /// It promised messages and brought none.
    pub(crate) lied: bool,
    /// When it is given up unless something happens.
    pub(crate) deadline: Duration,
}

impl<P> Exchange<P> {
    pub(crate) fn new(group: GroupId, peer: P, purpose: Purpose, salt: Salt, deadline: Duration) -> Exchange<P> {
        Exchange {
            group,
            peer,
            purpose,
            salt,
            asked: Vec::new(),
            tasks: Vec::new(),
            depth: 0,
            answered: false,
            yielded: false,
            deliveries: Vec::new(),
            promised: 0,
            received: 0,
            bytes: [0; 3],
            admitting: 0,
            over: false,
            incomplete: false,
            lied: false,
            deadline,
        }
    }

    /// Checks that an answer can be one to this request.
    pub(crate) fn check(&self, answer: &Answer) -> Result<(), Offence> {
        let fits = !self.answered
            && answer.verdicts.len() == self.asked.len()
            && self.asked.iter().zip(answer.verdicts.iter()).all(|(asked, verdict)| asked.fits(&verdict));
        let promised = answer.verdicts.iter().try_fold(0u64, |sum, verdict| match verdict {
            Verdict::Deliver { count, .. } => sum.checked_add(count),
            _ => Some(sum),
        });
        if fits && promised.is_some() { Ok(()) } else { Err(Offence::Nonsense) }
    }
}

impl Asked {
    pub(crate) fn of(want: &RangeWant) -> Asked {
        let length = |ids: &Vec<u32>| ids.len() as u64;
        let kind = match &want.ask {
            Ask::All => Kind::All,
            Ask::Check(fingerprint) => Kind::Check { ours: fingerprint.count },
            Ask::Sketch { fingerprint, syndromes } => {
                Kind::Sketch { ours: fingerprint.count, capacity: length(syndromes) }
            }
            Ask::Ids(ids) => Kind::Ids(length(ids)),
        };
        Asked { range: want.range, kind }
    }

    /// How many keys they have here, if they deliver so many and lack so many.
    pub(crate) fn theirs(&self, delivered: u64, lacks: u64) -> u64 {
        match self.kind {
            Kind::Sketch { ours, .. } => ours.saturating_add(delivered).saturating_sub(lacks),
            _ => delivered,
        }
    }

    /// Whether the verdict can be an answer to this.
    fn fits(&self, verdict: &Verdict) -> bool {
        match (verdict, self.kind) {
            (Verdict::Outside | Verdict::TooCostly, _) | (Verdict::Equal, Kind::Check { .. } | Kind::Sketch { .. }) => {
                true
            }
            (Verdict::Finer(summary), Kind::Check { .. } | Kind::Sketch { .. }) => self.narrows(summary),
            (Verdict::Deliver { lacks, .. }, Kind::All | Kind::Ids(_)) => lacks.is_empty(),
            (Verdict::Deliver { lacks, .. }, Kind::Sketch { ours, capacity }) => {
                let lacks = lacks.len() as u64;
                lacks <= ours && lacks <= capacity
            }
            _ => false,
        }
    }

    fn narrows(&self, summary: &Summary) -> bool {
        let counts = summary.spans().try_fold(0u64, |sum, span| sum.checked_add(span.fingerprint.count));
        // One span says nothing new, but of a single message.
        let finer = summary.len() > 1 || counts.is_some_and(|count| count <= 1);
        counts.is_some() && finer && summary.range().is_none_or(|range| self.range.covers(&range))
    }
}

/// Bytes of a request or an answer beside its ranges or verdicts, roughly.
pub(crate) const HEAD: usize = 48;

/// Bytes that a verdict takes in an answer, roughly.
pub(crate) fn verdict_weight(verdict: &Verdict) -> usize {
    match verdict {
        Verdict::Deliver { lacks, .. } => 2 + 4 * lacks.len(),
        Verdict::Finer(summary) => 4 + 13 * summary.len(),
        _ => 1,
    }
}

/// Bytes that a range takes in a request, roughly.
pub(crate) fn weight(want: &RangeWant) -> usize {
    match &want.ask {
        Ask::All => 16,
        Ask::Check(_) => 28,
        Ask::Sketch { syndromes, .. } => 24 + 4 * syndromes.len(),
        Ask::Ids(ids) => 16 + 4 * ids.len(),
    }
}
