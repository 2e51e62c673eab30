//! Where summaries and splits are cut.
use std::sync::Arc;

use crate::{
    Key, KeyRange, PageError, Snapshot,
    node::{Body, Node},
    shortest_separator,
};

/// One minute in nanoseconds: the finest cut by age.
const MINUTE: u64 = 60_000_000_000;

/// Where a set is cut.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    /// As it travels.
    pub(crate) bound: Key,
    /// No key of the set lies between the bound and this one, at which a chunk starts if it can be.
    pub(crate) start: Key,
}

impl Cut {
    pub(crate) fn at(bound: Key) -> Cut {
        Cut { bound, start: bound }
    }
}

/// Cuts of `range` into at most `parts` stretches of about equal counts.
pub(crate) fn equal_counts(set: &Snapshot, range: &KeyRange, parts: usize) -> Result<Vec<Cut>, PageError> {
    let (low, high) = (set.rank(&range.start())?, set.rank(&range.end())?);
    let mut cuts = Vec::new();
    cut_equally(set, low, high, parts as u64, &mut cuts)?;
    Ok(cuts)
}

/// Cuts of `window` into at most `spans` stretches: about half of the cuts by age, the others where the counts are largest.
pub(crate) fn by_age_and_count(set: &Snapshot, window: &KeyRange, spans: usize) -> Result<Vec<Cut>, PageError> {
    let (low, high) = (set.rank(&window.start())?, set.rank(&window.end())?);
    let mut cuts = Vec::new();
    if low == high || spans < 2 {
        return Ok(cuts);
    }
    let (Some(first), Some(last)) = (set.nth(low)?, set.nth(high - 1)?) else { return Ok(cuts) };
    // The cuts by age, each with its rank, without cuts that have nothing before or behind them.
    let mut by_age = vec![(low, Cut::at(window.start()))];
    for time in dyadic_times(first.timestamp(), last.timestamp().saturating_add(1), spans / 2) {
        let key = Key::at(time);
        let rank = set.rank(&key)?;
        if rank > by_age.last().map_or(low, |(rank, _)| *rank) && rank < high {
            by_age.push((rank, Cut::at(key)));
        }
    }
    by_age.push((high, Cut::at(window.end())));
    let bounds = at_chunk_starts(set, &by_age)?;
    let counts: Vec<u64> = bounds.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    let largest = largest_count(&counts, spans as u64);
    for pair in bounds.windows(2) {
        let count = pair[1].0 - pair[0].0;
        cut_equally(set, pair[0].0, pair[1].0, count.div_ceil(largest), &mut cuts)?;
        cuts.push(pair[1].1);
    }
    cuts.pop();
    Ok(cuts)
}

/// The same cuts, those inside moved to where a chunk starts if one does so near enough: then no keys have to be hashed for the
/// fingerprints beside it, here and wherever about the same keys are held.
fn at_chunk_starts(set: &Snapshot, cuts: &[(u64, Cut)]) -> Result<Vec<(u64, Cut)>, PageError> {
    let mut moved = cuts.to_vec();
    for (triple, to) in cuts.windows(3).zip(moved.iter_mut().skip(1)) {
        let [(before, _), (rank, _), (after, _)] = triple else { continue };
        // Less than half of what lies on either side, so they stay in order.
        let slack = (rank - before).min(after - rank) / 4;
        if let Some((rank, first)) = chunk_start_near(set, *rank, slack)? {
            *to = (rank, cut_before(set, rank, &first)?);
        }
    }
    Ok(moved)
}

