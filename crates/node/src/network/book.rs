//! The peer book: peers that the node has heard of, kept on disk, so that a node that restarts finds its network again without
//! anybody's help.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::config::text::is_dialable;
use crate::discovery::FoundPeer;

/// The file's name in the data folder.
pub(crate) const FILE: &str = "peers.json";

/// Peers that are remembered.
const PEERS: usize = 1000;
/// Addresses of one peer that are remembered.
const ADDRESSES: usize = 8;
/// Pause after the first failure to reach a peer; it doubles.
const PAUSE: Duration = Duration::from_secs(10);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(3600);

/// Peers by name.
pub(crate) struct Book {
    own: PeerId,
    peers: BTreeMap<PeerId, Known>,
    changed: bool,
}

/// What is known of a peer.
#[derive(Clone, Debug, Default, PartialEq)]
struct Known {
    addresses: Vec<Multiaddr>,
    /// Whether it speaks the sync protocol, once it has said.
    sync: Option<bool>,
    /// When the node last reached it: seconds since the Unix epoch; 0: never.
    reached: u64,
    failures: u32,
    /// Not before this.
    wait: Option<Instant>,
}

/// A peer in the file.
#[derive(Serialize, Deserialize)]
struct Row {
    peer: String,
    addresses: Vec<String>,
    #[serde(default)]
    sync: Option<bool>,
    #[serde(default)]
    reached: u64,
}

impl Book {
    pub(crate) fn new(own: PeerId) -> Book {
        Book { own, peers: BTreeMap::new(), changed: false }
    }

    /// The book in this folder. What cannot be read of it is left out: peers can be found again.
    pub(crate) fn load(folder: &Path, own: PeerId) -> Book {
        let mut book = Book::new(own);
        let path = folder.join(FILE);
        let rows = match std::fs::read(&path).map(|bytes| serde_json::from_slice::<Vec<Row>>(&bytes)) {
            Ok(Ok(rows)) => rows,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Ok(Err(error)) => unreadable(&path, &error),
            Err(error) => unreadable(&path, &error),
        };
        for Row { peer, addresses, sync, reached } in rows {
            let Ok(peer) = peer.parse() else { continue };
            book.add(peer, addresses.iter().filter_map(|address| address.parse().ok()));
            if let Some(known) = book.peers.get_mut(&peer) {
                (known.sync, known.reached) = (sync, reached);
            }
        }
        book.changed = false;
        book
    }

    /// What is to be written, if something has changed since it was last asked for.
    pub(crate) fn take_changes(&mut self) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let row = |(peer, known): (&PeerId, &Known)| Row {
            peer: peer.to_string(),
            addresses: known.addresses.iter().map(Multiaddr::to_string).collect(),
            sync: known.sync,
            reached: known.reached,
        };
        serde_json::to_vec_pretty(&self.peers.iter().map(row).collect::<Vec<_>>()).ok()
    }

    /// Takes note of a peer that somebody knows.
    pub(crate) fn found(&mut self, found: FoundPeer) {
        self.add(found.peer, found.addresses);
    }

    fn add(&mut self, peer: PeerId, addresses: impl IntoIterator<Item = Multiaddr>) {
        let addresses: Vec<Multiaddr> = addresses.into_iter().filter(is_dialable).take(ADDRESSES).collect();
        if peer == self.own || addresses.is_empty() {
            return;
        }
        if self.peers.len() >= PEERS && !self.peers.contains_key(&peer) {
            self.forget_one();
        }
        let known = self.peers.entry(peer).or_default();
        // The newest first: a peer that has moved is found at once.
        let older = known.addresses.iter().filter(|address| !addresses.contains(address)).cloned();
        let merged: Vec<Multiaddr> = addresses.iter().cloned().chain(older).take(ADDRESSES).collect();
        self.changed |= merged != known.addresses;
        known.addresses = merged;
    }

    /// The least promising peer goes: never reached, or long ago, and tried in vain.
    fn forget_one(&mut self) {
        let worst = self.peers.iter().min_by_key(|(_, known)| (known.reached, u32::MAX - known.failures));
        if let Some(worst) = worst.map(|(peer, _)| *peer) {
            self.peers.remove(&worst);
        }
    }

    /// The node has reached a peer, at `unix` seconds.
    pub(crate) fn reached(&mut self, peer: &PeerId, unix: u64) {
        if let Some(known) = self.peers.get_mut(peer) {
            (known.reached, known.failures, known.wait) = (unix, 0, None);
            self.changed = true;
        }
    }

    /// A peer has said what it speaks, and where it listens.
    pub(crate) fn identified(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, sync: bool) {
        self.add(peer, addresses);
        if let Some(known) = self.peers.get_mut(&peer)
            && known.sync != Some(sync)
        {
            known.sync = Some(sync);
            self.changed = true;
        }
    }

    /// A peer could not be reached, or is not wanted now.
    pub(crate) fn put_off(&mut self, peer: &PeerId, now: Instant) {
        if let Some(known) = self.peers.get_mut(peer) {
            known.wait = Some(now + PAUSE.saturating_mul(1 << known.failures.min(10)).min(LONGEST));
            known.failures += 1;
        }
    }

    /// A peer to dial now, with its addresses: one that speaks sync rather than one that has not said, and that rather than one
    /// that does not. `skip` are connected or being dialled.
    pub(crate) fn next(&self, now: Instant, skip: impl Fn(&PeerId) -> bool) -> Option<(PeerId, Vec<Multiaddr>)> {
        let free = |peer: &PeerId, known: &Known| known.wait.is_none_or(|wait| wait <= now) && !skip(peer);
        let candidates = self.peers.iter().filter(|(peer, known)| free(peer, known));
        let (peer, known) = candidates.min_by_key(|(_, known)| known.rank())?;
        Some((*peer, known.addresses.clone()))
    }

    /// When [`next`](Book::next) may give one, if it does not now.
    pub(crate) fn deadline(&self, skip: impl Fn(&PeerId) -> bool) -> Option<Instant> {
        self.peers.iter().filter(|(peer, _)| !skip(peer)).filter_map(|(_, known)| known.wait).min()
    }

    /// Whether there is a peer that may speak sync and is not among those to skip.
    pub(crate) fn may_find_sync(&self, skip: impl Fn(&PeerId) -> bool) -> bool {
        self.peers.iter().any(|(peer, known)| known.sync != Some(false) && known.failures == 0 && !skip(peer))
    }
}

