//! What only the tree does, with honest keys and with keys ground by an attacker.
use std::time::Duration;

use hearken_tree::{Key, KeyRange, Snapshot, Tree};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    each,
    figures::FIGURES,
    keys::{GROUND, Kind, keys, shuffled},
    median, median_of,
    memory::per_key,
    rate, row,
};

/// Spans in a summary of 1 KiB, about.
const SPANS: usize = 70;
/// Appends with a root after each.
const ROOTS: usize = 20_000;
/// Ranges whose fingerprints are asked for.
const RANGES: usize = 5_000;

/// Prints the figures of keys that are ground beside those of honest ones.
pub(crate) fn ground(count: usize) {
    let honest = column(Kind::Honest, count);
    let columns = GROUND.map(|(_, kind, _)| column(kind, count));
    let names: Vec<String> = ["honest"].into_iter().chain(GROUND.map(|(name, ..)| name)).map(String::from).collect();
    row("", &names);
    for (i, figure) in FIGURES.iter().enumerate() {
        let mut cells = vec![figure.show(honest[i])];
        cells.extend(columns.iter().zip(GROUND).map(|(column, (.., memory))| {
            format!("{} {:>6}", figure.show(column[i]), figure.with_memory(memory).compare(column[i], honest[i]))
        }));
        row(figure.name, &cells);
    }
    println!("x: times worse than with honest keys; !: more than may be.");
}

/// The figures of the tree with keys of this kind.
pub(crate) fn column(kind: Kind, count: usize) -> Vec<f64> {
    let all = keys(kind, count + ROOTS, 1);
    let (ordered, more) = all.split_at(count);
    let random = shuffled(ordered);
    let build = || Tree::from_sorted(ordered.iter().copied()).unwrap();
    let built = || {
        let tree = build();
        tree.snapshot().root().unwrap();
        tree
    };
    let insert = |tree: &mut Tree, keys: &[Key]| {
        keys.iter().for_each(|key| assert!(tree.insert(*key).unwrap()));
        tree.snapshot().root().unwrap()
    };
    let in_batches = |keys: &[Key], of: usize| {
        let batches = |tree: &mut Tree| {
            keys.chunks(of).for_each(|keys| assert!(tree.insert_all(keys.iter().copied()).unwrap() > 0));
            tree.snapshot().root().unwrap()
        };
        rate(count, median(Tree::new, batches))
    };
    // The first waits for the system to give it memory.
    drop(build());
    let bulk = median(|| (), |()| build().snapshot().root().unwrap());
    let append = median(Tree::new, |tree| insert(tree, ordered));
    let scattered = median(Tree::new, |tree| insert(tree, &random));
    let fresh = median(built, |tree| more.iter().for_each(|key| assert!(insert(tree, &[*key]).count > 0)));
    let half = ordered[count / 2];
    let dropped = median(built, |tree| tree.drop_before(&half).unwrap());
    let (tree, held) = per_key(count, build);
    let (_, held_random) = per_key(count, || {
        let mut tree = Tree::new();
        insert(&mut tree, &random);
        tree
    });
    let set = tree.snapshot();
    let (floor, largest) = floor(&set, ordered);
    let any: Vec<KeyRange> =
        ranges(count).iter().map(|(a, b)| KeyRange::new(ordered[*a], ordered[*b]).unwrap()).collect();
    let cut = between_starts(&set);
    let own = own_ranges(&set, ordered);
    let at_first = |ranges: &[KeyRange]| each(RANGES, median(built, |tree| fingerprints(&tree.snapshot(), ranges)));
    let again = |ranges: &[KeyRange]| each(RANGES, median(|| (), |()| fingerprints(&set, ranges)));
    let summary = |set: &Snapshot| set.summary(&KeyRange::ALL, SPANS).unwrap();
    let spans = summary(&set);
    vec![
        rate(count, bulk),
        100.0 * floor.as_secs_f64() / bulk.as_secs_f64(),
        rate(count, append),
        in_batches(ordered, count),
        rate(count, scattered),
        in_batches(&random, 10_000),
        in_batches(&random, count),
        each(more.len(), fresh),
        held,
        held_random,
        at_first(&any),
        at_first(&cut),
        again(&cut),
        again(&own),
        each(1, median_of(9, built, |tree| summary(&tree.snapshot()))),
        each(1, median_of(99, || (), |()| summary(&set))),
        each(1, median_of(9, built, |tree| tree.snapshot().differing(&spans).unwrap().len())),
        each(1, dropped),
        largest as f64,
    ]
}

