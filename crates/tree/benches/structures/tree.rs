//! What only the tree does, with honest keys and with keys ground by an attacker.
use std::time::Duration;

use hearken_tree::{Key, KeyRange, Snapshot, Tree};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    each,
    keys::{KINDS, Kind, keys, shuffled},
    median,
    memory::per_key,
    quick, rate, row,
};

/// Spans in a summary of 1 KiB, about.
const SPANS: usize = 70;
/// Appends with a root after each.
const ROOTS: usize = 20_000;
/// Ranges whose fingerprints are asked for.
const RANGES: usize = 5_000;

/// Prints a column for each kind of keys.
pub(crate) fn measure(count: usize) {
    let columns: Vec<Vec<(&str, String)>> = KINDS.iter().map(|(.., kind)| column(*kind, count)).collect();
    row("", &KINDS.map(|(above, ..)| above.to_string()));
    row("", &KINDS.map(|(_, below, _)| below.to_string()));
    for line in 0..columns[0].len() {
        let cells: Vec<String> = columns.iter().map(|column| column[line].1.clone()).collect();
        row(columns[0][line].0, &cells);
    }
}

fn column(kind: Kind, count: usize) -> Vec<(&'static str, String)> {
    let all = keys(kind, count + ROOTS, 1);
    let (ordered, more) = all.split_at(count);
    let random = shuffled(ordered);
    let build = || Tree::from_sorted(ordered.iter().copied()).unwrap();
    let insert = |tree: &mut Tree, keys: &[Key]| {
        keys.iter().for_each(|key| assert!(tree.insert(*key).unwrap()));
        tree.snapshot().root().unwrap()
    };
    let bulk = median(|| (), |()| build().snapshot().root().unwrap());
    let append = median(Tree::new, |tree| insert(tree, ordered));
    let scattered = median(Tree::new, |tree| insert(tree, &random));
    let one_batch = |keys: &[Key]| {
        median(Tree::new, |tree| {
            assert!(tree.insert_all(keys.iter().copied()).unwrap() > 0);
            tree.snapshot().root().unwrap()
        })
    };
    let (batch_ordered, batch_random) = (one_batch(ordered), one_batch(&random));
    let batch = median(Tree::new, |tree| {
        random.chunks(10_000).for_each(|keys| assert!(tree.insert_all(keys.iter().copied()).unwrap() > 0));
        tree.snapshot().root().unwrap()
    });
    let fresh = median(build, |tree| more.iter().for_each(|key| assert!(insert(tree, &[*key]).count > 0)));
    let half = ordered[count / 2];
    // Time of day: it is over before the system looks at the clock of the thread.
    let dropped = (0..5).map(|_| {
        let mut tree = build();
        let start = std::time::Instant::now();
        tree.drop_before(&half).unwrap();
        start.elapsed()
    });
    let dropped = dropped.min().unwrap_or_default();
    let (tree, held) = per_key(count, build);
    let (_, held_random) = per_key(count, || {
        let mut tree = Tree::new();
        insert(&mut tree, &random);
        tree
    });
    let set = tree.snapshot();
    let (floor, largest) = floor(&set, ordered);
    let any = ranges(|rng| ordered[rng.random_range(0..count)]);
    let starts: Vec<Key> = set.chunks().unwrap().iter().map(|(page, ..)| page.first).collect();
    let cut = ranges(|rng| starts[rng.random_range(0..starts.len())]);
    let own = own_ranges(&set, ordered);
    let summary = quick(|| set.summary(&KeyRange::ALL, SPANS).unwrap());
    let spans = set.summary(&KeyRange::ALL, SPANS).unwrap();
    let split = quick(|| set.split(&KeyRange::ALL, SPANS).unwrap());
    let foreign = quick(|| set.differing(&spans).unwrap().len());
    let iterate =
        median(|| (), |()| set.keys(&KeyRange::ALL).map(Result::unwrap).filter(|key| key.timestamp() == 1).count());
    vec![
        ("BLAKE3 of the same chunks", rate(count, floor)),
        ("bulk build with root", rate(count, bulk)),
        ("append, one root", rate(count, append)),
        ("random inserts, one root", rate(count, scattered)),
        ("the same in batches of 10,000", rate(count, batch)),
        ("the same in one batch", rate(count, batch_random)),
        ("append in one batch", rate(count, batch_ordered)),
        ("iteration", rate(count, iterate)),
        ("append + root", each(more.len(), fresh)),
        ("fingerprint, any range", each(RANGES, fingerprints(&set, &any))),
        ("fingerprint, chunk starts", each(RANGES, fingerprints(&set, &cut))),
        ("fingerprint, one chunk", each(own.len(), fingerprints(&set, &own))),
        ("summary, 70 spans", each(1, summary)),
        ("split, 70 spans", each(1, split)),
        ("compare 70 spans", each(1, foreign)),
        ("drop the older half", each(1, dropped)),
        ("bytes a key, bulk", held),
        ("bytes a key, random", held_random),
        ("largest chunk, entries", largest.to_string()),
    ]
}

/// Prints the same for several Q, with honest keys: why Q is what it is.
pub(crate) fn choose_q(count: usize) {
    let all = keys(Kind::Honest, count + ROOTS, 1);
    let (ordered, more) = all.split_at(count);
    let random = shuffled(ordered);
    row("Q", &["bulk", "random", "append + root", "any range", "70 spans", "bytes a key"].map(String::from));
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
        let any = ranges(|rng| ordered[rng.random_range(0..count)]);
        let cells = [
            rate(count, bulk),
            rate(count, scattered),
            each(more.len(), fresh),
            each(RANGES, fingerprints(&set, &any)),
            each(1, quick(|| set.summary(&KeyRange::ALL, SPANS).unwrap())),
            held,
        ];
        row(&(1 << bits).to_string(), &cells);
    }
}

/// The time that BLAKE3 takes for the leaves one by one, and the size of the largest chunk.
fn floor(set: &Snapshot, ordered: &[Key]) -> (Duration, usize) {
    let mut bytes: Vec<u8> = Vec::with_capacity(ordered.len() * Key::LEN);
    ordered.iter().for_each(|key| bytes.extend_from_slice(key.as_bytes()));
    let chunks = set.chunks().unwrap();
    let mut sizes = Vec::new();
    let mut at = 0;
    for (page, entries, _) in chunks.iter().filter(|(page, ..)| page.level == 0) {
        let start = ordered.partition_point(|key| *key < page.first);
        sizes.extend(std::iter::repeat_n(1, start - at));
        sizes.push(*entries);
        at = start + entries;
    }
    sizes.extend(std::iter::repeat_n(1, ordered.len() - at));
    let key = [7; 32];
    let time = median(
        || (),
        |()| {
            let mut at = 0;
            for size in &sizes {
                let end = at + size * Key::LEN;
                std::hint::black_box(blake3::keyed_hash(&key, &bytes[at..end]));
                at = end;
            }
        },
    );
    (time, chunks.iter().map(|(_, entries, _)| *entries).max().unwrap_or(1))
}

fn ranges(mut bound: impl FnMut(&mut ChaCha8Rng) -> Key) -> Vec<KeyRange> {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut range = |_| {
        let (a, b) = (bound(&mut rng), bound(&mut rng));
        KeyRange::new(a.min(b), a.max(b)).unwrap()
    };
    (0..RANGES).map(&mut range).collect()
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

fn fingerprints(set: &Snapshot, ranges: &[KeyRange]) -> Duration {
    median(|| (), |()| ranges.iter().map(|range| set.fingerprint(range).unwrap().count).sum::<u64>())
}
