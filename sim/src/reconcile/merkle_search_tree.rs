//! The real `merkle-search-tree` crate on the same sets: <https://github.com/domodwyer/merkle-search-tree>.

use std::{collections::BTreeSet, error::Error};

use hearken_tree::Key;
use merkle_search_tree::{MerkleSearchTree, diff::diff};

use super::{
    outcome::{Bytes, CpuMs, Outcome},
    workload::Workload,
};
use crate::cpu::Stopwatch;

type Tree = MerkleSearchTree<[u8; Key::LEN], [u8; 0]>;

const KEY: u64 = Key::LEN as u64;
/// The digest of a page, and of the whole tree.
const DIGEST: u64 = 16;
/// A page's first and last key, and its digest.
const PAGE: u64 = 2 * KEY + DIGEST;

/// Reconciles as the crate's documentation says, the requester pulling: its root goes out; where the provider's differs, all of the
/// provider's page ranges come back; what [`diff`] makes of them is asked for, and all keys in it are sent. That is done again until
/// the roots are equal, or nothing new comes.
///
/// The crate leaves the encoding to its users: counted are the bytes of keys and digests, one for "equal", and none for framing.
///
/// # Errors
/// A tree that does not know its own digest: a bug.
pub fn run(work: &Workload) -> Result<Outcome, Box<dyn Error>> {
    let (mut requester, mut provider) = (tree(&work.requester), tree(&work.provider));
    let (mut requester_cpu, mut provider_cpu) = (Stopwatch::default(), Stopwatch::default());
    let (mut bytes, mut round_trips, mut found) = (Bytes::default(), 0, BTreeSet::new());
    loop {
        bytes.request += DIGEST;
        round_trips += 1;
        if requester.root_hash() == provider.root_hash() {
            bytes.answer += 1;
            break;
        }
        let theirs = provider_cpu.run(|| provider.serialise_page_ranges()).ok_or("a tree without its digest")?;
        bytes.answer += theirs.len() as u64 * PAGE;
        let differing = requester_cpu.run(|| {
            let ours = requester.serialise_page_ranges()?;
            Some(diff(ours, theirs).iter().map(|range| (*range.start(), *range.end())).collect::<Vec<_>>())
        });
        let differing = differing.ok_or("a tree without its digest")?;
        if differing.is_empty() {
            break;
        }
        bytes.request += differing.len() as u64 * 2 * KEY;
        round_trips += 1;
        let keys = provider_cpu.run(|| within(&work.provider, &differing));
        bytes.answer += keys.len() as u64 * KEY;
        let before = found.len();
        requester_cpu.run(|| {
            let new = keys.into_iter().filter(|key| work.requester.binary_search(key).is_err());
            new.filter(|key| found.insert(*key)).for_each(|key| requester.upsert(*key.as_bytes(), &[]));
            requester.root_hash();
        });
        if found.len() == before {
            break;
        }
    }
    bytes.total = bytes.request + bytes.answer;
    Ok(Outcome {
        name: "merkle-search-tree",
        bytes,
        round_trips,
        cpu_ms: CpuMs { requester: requester_cpu.milliseconds(), provider: provider_cpu.milliseconds() },
        found: found.len() as u64,
        exact: found == work.missing,
    })
}

fn tree(keys: &[Key]) -> Tree {
    let mut tree = Tree::default();
    keys.iter().for_each(|key| tree.upsert(*key.as_bytes(), &[]));
    tree.root_hash();
    tree
}

/// All of the sorted keys that lie in these ranges, both ends included.
fn within(keys: &[Key], ranges: &[([u8; Key::LEN], [u8; Key::LEN])]) -> Vec<Key> {
    let inside = ranges.iter().flat_map(|(first, last)| {
        let from = keys.partition_point(|key| key.as_bytes() < first);
        let to = keys.partition_point(|key| key.as_bytes() <= last);
        keys.get(from..to).unwrap_or(&[])
    });
    inside.copied().collect()
}
