//! Sets whose differences a fingerprint by XOR cannot see, whoever compares them and however often: what they are made of, that
//! such a fingerprint is fooled, and that Hearken is not.
//!
//! **Construction.** Ids are 256 bits. Any 257 of them are linearly dependent over GF(2): a subset has the XOR zero, and Gaussian
//! elimination finds it in milliseconds. Whoever publishes 257 messages so chooses about half of them that one node may lack
//! without a trace. With one bit more for each id, always set, the subset also has an even size: then each of two nodes can lack
//! one half of it, and the counts agree as well.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use hearken_sim::reconcile::{
    hearken,
    workload::{self, Workload},
};
use hearken_tree::{Id, Key, KeyRange};

/// Bits of an id, and one that is always set.
const BITS: usize = 257;
const MINUTE: u64 = 60_000_000_000;

/// The ids of `count` messages that anybody may publish: hashes of what they say.
fn published(count: u32) -> Vec<Id> {
    (0..count).map(|message| Id(*blake3::hash(&message.to_be_bytes()).as_bytes())).collect()
}

/// A subset of these ids with the XOR zero; if `even`, of an even size.
fn vanishing(ids: &[Id], even: bool) -> Vec<Id> {
    let bit = |id: &Id, at: usize| if at == BITS - 1 { even } else { id.0[at / 8] >> (at % 8) & 1 == 1 };
    // By the first bit that is set: a sum of ids, and which ids it is the sum of.
    let mut basis: Vec<Option<(Vec<bool>, Vec<bool>)>> = vec![None; BITS];
    for (index, id) in ids.iter().enumerate() {
        let mut sum: Vec<bool> = (0..BITS).map(|at| bit(id, at)).collect();
        let mut of: Vec<bool> = (0..ids.len()).map(|other| other == index).collect();
        let free = loop {
            let Some(first) = sum.iter().position(|bit| *bit) else { break None };
            let Some((other, parts)) = &basis[first] else { break Some(first) };
            sum.iter_mut().zip(other).for_each(|(bit, other)| *bit ^= other);
            of.iter_mut().zip(parts).for_each(|(bit, other)| *bit ^= other);
        };
        match free {
            Some(first) => basis[first] = Some((sum, of)),
            None => return ids.iter().zip(of).filter(|(_, taken)| *taken).map(|(id, _)| *id).collect(),
        }
    }
    panic!("{} ids are independent, which more than {BITS} cannot be", ids.len())
}

/// What one should not compare: the XOR of all ids in a range; and how many there are.
fn xor(keys: &BTreeSet<Key>, range: &KeyRange) -> ([u8; 32], usize) {
    let inside = || keys.range(range.start()..range.end());
    let sum = inside().fold([0; 32], |mut sum: [u8; 32], key| {
        sum.iter_mut().zip(key.id().0).for_each(|(sum, byte)| *sum ^= byte);
        sum
    });
    (sum, inside().count())
}

/// Two nodes hold the same 20,000 messages. Of those that the attacker published within one second, the requester lacks `lacked`
/// and the provider `kept_back`.
fn workload(attack: &[Id], lacked: &BTreeSet<Id>, kept_back: &BTreeSet<Id>) -> Workload {
    let honest = workload::made_up(20_000, 8);
    let second = honest[9_000].timestamp() / 1_000_000_000 * 1_000_000_000;
    let attack: Vec<Key> = (0..).zip(attack).map(|(at, id)| Key::new(second + at, *id)).collect();
    let holder = |lacks: &BTreeSet<Id>| -> BTreeSet<Key> {
        let of_attack = attack.iter().filter(|key| !lacks.contains(&key.id()));
        honest.iter().chain(of_attack).copied().collect()
    };
    Workload {
        requester: holder(lacked).into_iter().collect(),
        provider: holder(kept_back).into_iter().collect(),
        missing: attack.iter().filter(|key| lacked.contains(&key.id())).copied().collect(),
        start: honest[0].timestamp(),
        end: honest[honest.len() - 1].timestamp() + 1,
    }
}

/// Whether nodes that compare `fingerprint`s would take each other for equal: over everything, and over
/// each minute.
fn fooled<F: PartialEq>(work: &Workload, fingerprint: impl Fn(&BTreeSet<Key>, &KeyRange) -> F) -> bool {
    let (requester, provider) = (work.requester.iter().copied().collect(), work.provider.iter().copied().collect());
    let minutes = (work.start / MINUTE..=work.end / MINUTE).map(|at| KeyRange::between(at * MINUTE, (at + 1) * MINUTE));
    minutes.chain([KeyRange::ALL]).all(|range| fingerprint(&requester, &range) == fingerprint(&provider, &range))
}

fn finds_every_difference(work: &Workload) {
    let outcome = hearken::run(work, 1, None).unwrap();
    assert!(outcome.exact && outcome.found == work.missing.len() as u64, "{outcome:?}");
    assert!(outcome.round_trips <= 3, "{outcome:?}");
}

#[test]
fn half_of_257_messages_are_missing_and_xor_does_not_see_it() {
    let ids = published(257);
    let lacked: BTreeSet<Id> = vanishing(&ids, false).into_iter().collect();
    assert!(lacked.len() > 64, "about a half: {}", lacked.len());
    let work = workload(&ids, &lacked, &BTreeSet::new());
    assert!(fooled(&work, |keys, range| xor(keys, range).0));
    finds_every_difference(&work);
}

#[test]
fn both_sides_lack_as_many_and_xor_with_counts_does_not_see_it() {
    let ids = published(258);
    let vanishing = vanishing(&ids, true);
    let (here, there) = vanishing.split_at(vanishing.len() / 2);
    assert!(here.len() == there.len() && here.len() > 32, "a quarter each: {}", here.len());
    let work = workload(&ids, &here.iter().copied().collect(), &there.iter().copied().collect());
    assert!(fooled(&work, xor));
    finds_every_difference(&work);
}

/// The control is one: it sees what is not built against it.
#[test]
fn xor_sees_what_is_missing_by_chance() {
    let ids = published(258);
    let work = workload(&ids, &ids.iter().take(100).copied().collect(), &BTreeSet::new());
    assert!(!fooled(&work, |keys, range| xor(keys, range).0));
}
