use std::time::Duration;

use hearken_tree::GroupId;
use hearken_wire::{Frame, Ihave, RequestId};

use crate::{IndexFailed, JobResult};

/// The time, as the driver sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotone, since any fixed moment: deadlines count in it.
    pub monotonic: Duration,
    /// Wall clock, nanoseconds since the Unix epoch: horizons count in it. It may jump.
    pub unix: u64,
}

/// Ties a result to the [`Action`](crate::Action) that asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The driver's name for a gossip message that waits for its [`Action::Judge`](crate::Action::Judge).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GossipId(pub u64);

/// What can happen to a node. `P` names a peer.
#[derive(Clone, Debug)]
pub enum Event<P> {
    /// The deadline has come.
    Wake,
    /// A peer that may speak the protocol is connected; frames can be sent to it.
    Connected(P),
    /// A peer is gone; whatever was under way with it is over.
    Disconnected(P),
    /// A peer turned out not to speak the protocol.
    Unsupported(P),
    /// An IHAVE came over gossip. It must be answered by one [`Action::Judge`](crate::Action::Judge).
    Gossip {
        /// The neighbour that forwarded it, not its author.
        from: P,
        /// Its name for the verdict.
        id: GossipId,
        /// What it says.
        ihave: Ihave,
    },
    /// A frame came over a neighbour's own stream.
    Frame {
        /// Who sent it.
        from: P,
        /// What it says.
        frame: Frame,
    },
    /// What came over a neighbour's own stream was no frame (garbage, oversized) and the stream was closed.
    Garbage(P),
    /// A request of this node could not be sent, or will not be answered: the stream could not be opened, broke, or its queue is
    /// full.
    SendFailed {
        /// Whom it was for.
        to: P,
        /// The request. A peer's own requests may have the same names, and are not meant.
        request: RequestId,
    },
    /// An [`Action::Index`](crate::Action::Index) is done.
    Indexed {
        /// The action's ticket.
        ticket: Ticket,
        /// What came of it.
        result: Result<JobResult, IndexFailed>,
    },
    /// An [`Action::Admit`](crate::Action::Admit) is done: what is stored is durable and indexed.
    Admitted {
        /// The action's ticket.
        ticket: Ticket,
        /// What came of it.
        outcome: Admitted,
    },
    /// An [`Action::Serve`](crate::Action::Serve) is over.
    Served {
        /// Whom it was for.
        to: P,
        /// Their request.
        request: RequestId,
        /// How it ended.
        outcome: ServeOutcome,
    },
    /// A live message of the group was stored.
    Live(GroupId),
    /// The archive keeps nothing before this time (nanoseconds since the Unix epoch), in any group, whatever its retention: what
    /// is older is neither announced, nor compared, nor asked for. To be told now and then by archives that are bounded by size.
    KeptFrom(u64),
    /// Somebody asks for the group to be synchronised now.
    SyncNow(GroupId),
}

/// What became of a batch of delivered messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// Newly stored.
    pub stored: u64,
    /// Held before: received for nothing.
    pub duplicates: u64,
    /// Refused by the admission predicate: remembered as refused, never asked for again.
    pub refused: u64,
    /// Not messages, or outside the ranges that were asked: the peer lies.
    pub unasked: u64,
    /// Not stored because the archive failed; may be asked for again.
    pub failed: u64,
}

/// How serving a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServeOutcome {
    /// Everything was sent.
    Complete {
        /// Messages sent.
        messages: u64,
        /// Bytes sent.
        bytes: u64,
    },
    /// The stream broke, or the requester cancelled.
    Stopped {
        /// Messages sent.
        messages: u64,
        /// Bytes sent.
        bytes: u64,
    },
    /// The archive failed.
    Failed,
}
