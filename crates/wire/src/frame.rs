use bytes::Bytes;
use hearken_tree::{GroupId, KeyRange};

use crate::{List, Salt, ShortFingerprint, Summary, TinyFingerprint, Window};

/// Names a request on one stream: chosen by the requester, never reused by it on that stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What travels on the stream between two neighbours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// An IWANT: key ranges that the sender compares or lacks.
    Want(Want),
    /// Opens the answer to a [`Want`].
    Answer(Answer),
    /// Some of the messages that an answer promised, each as the bytes that the publisher sent.
    Messages {
        /// The request that asked for them.
        request: RequestId,
        /// The messages, in the order of their keys.
        messages: Vec<Bytes>,
    },
    /// Everything that an answer promised has been sent.
    Done {
        /// The request that is complete.
        request: RequestId,
    },
    /// The request is not, or no longer, served.
    Refusal(Refusal),
    /// The requester wants no more of a request.
    Cancel {
        /// The request to stop.
        request: RequestId,
    },
}

/// An IWANT: one request for any number of ranges of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// The request's name in the answer.
    pub request: RequestId,
    /// The set in question.
    pub group: GroupId,
    /// Keys the short digests and short ids in the request and in its answer.
    pub salt: Salt,
    /// What the requester holds settled: it serves, and can compare, no more than this.
    pub holds: Window,
    /// What it wants: in order, without overlaps, nothing before `holds`.
    pub ranges: List<RangeWant>,
}

/// What a [`Want`] asks of one range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeWant {
    /// Which keys; never empty.
    pub range: KeyRange,
    /// What about them.
    pub ask: Ask,
}

/// The question about a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// I hold nothing here: send everything.
    All,
    /// Do you hold the same? A request of one `Check` over the whole window is a probe.
    Check(ShortFingerprint),
    /// I hold this; find out what I lack, and send it.
    Sketch {
        /// Count and digest of what the requester holds in the range.
        fingerprint: TinyFingerprint,
        /// PinSketch syndromes of the salted short ids of what it holds there; as many as the sketch's capacity.
        syndromes: Vec<u32>,
    },
    /// Send the messages in the range with these short ids under the request's salt.
    Ids(Vec<u32>),
}

/// Opens the answer to a [`Want`]: a verdict for each of its ranges, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The request that is answered.
    pub request: RequestId,
    /// What the provider holds settled; ranges outside it get [`Verdict::Outside`].
    pub holds: Window,
    /// One verdict for each range of the request.
    pub verdicts: List<Verdict>,
}

/// What the provider says of one range of a [`Want`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not wholly inside what the provider holds settled.
    Outside,
    /// The provider holds exactly the same.
    Equal,
    /// The sets differ; these spans, of what the provider holds in the part of the range that it holds settled, show where.
    Finer(Summary),
    /// Messages follow.
    Deliver {
        /// How many messages of this range follow.
        count: u64,
        /// Short ids, under the request's salt, of what the requester holds here and the provider lacks.
        lacks: Vec<u32>,
    },
    /// Answering this range as asked would cost too much: narrow it first.
    TooCostly,
}

/// Why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The request that is refused.
    pub request: RequestId,
    /// Why.
    pub reason: RefusalReason,
}

/// Why a request is not served, and so what the requester should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RefusalReason {
    /// Too much to do right now: try again later or elsewhere.
    Busy,
    /// This kind of request is not served here: do not send it again.
    Unsupported,
    /// The provider has not joined the group.
    UnknownGroup,
    /// The request as a whole is over the provider's budget: ask for less.
    TooCostly,
    /// The requester has used up what it may ask for in this time: try again later.
    RateLimited,
    /// The provider failed to read its own store: try elsewhere.
    Failed,
}
