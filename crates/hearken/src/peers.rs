use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hearken_wire::{Frame, RequestId, Verdict};
use libp2p::PeerId;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::stream::{Link, StreamId};

/// How long streams of a peer are refused after one that brought garbage.
const GARBAGE_PAUSE: Duration = Duration::from_secs(30);

/// The peers and their streams, as the driver sees them.
///
/// A peer is here while the host says that it is connected. A stream may arrive a moment before the host says so: then its
/// peer is here as long as that stream.
#[derive(Default)]
pub(crate) struct Peers {
    peers: BTreeMap<PeerId, Peer>,
    /// Whether peers or streams came or went.
    changed: bool,
}

/// One peer.
#[derive(Default)]
struct Peer {
    /// Which of the host's connects this is; `None` if only a stream is known.
    connect: Option<u64>,
    asking: Option<Asking>,
    answering: Option<Answering>,
    refused_until: Option<Instant>,
}

/// The stream that this node opened to a peer, or is opening.
pub(crate) struct Asking {
    pub(crate) id: StreamId,
    pub(crate) queue: mpsc::Sender<Frame>,
    pub(crate) task: AbortHandle,
    /// Requests whose answers have not come in full.
    pub(crate) open: BTreeSet<RequestId>,
    /// Last use.
    pub(crate) used: Instant,
}

/// The stream that a peer opened.
pub(crate) struct Answering {
    pub(crate) id: StreamId,
    pub(crate) answers: mpsc::Sender<Frame>,
    pub(crate) messages: mpsc::Sender<Frame>,
    pub(crate) task: AbortHandle,
}

/// What taking note of a peer changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing.
    None,
    /// It is new.
    Came,
    /// It is gone.
    Left,
    /// It left and came back.
    Returned,
}

