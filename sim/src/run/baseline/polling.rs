//! Pairwise polling with the real `negentropy` crate, <https://github.com/hoytech/negentropy>.

use std::collections::BTreeMap;

use hearken_tree::Key;
use negentropy::{Id, Negentropy, NegentropyStorageVector};

use super::{Baseline, Host, read_bounds, read_ids, rounds::Rounds, write_ids};
use crate::{
    net::{Nanos, NodeId},
    run::measure::Kind,
};

/// What a message is for, its first byte.
const OPEN: u8 = 0;
const QUERY: u8 = 1;
const REPLY: u8 = 2;
const WANT: u8 = 3;

/// One node's part.
pub(super) struct Negentropies {
    rounds: Rounds,
    /// Rounds of its own, and rounds of neighbours.
    asking: BTreeMap<NodeId, Session>,
    answering: BTreeMap<NodeId, Session>,
}

struct Session {
    negentropy: Negentropy<'static, NegentropyStorageVector>,
    keys: BTreeMap<[u8; 32], Key>,
    trips: u64,
}

impl Session {
    fn new(keys: Vec<Key>) -> Option<Session> {
        let mut storage = NegentropyStorageVector::with_capacity(keys.len());
        for key in &keys {
            storage.insert(key.timestamp(), Id::from_byte_array(key.id().0)).ok()?;
        }
        storage.seal().ok()?;
        // Without a limit on frames, as its own benchmarks have it.
        let negentropy = Negentropy::owned(storage, 0).ok()?;
        Some(Session { negentropy, keys: keys.into_iter().map(|key| (key.id().0, key)).collect(), trips: 0 })
    }

    fn find(&self, ids: impl IntoIterator<Item = [u8; 32]>) -> Vec<Key> {
        ids.into_iter().filter_map(|id| self.keys.get(&id).copied()).collect()
    }
}

impl Negentropies {
    pub(super) fn new(rounds: Rounds) -> Negentropies {
        Negentropies { rounds, asking: BTreeMap::new(), answering: BTreeMap::new() }
    }

    fn answer(&mut self, from: NodeId, query: &[u8], host: &mut Host<'_>) {
        let Some(session) = self.answering.get_mut(&from) else { return };
        let Ok(reply) = session.negentropy.reconcile(query) else { return };
        let body = [&[REPLY], &reply[..]].concat();
        session.trips += 1;
        // All equal is said in a byte: that of the version.
        let kind = if session.trips == 1 && reply.len() <= 1 { Kind::Probe } else { Kind::Answer };
        host.send(from, kind, body);
    }

    fn go_on(&mut self, from: NodeId, reply: &[u8], host: &mut Host<'_>) {
        let Some(mut session) = self.asking.remove(&from) else { return };
        session.trips += 1;
        let (mut have, mut need) = (Vec::new(), Vec::new());
        let Ok(next) = session.negentropy.reconcile_with_ids(reply, &mut have, &mut need) else { return };
        host.deliver(from, session.find(have.iter().map(|id| *id.as_bytes())), session.trips);
        if !need.is_empty() {
            let trips = u8::try_from(session.trips).unwrap_or(u8::MAX);
            let mut want = vec![WANT, trips];
            write_ids(&mut want, need.iter().map(|id| *id.as_bytes()));
            host.send(from, Kind::Request, want);
        }
        if let Some(query) = next {
            host.send(from, Kind::Request, [&[QUERY], &query[..]].concat());
            self.asking.insert(from, session);
        }
    }
}

impl Baseline for Negentropies {
    fn connected(&mut self, peer: NodeId) {
        self.rounds.connected(peer);
    }

    fn disconnected(&mut self, peer: NodeId) {
        self.rounds.disconnected(peer);
        self.asking.remove(&peer);
        self.answering.remove(&peer);
    }

    fn deadline(&self) -> Nanos {
        self.rounds.deadline()
    }

    fn wake(&mut self, host: &mut Host<'_>) {
        let Some((peer, from, to)) = self.rounds.begin(host) else { return };
        let Some(mut session) = Session::new(host.keys(from, to)) else { return };
        let Ok(query) = session.negentropy.initiate() else { return };
        let mut body = vec![OPEN];
        body.extend_from_slice(&from.to_be_bytes());
        body.extend_from_slice(&to.to_be_bytes());
        body.extend_from_slice(&query);
        self.asking.insert(peer, session);
        host.send(peer, Kind::Probe, body);
    }

    fn receive(&mut self, from: NodeId, body: &[u8], host: &mut Host<'_>) {
        match body.split_first() {
            Some((&OPEN, rest)) => {
                let Some((start, end, query)) = read_bounds(rest) else { return };
                let Some(session) = Session::new(host.keys(start, end)) else { return };
                self.answering.insert(from, session);
                self.answer(from, query, host);
            }
            Some((&QUERY, query)) => self.answer(from, query, host),
            Some((&REPLY, reply)) => self.go_on(from, reply, host),
            Some((&WANT, rest)) => {
                let (Some((trips, ids)), Some(session)) = (rest.split_first(), self.answering.get(&from)) else {
                    return;
                };
                host.deliver(from, session.find(read_ids(ids)), u64::from(*trips) + 1);
            }
            _ => {}
        }
    }
}
