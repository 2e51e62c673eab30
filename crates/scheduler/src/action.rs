use bytes::Bytes;
use hearken_tree::{GroupId, Key, KeyRange};
use hearken_wire::{Frame, Ihave, RequestId};

use crate::{GossipId, Job, Ticket};

/// What the engine asks its driver to do. `P` names a peer.
#[derive(Clone, Debug)]
pub enum Action<P> {
    /// Publish on the control topic of the group's pubsub topic.
    Announce(Ihave),
    /// Tell gossipsub what to do with a message that came in [`Event::Gossip`](crate::Event::Gossip).
    Judge {
        /// Which message.
        id: GossipId,
        /// Forward it or not.
        verdict: GossipVerdict,
    },
    /// Send a frame over the warm stream to a connected peer, opening it if need be.
    Send {
        /// To whom.
        to: P,
        /// What.
        frame: Frame,
    },
    /// Run [`Job::run`] on a view of the group's index, on a blocking pool; answer with [`Event::Indexed`](crate::Event::Indexed).
    Index {
        /// Goes into the answer.
        ticket: Ticket,
        /// Which group.
        group: GroupId,
        /// What to compute.
        job: Job,
    },
    /// Verify delivered messages and store them durably; answer with [`Event::Admitted`](crate::Event::Admitted).
    Admit {
        /// Goes into the answer.
        ticket: Ticket,
        /// Which group they were asked for.
        group: GroupId,
        /// The ranges that were asked for: a message outside them is [`unasked`](crate::Admitted::unasked).
        asked: Vec<KeyRange>,
        /// The messages as they came.
        messages: Vec<Bytes>,
        /// Whether these are the last of what one request brings: the next one to this peer waits for them.
        last: bool,
    },
    /// Stream these messages to a peer in [`Frame::Messages`], then [`Frame::Done`]; memory bounded, at the peer's pace; answer
    /// with [`Event::Served`](crate::Event::Served). The [`Frame::Answer`] before it is an [`Action::Send`] of its own.
    Serve {
        /// To whom.
        to: P,
        /// Their request.
        request: RequestId,
        /// Which group.
        group: GroupId,
        /// What to send, in order.
        selection: Vec<Selection>,
    },
    /// Stop an [`Action::Serve`]; answer with [`Event::Served`](crate::Event::Served) all the same.
    StopServing {
        /// Whom it is for.
        to: P,
        /// Their request.
        request: RequestId,
    },
    /// A peer broke the protocol; the host may lower its score. The engine acts on it by itself as well.
    Report {
        /// Who.
        peer: P,
        /// What it did.
        offence: Offence,
    },
}

/// Messages to be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The first `count` messages of the group in a range, in order: as many as were promised, even if more have come since.
    Range {
        /// Where.
        range: KeyRange,
        /// How many.
        count: u64,
    },
    /// These messages, in order.
    Keys(Vec<Key>),
}

/// What gossipsub should do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GossipVerdict {
    /// Forward it.
    Accept,
    /// Do not forward it; nobody is to blame.
    Ignore,
    /// Do not forward it, and blame the neighbour that did.
    Reject,
}

/// How a peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Offence {
    /// Sent what is no frame.
    Garbage,
    /// Delivered messages that were not asked for, or that are no messages.
    Unasked,
    /// Did not deliver what it promised.
    BrokenPromise,
    /// Said what cannot be: verdicts that do not fit the request, counts that contradict each other.
    Nonsense,
    /// Asked for more than anyone may.
    Flood,
}
