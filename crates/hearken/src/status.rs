use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hearken_scheduler::{Admitted, GroupStatus, Offence, PeerStatus};
use hearken_tree::GroupId;
use hearken_wire::Frame;
use libp2p::PeerId;

/// Something that the host may want to log or show.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Messages that a neighbour delivered were verified, stored durably and indexed.
    Repaired {
        /// The group that was repaired.
        group: GroupId,
        /// What became of the messages.
        admitted: Admitted,
    },
    /// A neighbour's request was served.
    Served {
        /// The neighbour.
        peer: PeerId,
        /// The group.
        group: GroupId,
        /// Messages sent.
        messages: u64,
        /// Bytes of these messages.
        bytes: u64,
    },
    /// A peer does not speak the protocol.
    Unsupported(PeerId),
    /// A peer broke the protocol.
    Offended {
        /// The peer.
        peer: PeerId,
        /// What it did.
        offence: Offence,
    },
}

/// What the task has done since it was spawned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Peers that are connected.
    pub peers: u64,
    /// Streams that are open, in both directions.
    pub streams: u64,
    /// Messages that neighbours delivered and that were stored.
    pub repaired: u64,
    /// Messages that neighbours delivered although they were held already.
    pub duplicates: u64,
    /// Messages that neighbours delivered and that the admission predicate refused.
    pub refused: u64,
    /// Messages that neighbours delivered although nobody had asked for them, or that were none.
    pub unasked: u64,
    /// Messages that neighbours delivered and that could not be stored.
    pub failed: u64,
    /// Messages sent to neighbours.
    pub served: u64,
    /// IHAVEs published.
    pub announcements: u64,
    /// IHAVEs heard.
    pub heard: u64,
    /// IWANTs sent, probes included: each is one exchange.
    pub exchanges: u64,
    /// What was sent.
    pub bytes: Traffic,
    /// IHAVEs, reports and scores that were dropped because the host did not take its [`Commands`](crate::Commands), and
    /// IHAVEs from others that came too fast.
    pub dropped: u64,
}

/// How things stand, in the engine's eyes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Each group.
    pub groups: Vec<GroupStatus>,
    /// Each peer that is connected or has something on record.
    pub peers: Vec<PeerStatus<PeerId>>,
}

/// Bytes sent, by kind: encoded frames with their length prefix. What a gossipsub forwards belongs to the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Own IHAVEs, once each, without gossipsub's envelope.
    pub ihave: u64,
    /// IWANTs, probes and cancellations.
    pub request: u64,
    /// Answers, ends and refusals.
    pub answer: u64,
    /// Messages.
    pub payload: u64,
}

impl Traffic {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.ihave + self.request + self.answer + self.payload
    }
}

/// [`Status`] as it grows.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) peers: AtomicU64,
    pub(crate) streams: AtomicU64,
    repaired: AtomicU64,
    duplicates: AtomicU64,
    refused: AtomicU64,
    unasked: AtomicU64,
    failed: AtomicU64,
    served: AtomicU64,
    announcements: AtomicU64,
    pub(crate) heard: AtomicU64,
    exchanges: AtomicU64,
    ihave: AtomicU64,
    request: AtomicU64,
    answer: AtomicU64,
    payload: AtomicU64,
    dropped: AtomicU64,
}

impl Counters {
    /// An IHAVE of `size` bytes was published.
    pub(crate) fn announced(&self, size: usize) {
        self.announcements.fetch_add(1, Relaxed);
        self.ihave.fetch_add(size as u64, Relaxed);
    }

    /// The frame was written to a stream in `size` bytes.
    pub(crate) fn written(&self, frame: &Frame, size: usize) {
        let kind = match frame {
            Frame::Want(_) => {
                self.exchanges.fetch_add(1, Relaxed);
                &self.request
            }
            Frame::Cancel { .. } => &self.request,
            Frame::Answer(_) | Frame::Done { .. } | Frame::Refusal(_) => &self.answer,
            Frame::Messages { messages, .. } => {
                self.served.fetch_add(messages.len() as u64, Relaxed);
                &self.payload
            }
        };
        kind.fetch_add(size as u64, Relaxed);
    }

    /// Something was dropped for want of room.
    pub(crate) fn dropped(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    /// A batch of delivered messages was judged.
    pub(crate) fn admitted(&self, admitted: &Admitted) {
        self.repaired.fetch_add(admitted.stored, Relaxed);
        self.duplicates.fetch_add(admitted.duplicates, Relaxed);
        self.refused.fetch_add(admitted.refused, Relaxed);
        self.unasked.fetch_add(admitted.unasked, Relaxed);
        self.failed.fetch_add(admitted.failed, Relaxed);
    }

    pub(crate) fn status(&self) -> Status {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        Status {
            peers: read(&self.peers),
            streams: read(&self.streams),
            repaired: read(&self.repaired),
            duplicates: read(&self.duplicates),
            refused: read(&self.refused),
            unasked: read(&self.unasked),
            failed: read(&self.failed),
            served: read(&self.served),
            announcements: read(&self.announcements),
            heard: read(&self.heard),
            exchanges: read(&self.exchanges),
            bytes: Traffic {
                ihave: read(&self.ihave),
                request: read(&self.request),
                answer: read(&self.answer),
                payload: read(&self.payload),
            },
            dropped: read(&self.dropped),
        }
    }
}
