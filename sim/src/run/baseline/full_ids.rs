//! The simplest that works: all ids, each time.

use std::collections::{BTreeMap, BTreeSet};

use hearken_tree::Key;

use super::{Baseline, Host, read_bounds, read_ids, rounds::Rounds, write_ids};
use crate::{
    net::{Nanos, NodeId},
    run::measure::Kind,
};

/// What a message is for, its first byte.
const ALL: u8 = 0;
const WANT: u8 = 1;

/// One node's part.
pub(super) struct FullIds {
    rounds: Rounds,
    /// What was offered to whom, by id: it may be asked for.
    offered: BTreeMap<NodeId, BTreeMap<[u8; 32], Key>>,
}

impl FullIds {
    pub(super) fn new(rounds: Rounds) -> FullIds {
        FullIds { rounds, offered: BTreeMap::new() }
    }
}

impl Baseline for FullIds {
    fn connected(&mut self, peer: NodeId) {
        self.rounds.connected(peer);
    }

    fn disconnected(&mut self, peer: NodeId) {
        self.rounds.disconnected(peer);
        self.offered.remove(&peer);
    }

    fn deadline(&self) -> Nanos {
        self.rounds.deadline()
    }

    fn wake(&mut self, host: &mut Host<'_>) {
        let Some((peer, from, to)) = self.rounds.begin(host) else { return };
        let offered: BTreeMap<_, _> = host.keys(from, to).into_iter().map(|key| (key.id().0, key)).collect();
        let mut body = vec![ALL];
        body.extend_from_slice(&from.to_be_bytes());
        body.extend_from_slice(&to.to_be_bytes());
        write_ids(&mut body, offered.keys().copied());
        self.offered.insert(peer, offered);
        host.send(peer, Kind::Request, body);
    }

    fn receive(&mut self, from: NodeId, body: &[u8], host: &mut Host<'_>) {
        match body.split_first() {
            Some((&ALL, rest)) => {
                let Some((start, end, ids)) = read_bounds(rest) else { return };
                let theirs: BTreeSet<[u8; 32]> = read_ids(ids).into_iter().collect();
                let ours = host.keys(start, end);
                let known: BTreeSet<[u8; 32]> = ours.iter().map(|key| key.id().0).collect();
                let mut want = vec![WANT];
                write_ids(&mut want, theirs.difference(&known).copied());
                if want.len() > 1 {
                    host.send(from, Kind::Answer, want);
                }
                let lacks = ours.into_iter().filter(|key| !theirs.contains(&key.id().0));
                host.deliver(from, lacks.collect(), 1);
            }
            Some((&WANT, ids)) => {
                let offered = self.offered.remove(&from).unwrap_or_default();
                let wanted = read_ids(ids).into_iter().filter_map(|id| offered.get(&id).copied());
                host.deliver(from, wanted.collect(), 1);
            }
            _ => {}
        }
    }
}