impl Known {
    /// The lower the better.
    fn rank(&self) -> (u8, u32, std::cmp::Reverse<u64>) {
        let sync = match self.sync {
            Some(true) => 0,
            None => 1,
            Some(false) => 2,
        };
        (sync, self.failures, std::cmp::Reverse(self.reached))
    }
}

/// Written under another name first: a kill in between leaves the old book.
pub(crate) fn write(folder: &Path, bytes: &[u8]) -> io::Result<()> {
    let path: PathBuf = folder.join(FILE);
    let temporary = path.with_extension("json.new");
    std::fs::write(&temporary, bytes)?;
    std::fs::rename(&temporary, path)
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Vec<Row> {
    tracing::warn!("the peer book {} cannot be read, starting a new one: {error}", path.display());
    Vec::new()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/192.0.2.1/tcp/{port}").parse().unwrap()
    }

    fn found(peer: PeerId, port: u16) -> FoundPeer {
        FoundPeer { peer, addresses: vec![address(port)], shards: None }
    }

    #[test]
    fn a_book_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let [own, one, two] = [(); 3].map(|()| PeerId::random());
        let mut book = Book::load(folder.path(), own);
        assert!(book.take_changes().is_none());
        [found(own, 1), found(one, 2), found(two, 3)].into_iter().for_each(|peer| book.found(peer));
        book.reached(&one, 17);
        book.identified(one, vec![address(4)], true);
        write(folder.path(), &book.take_changes().unwrap()).unwrap();
        assert!(book.take_changes().is_none(), "nothing has changed since");

        let read = Book::load(folder.path(), own);
        assert_eq!(read.peers.len(), 2, "a node is not in its own book");
        let known =
            Known { addresses: vec![address(4), address(2)], sync: Some(true), reached: 17, ..Known::default() };
        assert_eq!(read.peers.get(&one), Some(&known));
    }

    #[test]
    fn a_book_that_cannot_be_read_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), b"[{\"peer\": 1}]").unwrap();
        assert!(Book::load(folder.path(), PeerId::random()).peers.is_empty());
    }

    #[tokio::test]
    async fn peers_that_speak_sync_come_first_and_failures_wait() {
        let [own, plain, unknown, sync] = [(); 4].map(|()| PeerId::random());
        let (mut book, now) = (Book::new(own), Instant::now());
        for (peer, speaks) in [(plain, Some(false)), (unknown, None), (sync, Some(true))] {
            book.found(found(peer, 1));
            if let Some(speaks) = speaks {
                book.identified(peer, Vec::new(), speaks);
            }
        }
        let mut order = Vec::new();
        while let Some((peer, _)) = book.next(now, |_| false) {
            book.put_off(&peer, now);
            order.push(peer);
        }
        assert_eq!(order, [sync, unknown, plain]);
        assert_eq!(book.deadline(|_| false), Some(now + PAUSE));
        assert_eq!(book.next(now + PAUSE, |peer| *peer == sync).unwrap().0, unknown);
        (0..100).for_each(|_| book.put_off(&sync, now));
        assert_eq!(book.deadline(|peer| *peer != sync), Some(now + LONGEST));
    }

    #[test]
    fn a_full_book_forgets_strangers_before_friends() {
        let mut book = Book::new(PeerId::random());
        let friend = PeerId::random();
        book.found(found(friend, 1));
        book.reached(&friend, 1);
        (0..2 * PEERS).for_each(|_| book.found(found(PeerId::random(), 1)));
        assert_eq!(book.peers.len(), PEERS);
        assert!(book.peers.contains_key(&friend));
    }
}