impl Drop for Asking {
    /// Dropping the queue alone closes the stream politely; a task that still opens it, or whose peer does not read, would wait.
    fn drop(&mut self) {
        if !self.open.is_empty() {
            self.task.abort();
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peers {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// How many streams are open, in both directions.
    pub(crate) fn streams(&self) -> usize {
        let streams = |peer: &Peer| usize::from(peer.asking.is_some()) + usize::from(peer.answering.is_some());
        self.peers.values().map(streams).sum()
    }

    /// Whether peers or streams came or went since this was last asked.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// How many peers have a stream open to here.
    pub(crate) fn inbound(&self) -> usize {
        self.peers.values().filter(|peer| peer.answering.is_some()).count()
    }

    /// Takes note of what the host says of a peer: which connect it is, or that it is gone.
    pub(crate) fn note(&mut self, id: PeerId, connect: Option<u64>) -> Change {
        self.changed = true;
        let Some(connect) = connect else {
            return if self.peers.remove(&id).is_some() { Change::Left } else { Change::None };
        };
        match self.peers.get_mut(&id) {
            None => {
                self.peers.insert(id, Peer { connect: Some(connect), ..Peer::default() });
                Change::Came
            }
            Some(peer) => match peer.connect {
                Some(known) if known == connect => Change::None,
                Some(_) => {
                    *peer = Peer { connect: Some(connect), ..Peer::default() };
                    Change::Returned
                }
                None => {
                    peer.connect = Some(connect);
                    Change::None
                }
            },
        }
    }

    /// The stream to the peer, if there is one.
    pub(crate) fn asking(&mut self, id: &PeerId) -> Option<&mut Asking> {
        self.peers.get_mut(id)?.asking.as_mut()
    }

    /// Takes note of a stream to a peer that is here, in place of one that has ended. Returns the requests on that one that will
    /// not be answered.
    pub(crate) fn set_asking(&mut self, id: &PeerId, asking: Asking) -> BTreeSet<RequestId> {
        self.changed = true;
        let Some(peer) = self.peers.get_mut(id) else { return BTreeSet::new() };
        let before = peer.asking.replace(asking);
        before.map(|mut before| std::mem::take(&mut before.open)).unwrap_or_default()
    }

    /// The stream from the peer, if there is one.
    pub(crate) fn answering(&self, id: &PeerId) -> Option<&Answering> {
        self.peers.get(id)?.answering.as_ref()
    }

    /// Whether a stream of this peer would be refused.
    pub(crate) fn refuses(&self, id: &PeerId, now: Instant) -> bool {
        self.peers.get(id).and_then(|peer| peer.refused_until).is_some_and(|until| now < until)
    }

    /// Takes note of a stream from the peer, in place of an older one, which its opener has given up.
    pub(crate) fn set_answering(&mut self, id: PeerId, answering: Answering) -> Change {
        self.changed = true;
        let known = self.peers.contains_key(&id);
        self.peers.entry(id).or_default().answering = Some(answering);
        if known { Change::None } else { Change::Came }
    }

    /// Drops the stream from the peer: it does not take its answers.
    pub(crate) fn drop_answering(&mut self, id: &PeerId) -> Change {
        self.changed = true;
        if let Some(peer) = self.peers.get_mut(id) {
            peer.answering = None;
        }
        self.forget_unconnected(id)
    }

    /// Whether this is a stream of now, so that what it brought counts.
    pub(crate) fn is_current(&self, link: &Link) -> bool {
        self.peers.get(&link.peer).is_some_and(|peer| {
            peer.asking.as_ref().is_some_and(|asking| asking.id == link.id)
                || peer.answering.as_ref().is_some_and(|answering| answering.id == link.id)
        })
    }

    /// Takes note that a stream ended. Returns the requests on it that will not be answered, and what that means for the peer.
    pub(crate) fn ended(&mut self, link: &Link, garbage: bool, now: Instant) -> (BTreeSet<RequestId>, Change) {
        self.changed = true;
        let mut unanswered = BTreeSet::new();
        if let Some(peer) = self.peers.get_mut(&link.peer) {
            if peer.asking.as_ref().is_some_and(|asking| asking.id == link.id)
                && let Some(mut asking) = peer.asking.take()
            {
                unanswered = std::mem::take(&mut asking.open);
            }
            if peer.answering.as_ref().is_some_and(|answering| answering.id == link.id) {
                peer.answering = None;
            }
            if garbage {
                peer.refused_until = Some(now + GARBAGE_PAUSE);
            }
        }
        (unanswered, self.forget_unconnected(&link.peer))
    }

    /// Closes streams on which nothing was asked for `idle`.
    pub(crate) fn close_idle(&mut self, idle: Duration, now: Instant) {
        self.changed = true;
        for peer in self.peers.values_mut() {
            peer.asking.take_if(|asking| asking.open.is_empty() && now.saturating_duration_since(asking.used) >= idle);
        }
    }

    fn forget_unconnected(&mut self, id: &PeerId) -> Change {
        let forget = |peer: &Peer| peer.connect.is_none() && peer.answering.is_none();
        if self.peers.get(id).is_some_and(forget) && self.peers.remove(id).is_some() {
            Change::Left
        } else {
            Change::None
        }
    }
}

impl Asking {
    /// Takes note of a frame that is to be sent.
    pub(crate) fn sending(&mut self, frame: &Frame, now: Instant) {
        self.used = now;
        match frame {
            Frame::Want(want) => {
                self.open.insert(want.request);
            }
            Frame::Cancel { request } => {
                self.open.remove(request);
            }
            _ => {}
        }
    }

    /// Takes note of a frame that came.
    pub(crate) fn received(&mut self, frame: &Frame, now: Instant) {
        self.used = now;
        match frame {
            Frame::Answer(answer) if !answer.verdicts.iter().any(|verdict| delivers(&verdict)) => {
                self.open.remove(&answer.request);
            }
            Frame::Done { request } => {
                self.open.remove(request);
            }
            Frame::Refusal(refusal) => {
                self.open.remove(&refusal.request);
            }
            _ => {}
        }
    }
}

fn delivers(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Deliver { count, .. } if *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answering(id: u64) -> Answering {
        let (answers, messages) = (mpsc::channel(1).0, mpsc::channel(1).0);
        Answering { id: StreamId(id), answers, messages, task: tokio::spawn(async {}).abort_handle() }
    }

    #[test]
    fn connects_are_told_apart() {
        let (mut peers, peer) = (Peers::default(), PeerId::random());
        assert_eq!(peers.note(peer, Some(1)), Change::Came);
        assert_eq!(peers.note(peer, Some(1)), Change::None);
        assert_eq!(peers.note(peer, Some(2)), Change::Returned);
        assert_eq!(peers.note(peer, None), Change::Left);
        assert_eq!(peers.note(peer, None), Change::None);
    }

    #[tokio::test]
    async fn a_stream_that_comes_before_its_connection_counts() {
        let (mut peers, peer) = (Peers::default(), PeerId::random());
        let (first, second) = (Link { peer, id: StreamId(1) }, Link { peer, id: StreamId(2) });
        assert_eq!(peers.set_answering(peer, answering(1)), Change::Came);
        assert_eq!(peers.set_answering(peer, answering(2)), Change::None);
        assert!(!peers.is_current(&first) && peers.is_current(&second));
        assert_eq!(peers.note(peer, Some(1)), Change::None, "it is there already");
        assert_eq!(peers.ended(&second, false, Instant::now()).1, Change::None, "it is still connected");
        assert_eq!(peers.note(peer, None), Change::Left);

        assert_eq!(peers.set_answering(peer, answering(3)), Change::Came);
        assert_eq!(peers.ended(&Link { peer, id: StreamId(3) }, false, Instant::now()).1, Change::Left);
    }
}