/// Prints the same for several Q, with honest keys: why Q is what it is.
pub(crate) fn choose_q(count: usize) {
    let all = keys(Kind::Honest, count + ROOTS, 1);
    let (ordered, more) = all.split_at(count);
    let random = shuffled(ordered);
    let figures = ["bulk", "random", "append + root", "any range", "chunk starts", "70 spans", "bytes a key"];
    row("Q", &figures.map(String::from));
    for bits in 5..=9 {
        let build = || Tree::with_q_bits(bits).filled(ordered.iter().copied()).unwrap();
        let bulk = median(|| (), |()| build());
        let scattered = median(
            || Tree::with_q_bits(bits),
            |tree| {
                random.iter().for_each(|key| assert!(tree.insert(*key).unwrap()));
                tree.snapshot().root().unwrap()
            },
        );
        let fresh = median(build, |tree| {
            more.iter()
                .for_each(|key| assert!(tree.insert(*key).unwrap() && tree.snapshot().root().unwrap().count > 0));
        });
        let (tree, held) = per_key(count, build);
        let set = tree.snapshot();
        let any: Vec<KeyRange> =
            ranges(count).iter().map(|(a, b)| KeyRange::new(ordered[*a], ordered[*b]).unwrap()).collect();
        let cut = between_starts(&set);
        let cells = [
            format!("{:.2} M/s", rate(count, bulk)),
            format!("{:.2} M/s", rate(count, scattered)),
            format!("{:.2} us", each(more.len(), fresh)),
            format!("{:.2} us", each(RANGES, median_of(1, || (), |()| fingerprints(&set, &any)))),
            format!("{:.2} us", each(RANGES, median(build, |tree| fingerprints(&tree.snapshot(), &cut)))),
            format!(
                "{:.0} us",
                each(1, median_of(9, build, |tree| tree.snapshot().summary(&KeyRange::ALL, SPANS).unwrap()))
            ),
            format!("{held:.1} B"),
        ];
        row(&(1 << bits).to_string(), &cells);
    }
}

/// The time that BLAKE3 takes for chunks of the same sizes one by one, and the size of the largest.
fn floor(set: &Snapshot, ordered: &[Key]) -> (Duration, usize) {
    let mut bytes: Vec<u8> = Vec::with_capacity(ordered.len() * Key::LEN);
    ordered.iter().for_each(|key| bytes.extend_from_slice(key.as_bytes()));
    // Leaf after leaf, as a bulk build comes to them; those above take what there is.
    let mut sizes = set.chunks().unwrap();
    sizes.sort_unstable_by_key(|(page, ..)| page.first);
    let key = [7; 32];
    let time = median(
        || (),
        |()| {
            let mut at = 0;
            for (page, entries, _) in &sizes {
                let end = (at + entries * Key::LEN).min(bytes.len());
                std::hint::black_box(blake3::keyed_hash(&key, &bytes[at..end]));
                at = if page.level == 0 { end } else { at };
            }
        },
    );
    (time, sizes.iter().map(|(_, entries, _)| *entries).max().unwrap_or(1))
}

/// Pairs of numbers below `count`, the smaller first.
pub(crate) fn ranges(count: usize) -> Vec<(usize, usize)> {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut pair = |_| {
        let (a, b) = (rng.random_range(0..count), rng.random_range(0..count));
        (a.min(b), a.max(b))
    };
    (0..RANGES).map(&mut pair).collect()
}

/// Ranges that begin where a chunk starts, and end where one does.
fn between_starts(set: &Snapshot) -> Vec<KeyRange> {
    let starts: Vec<Key> = set.chunks().unwrap().iter().map(|(page, ..)| page.first).collect();
    let range = |(a, b): &(usize, usize)| KeyRange::new(starts[*a].min(starts[*b]), starts[*a].max(starts[*b]));
    ranges(starts.len()).iter().map(|pair| range(pair).unwrap()).collect()
}

/// The ranges of some chunks.
fn own_ranges(set: &Snapshot, ordered: &[Key]) -> Vec<KeyRange> {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let chunks = set.chunks().unwrap();
    let mut range = |_| {
        let (page, _, fingerprint) = chunks[rng.random_range(0..chunks.len())];
        let end = ordered.partition_point(|key| *key < page.first) + usize::try_from(fingerprint.count).unwrap();
        KeyRange::new(page.first, ordered.get(end).copied().unwrap_or(Key::MAX)).unwrap()
    };
    (0..RANGES).map(&mut range).collect()
}

fn fingerprints(set: &Snapshot, ranges: &[KeyRange]) -> u64 {
    ranges.iter().map(|range| set.fingerprint(range).unwrap().count).sum()
}
