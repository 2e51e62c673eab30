//! The real `riblt` crate on the same sets: <https://github.com/samWighton/rateless_iblt>, after "Practical Rateless Set
//! Reconciliation" (Yang, Gilad, Alizadeh, SIGCOMM 2024).

use std::collections::BTreeSet;

use hearken_tree::{Id, Key};
use riblt::{RatelessIBLT, Symbol, UnmanagedRatelessIBLT};

use super::{
    outcome::{Bytes, CpuMs, Outcome},
    workload::Workload,
};
use crate::cpu::Stopwatch;

/// A coded symbol as the crate has it: the sum of ids, the sum of their hashes (8 bytes), the count (8 bytes).
const CODED: u64 = 32 + 8 + 8;
/// Differences at most: the crate looks through all coded symbols for each one that it decodes.
const MOST: usize = 20_000;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Item(Id);

impl Symbol for Item {
    const BYTE_ARRAY_LENGTH: usize = 32;

    fn encode_to_bytes(&self) -> Vec<u8> {
        self.0.0.to_vec()
    }

    fn decode_from_bytes(bytes: &Vec<u8>) -> Item {
        Item(Id(bytes.first_chunk().copied().unwrap_or_default()))
    }
}

/// Ids are all that is reconciled: the crate's sets have no order.
type Table<'a> = RatelessIBLT<Item, std::iter::Map<std::slice::Iter<'a, Key>, fn(&Key) -> Item>>;

/// Reconciles as the paper has it: the provider sends coded symbols until the requester says that they are enough. Counted are just
/// as many as it takes, one byte that asks for them and one that ends them; on a real link, what is on its way meanwhile comes on top.
/// CPU time is that of making these symbols on both sides and of decoding them once.
///
/// `None` where more than 20,000 differ, which would take this crate hours.
pub fn run(work: &Workload) -> Option<Outcome> {
    let apart = work.missing.len() + work.requester.len() + work.missing.len() - work.provider.len();
    if apart > MOST {
        return None;
    }
    let (mut requester_cpu, mut provider_cpu) = (Stopwatch::default(), Stopwatch::default());
    let mut requester = requester_cpu.run(|| table(&work.requester));
    let mut provider = provider_cpu.run(|| table(&work.provider));
    let mut symbols = 1;
    while !decodes(&mut collapse(&mut requester, &mut provider, symbols)) {
        symbols *= 2;
        requester_cpu.run(|| requester.extend_coded_symbols(symbols - 1));
        provider_cpu.run(|| provider.extend_coded_symbols(symbols - 1));
    }
    // Whatever is enough for, say, 100 symbols is so for more.
    let (mut short, mut enough) = (symbols / 2, symbols);
    while short + 1 < enough {
        let middle = usize::midpoint(short, enough);
        let decoded = decodes(&mut collapse(&mut requester, &mut provider, middle));
        *(if decoded { &mut enough } else { &mut short }) = middle;
    }
    requester_cpu.run(|| decodes(&mut collapse(&mut requester, &mut provider, enough)));
    let found = lacked(collapse(&mut requester, &mut provider, enough));
    let mut bytes = Bytes { request: 2, answer: enough as u64 * CODED, ..Bytes::default() };
    bytes.total = bytes.request + bytes.answer;
    let missing: BTreeSet<Item> = work.missing.iter().map(item).collect();
    Some(Outcome {
        name: "riblt",
        bytes,
        round_trips: 1,
        cpu_ms: CpuMs { requester: requester_cpu.milliseconds(), provider: provider_cpu.milliseconds() },
        found: found.len() as u64,
        exact: found == missing,
    })
}

fn item(key: &Key) -> Item {
    Item(key.id())
}

fn table(keys: &[Key]) -> Table<'_> {
    RatelessIBLT::new(keys.iter().map(item as fn(&Key) -> Item))
}

/// What so many coded symbols of the provider say of the two sets.
fn collapse(requester: &mut Table<'_>, provider: &mut Table<'_>, symbols: usize) -> UnmanagedRatelessIBLT<Item> {
    let mut sent = UnmanagedRatelessIBLT::new();
    (0..symbols).for_each(|at| sent.add_coded_symbol(&provider.get_coded_symbol(at)));
    requester.collapse(&sent)
}

fn decodes(difference: &mut UnmanagedRatelessIBLT<Item>) -> bool {
    difference.peel_all_symbols();
    difference.is_empty()
}

/// What only the provider holds. The crate does not export what its decoder returns, so it is looked up before it is taken away.
fn lacked(mut difference: UnmanagedRatelessIBLT<Item>) -> BTreeSet<Item> {
    let mut lacked = BTreeSet::new();
    while let Some(next) = difference.coded_symbols.iter().find(|symbol| symbol.is_peelable()) {
        if next.count == -1 {
            lacked.insert(Item::decode_from_bytes(&next.sum));
        }
        difference.peel_one_symbol();
    }
    lacked
}
