//! Where summaries and splits are cut.
use std::ops::ControlFlow;

use crate::{Key, KeyRange, PageError, Snapshot, node::Body, shortest_separator};

/// One minute in nanoseconds: the finest cut by age.
const MINUTE: u64 = 60_000_000_000;

/// Where a set is cut.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    /// Number of keys before.
    pub(crate) rank: u64,
    /// As it travels.
    pub(crate) bound: Key,
    /// No key of the set lies between the bound and this one, at which a chunk starts if it can be.
    pub(crate) start: Key,
}

impl Cut {
    fn at(set: &Snapshot, bound: Key) -> Result<Cut, PageError> {
        Ok(Cut { rank: set.rank(&bound)?, bound, start: bound })
    }
}

/// Cuts of `range` into at most `parts` stretches of about equal counts, with those at its two ends.
pub(crate) fn equal_counts(set: &Snapshot, range: &KeyRange, parts: usize) -> Result<Vec<Cut>, PageError> {
    let (start, end) = (Cut::at(set, range.start())?, Cut::at(set, range.end())?);
    let mut cuts = vec![start];
    cut_equally(set, start.rank, end.rank, parts as u64, &mut cuts)?;
    cuts.push(end);
    Ok(cuts)
}

/// Cuts of `window` into at most `spans` stretches, with those at its two ends: about half of the cuts by age, the others where
/// the counts are largest.
pub(crate) fn by_age_and_count(set: &Snapshot, window: &KeyRange, spans: usize) -> Result<Vec<Cut>, PageError> {
    let (start, end) = (Cut::at(set, window.start())?, Cut::at(set, window.end())?);
    let whole = vec![start, end];
    if start.rank == end.rank || spans < 2 {
        return Ok(whole);
    }
    let (Some(first), Some(last)) = (set.nth(start.rank)?, set.nth(end.rank - 1)?) else { return Ok(whole) };
    // The cuts by age, without those that have nothing before or behind them.
    let mut by_age = vec![start];
    for time in dyadic_times(first.timestamp(), last.timestamp().saturating_add(1), spans / 2) {
        let cut = Cut::at(set, Key::at(time))?;
        if by_age.last().is_none_or(|last| cut.rank > last.rank) && cut.rank < end.rank {
            by_age.push(cut);
        }
    }
    by_age.push(end);
    let by_age = at_chunk_starts(set, &by_age)?;
    let counts: Vec<u64> = by_age.windows(2).map(|pair| pair[1].rank - pair[0].rank).collect();
    let largest = largest_count(&counts, spans as u64);
    let mut cuts = vec![start];
    for pair in by_age.windows(2) {
        let (low, high) = (pair[0].rank, pair[1].rank);
        cut_equally(set, low, high, (high - low).div_ceil(largest), &mut cuts)?;
        cuts.push(pair[1]);
    }
    Ok(cuts)
}

/// Leaves out so many cuts, one after the other where the fewest keys lie on both sides together.
pub(crate) fn join_smallest(cuts: &mut Vec<Cut>, excess: usize) {
    for _ in 0..excess {
        let joined = |at: &usize| cuts[at + 1].rank - cuts[at - 1].rank;
        let Some(at) = (1..cuts.len().saturating_sub(1)).min_by_key(joined) else { return };
        cuts.remove(at);
    }
}

/// The same cuts, those inside moved to where a chunk starts if one does so near enough: then no keys have to be hashed for the
/// fingerprints beside it, here and wherever about the same keys are held.
fn at_chunk_starts(set: &Snapshot, cuts: &[Cut]) -> Result<Vec<Cut>, PageError> {
    let mut moved = cuts.to_vec();
    for (triple, to) in cuts.windows(3).zip(moved.iter_mut().skip(1)) {
        let [before, cut, after] = triple else { continue };
        // Less than half of what lies on either side, so they stay in order.
        let slack = (cut.rank - before.rank).min(after.rank - cut.rank) / 4;
        if let Some((rank, first)) = chunk_start_near(set, cut.rank, slack)? {
            *to = cut_before(set, rank, first)?;
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

/// A cut with about `rank` keys before it, at most `slack` more or fewer: where the highest chunk starts that does so.
fn cut_near(set: &Snapshot, rank: u64, slack: u64) -> Result<Cut, PageError> {
    match chunk_start_near(set, rank, slack)? {
        Some((rank, first)) => cut_before(set, rank, first),
        None => cut_before(set, rank, set.nth(rank)?.unwrap_or(Key::MAX)),
    }
}

/// The first key of the highest chunk that starts at most `slack` keys before or after the key with this `rank`, with its rank.
fn chunk_start_near(set: &Snapshot, rank: u64, slack: u64) -> Result<Option<(u64, Key)>, PageError> {
    let Some(root) = &set.root else { return Ok(None) };
    let mut before = 0;
    let found = set.source.descend(root, |node| {
        let Body::Inner(inner) = &node.body else { return ControlFlow::Break(None) };
        let (index, more) = inner.find_rank(rank - before);
        let (start, end) = (before + more, before + more + inner.count(index));
        if start > 0 && rank - start <= slack && rank - start <= end - rank {
            return ControlFlow::Break(Some((start, Some(inner.firsts[index]))));
        }
        if end - rank <= slack && end < set.len() {
            return ControlFlow::Break(Some((end, inner.firsts.get(index + 1).copied())));
        }
        before = start;
        if node.level == 1 { ControlFlow::Break(None) } else { ControlFlow::Continue(index) }
    })?;
    let Some((rank, first)) = found.flatten() else { return Ok(None) };
    // The next chunk may lie in another chunk of the level above.
    let first = first.map_or_else(|| set.nth(rank), |first| Ok(Some(Key::from_bytes(first))))?;
    Ok(first.map(|first| (rank, first)))
}

/// The shortest bound between the key `start`, which has `rank` keys before it, and the key before.
fn cut_before(set: &Snapshot, rank: u64, start: Key) -> Result<Cut, PageError> {
    let before = rank.checked_sub(1).map_or(Ok(None), |rank| set.nth(rank))?;
    Ok(Cut { rank, bound: before.map_or(start, |before| shortest_separator(&before, &start)), start })
}