/// The smallest count such that stretches of these `counts`, cut into stretches of at most that count, are at most `spans`.
fn largest_count(counts: &[u64], spans: u64) -> u64 {
    let (mut low, mut high) = (1, counts.iter().copied().max().unwrap_or(1).max(1));
    while low < high {
        let middle = low + (high - low) / 2;
        if counts.iter().map(|count| count.div_ceil(middle)).sum::<u64>() <= spans {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// At most `most` times in `from..to`, ascending, multiples of 2^k minutes where k grows with the age: as many with each
/// k as lets the smallest number of different k reach back to `from`.
fn dyadic_times(from: u64, to: u64, most: usize) -> Vec<u64> {
    let minutes = (to - from).div_ceil(MINUTE);
    let most = most as u64;
    let reaches = |kinds: &u32| (most / u64::from(*kinds)).max(1).saturating_mul((1 << kinds) - 1) >= minutes;
    let kinds = (1..30).find(reaches).unwrap_or(30);
    let each = (most / u64::from(kinds)).max(1);
    let mut times = Vec::new();
    let mut time = to;
    'all: for k in 0..kinds {
        let step = MINUTE << k;
        for _ in 0..each {
            time = time.saturating_sub(1) / step * step;
            if time <= from || times.len() as u64 >= most {
                break 'all;
            }
            times.push(time);
        }
    }
    times.reverse();
    times
}

/// Cuts the keys with ranks in `low..high` into `parts` stretches of about equal counts.
fn cut_equally(set: &Snapshot, low: u64, high: u64, parts: u64, cuts: &mut Vec<Cut>) -> Result<(), PageError> {
    let count = high - low;
    let parts = parts.min(count).max(1);
    // Cuts move by less than half a part, so they stay in order and inside.
    let slack = count / parts / 4;
    for part in 1..parts {
        let rank = low + scaled(count, part, parts);
        cuts.push(cut_near(set, rank, slack)?);
    }
    Ok(())
}

/// `count` x `part` / `parts`, without overflow.
fn scaled(count: u64, part: u64, parts: u64) -> u64 {
    count / parts * part + count % parts * part / parts
}

/// A key with about `rank` keys before it, at most `slack` more or fewer: where the highest chunk starts that does so.
fn cut_near(set: &Snapshot, rank: u64, slack: u64) -> Result<Cut, PageError> {
    match chunk_start_near(set, rank, slack)? {
        Some((rank, first)) => cut_before(set, rank, &first),
        None => set.nth(rank)?.map_or(Ok(Cut::at(Key::MAX)), |first| cut_before(set, rank, &first)),
    }
}

/// The first key of the highest chunk that starts at most `slack` keys before or after the key with this `rank`, with its rank.
fn chunk_start_near(set: &Snapshot, rank: u64, slack: u64) -> Result<Option<(u64, Key)>, PageError> {
    let Some(root) = &set.root else { return Ok(None) };
    set.source.node(root)?.map_or(Ok(None), |node| chunk_start_below(set, &node, 0, rank, slack))
}

/// The same for the chunks under `node`, which has so many keys `before` it.
fn chunk_start_below(
    set: &Snapshot,
    node: &Node,
    before: u64,
    rank: u64,
    slack: u64,
) -> Result<Option<(u64, Key)>, PageError> {
    let Body::Inner(inner) = &node.body else { return Ok(None) };
    let (index, more) = inner.find_rank(rank - before);
    let (start, end) = (before + more, before + more + inner.count(index));
    if start > 0 && rank - start <= slack && rank - start <= end - rank {
        return Ok(Some((start, Key::from_bytes(inner.firsts[index]))));
    }
    if end - rank <= slack && end < set.len() {
        // Where the next chunk starts, which may lie in another chunk of the level above.
        let first = match inner.firsts.get(index + 1) {
            Some(first) => Some(Key::from_bytes(*first)),
            None => set.nth(end)?,
        };
        return Ok(first.map(|first| (end, first)));
    }
    let below =
        |child: Option<&Arc<Node>>| child.map_or(Ok(None), |child| chunk_start_below(set, child, start, rank, slack));
    set.source.with_child(inner, index, below)
}

/// The shortest bound between the key `first`, which has `rank` keys before it, and the key before.
fn cut_before(set: &Snapshot, rank: u64, first: &Key) -> Result<Cut, PageError> {
    let before = rank.checked_sub(1).map_or(Ok(None), |rank| set.nth(rank))?;
    Ok(Cut { bound: before.map_or(*first, |before| shortest_separator(&before, first)), start: *first })
}
