use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hearken_tree::GroupId;
use libp2p::PeerId;
use libp2p::gossipsub::MessageId;
use tokio::sync::{Notify, oneshot};

use crate::status::Report;

/// IHAVEs that wait for the driver at most; further ones are dropped, which gossipsub takes as "ignore".
const GOSSIP_WAITING: usize = 64;
/// Reports that are asked for at a time at most.
const REPORTS_WAITING: usize = 64;

/// What the host has told and the driver has not yet taken.
///
/// Not a channel, so that telling never blocks the host's event loop and yet nothing is lost: connections and notes are
/// state, and what is told twice is kept once.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    told: Mutex<Told>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Told {
    connections: BTreeMap<PeerId, Connection>,
    connects: u64,
    news: News,
}

#[derive(Debug)]
struct Connection {
    /// Which of all the connects this is: a peer that left and came back has another one.
    epoch: u64,
    /// Open connections to the peer.
    open: u32,
}

/// What is new since the driver last asked.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Peers that came or went, with their present connect; `None` for those that are gone.
    pub(crate) peers: BTreeMap<PeerId, Option<u64>>,
    /// Peers of which the host knows that they do not speak the protocol.
    pub(crate) unsupported: BTreeSet<PeerId>,
    /// IHAVEs as they came over gossip.
    pub(crate) gossip: VecDeque<Gossiped>,
    /// Groups of which a live message was stored.
    pub(crate) live: BTreeSet<GroupId>,
    /// Groups that somebody wants synchronised now.
    pub(crate) sync: BTreeSet<GroupId>,
    /// Settings to take from now on.
    pub(crate) config: Option<Box<hearken_scheduler::Config>>,
    /// Whether to pause, or to go on.
    pub(crate) pause: Option<bool>,
    /// Who may take part in a group from now on.
    pub(crate) allow: BTreeMap<GroupId, Option<BTreeSet<PeerId>>>,
    /// Who wants to know how things stand.
    pub(crate) reports: Vec<oneshot::Sender<Report>>,
}

/// A message on a control topic.
#[derive(Clone, Debug)]
pub(crate) struct Gossiped {
    /// The neighbour that forwarded it.
    pub(crate) source: PeerId,
    /// Gossipsub's name for it.
    pub(crate) id: MessageId,
    /// What it says.
    pub(crate) data: Bytes,
}

impl Inbox {
    /// There are now `open` connections to the peer, one more than before.
    pub(crate) fn connected(&self, peer: PeerId, open: u32) {
        self.tell(|told| {
            let next = told.connects + 1;
            let connection = told.connections.entry(peer).or_insert(Connection { epoch: next, open });
            connection.open = open;
            if connection.epoch == next {
                told.connects = next;
                told.news.peers.insert(peer, Some(next));
            }
        });
    }

    /// There are now `open` connections to the peer, one less than before.
    pub(crate) fn disconnected(&self, peer: PeerId, open: u32) {
        self.tell(|told| {
            if open > 0 {
                if let Some(connection) = told.connections.get_mut(&peer) {
                    connection.open = open;
                }
            } else if told.connections.remove(&peer).is_some() {
                told.news.peers.insert(peer, None);
                told.news.unsupported.remove(&peer);
            }
        });
    }

    pub(crate) fn unsupported(&self, peer: PeerId) {
        self.tell(|told| {
            if told.connections.contains_key(&peer) {
                told.news.unsupported.insert(peer);
            }
        });
    }

    /// Hands over an IHAVE; `false` if it was dropped since too many wait.
    pub(crate) fn gossip(&self, gossiped: Gossiped) -> bool {
        self.tell(|told| {
            let room = told.news.gossip.len() < GOSSIP_WAITING;
            if room {
                told.news.gossip.push_back(gossiped);
            }
            room
        })
    }

    pub(crate) fn live(&self, group: GroupId) {
        self.tell(|told| told.news.live.insert(group));
    }

    pub(crate) fn sync_now(&self, group: GroupId) {
        self.tell(|told| told.news.sync.insert(group));
    }

    pub(crate) fn reconfigure(&self, config: hearken_scheduler::Config) {
        self.tell(|told| told.news.config = Some(Box::new(config)));
    }

    pub(crate) fn pause(&self, paused: bool) {
        self.tell(|told| told.news.pause = Some(paused));
    }

    pub(crate) fn allow(&self, group: GroupId, peers: Option<BTreeSet<PeerId>>) {
        self.tell(|told| told.news.allow.insert(group, peers));
    }

    /// Asks how things stand; the receiver fails if too many ask at once, or the driver has ended.
    pub(crate) fn report(&self) -> oneshot::Receiver<Report> {
        let (asker, report) = oneshot::channel();
        self.tell(|told| {
            if told.news.reports.len() < REPORTS_WAITING {
                told.news.reports.push(asker);
            }
        });
        report
    }

    /// Waits until something is new, and takes it. Loses nothing when dropped.
    pub(crate) async fn news(&self) -> News {
        self.changed.notified().await;
        mem::take(&mut self.lock().news)
    }

    fn tell<T>(&self, change: impl FnOnce(&mut Told) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_one();
        result
    }

    /// A poisoned lock means that a host's thread panicked between two plain assignments: what is there is still good.
    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn what_is_told_is_taken_once() {
        let (inbox, peer, group) = (Inbox::default(), PeerId::random(), GroupId([1; 16]));
        assert!(inbox.news().now_or_never().is_none());
        inbox.connected(peer, 1);
        inbox.connected(peer, 2);
        inbox.live(group);
        inbox.live(group);
        let news = inbox.news().now_or_never().unwrap();
        assert_eq!(news.peers, BTreeMap::from([(peer, Some(1))]));
        assert_eq!(news.live, BTreeSet::from([group]));
        assert!(inbox.news().now_or_never().is_none());
    }

    #[test]
    fn who_left_and_came_back_is_another_connect() {
        let (inbox, peer) = (Inbox::default(), PeerId::random());
        inbox.connected(peer, 1);
        inbox.connected(peer, 2);
        inbox.disconnected(peer, 1);
        assert_eq!(inbox.news().now_or_never().unwrap().peers, BTreeMap::from([(peer, Some(1))]));
        inbox.unsupported(peer);
        inbox.disconnected(peer, 0);
        inbox.connected(peer, 1);
        let news = inbox.news().now_or_never().unwrap();
        assert_eq!(news.peers, BTreeMap::from([(peer, Some(2))]));
        assert!(news.unsupported.is_empty(), "it may speak the protocol now");
        inbox.disconnected(peer, 0);
        inbox.unsupported(peer);
        let news = inbox.news().now_or_never().unwrap();
        assert_eq!((news.peers, news.unsupported), (BTreeMap::from([(peer, None)]), BTreeSet::new()));
    }

    #[test]
    fn gossip_that_comes_too_fast_is_dropped() {
        let (inbox, source) = (Inbox::default(), PeerId::random());
        let gossiped = Gossiped { source, id: MessageId::new(b"id"), data: Bytes::new() };
        let taken = (0..2 * GOSSIP_WAITING).filter(|_| inbox.gossip(gossiped.clone())).count();
        assert_eq!(taken, GOSSIP_WAITING);
        assert_eq!(inbox.news().now_or_never().unwrap().gossip.len(), GOSSIP_WAITING);
        assert!(inbox.gossip(gossiped));
    }
}
