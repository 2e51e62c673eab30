//! Holes in what is held here, told from ordinary silence.
use hearken_tree::{Key, KeyRange, PageError, Snapshot};

/// Holes looked for in one range.
const MAX_GAPS: usize = 8;
/// A gap counts only from so many times the longest silence that chance would leave between that many messages.
const BEYOND_CHANCE: f64 = 3.0;
/// How far expected and missing messages may lie apart: traffic is not even.
const TOLERANCE: f64 = 4.0;
/// The same for a gap that goes on in the next range: there it needs little proof.
const EDGE_TOLERANCE: f64 = 16.0;

/// A stretch without own keys.
#[derive(Clone, Copy)]
struct Gap {
    range: KeyRange,
    length: f64,
}

/// Where there is nothing in a range.
struct Silence {
    /// The longest gaps, longest first.
    longest: Vec<Gap>,
    /// Those at the left and the right end of the range.
    edges: (Option<Gap>, Option<Gap>),
    /// The number of keys.
    keys: u64,
}

/// The gaps in `held` that explain why `missing` keys of `range` are missing; empty if none do.
///
/// `beside_empty`: the range next to this one, on its (left, right), is empty here and not there, which makes a gap that
/// goes on into it likely. Reads every key of the range.
pub(super) fn find(
    held: &Snapshot,
    range: &KeyRange,
    missing: u64,
    beside_empty: (bool, bool),
) -> Result<Vec<KeyRange>, PageError> {
    let Silence { longest, edges, keys } = silence(held, range)?;
    let (missing, keys, whole) = (as_f64(missing), as_f64(keys), length(range));
    // How many keys there are for each unit of time outside of gaps of such a length, and how many these would hold.
    let even = |empty: f64| (keys / (whole - empty), keys / (whole - empty) * empty);

    let edges: Vec<Gap> =
        [edges.0.filter(|_| beside_empty.0), edges.1.filter(|_| beside_empty.1)].into_iter().flatten().collect();
    if !edges.is_empty() && even(edges.iter().map(|gap| gap.length).sum()).1 * EDGE_TOLERANCE >= missing {
        return Ok(edges.into_iter().map(|gap| gap.range).collect());
    }
    for take in 1..=longest.len() {
        let chosen = longest.get(..take).unwrap_or_default();
        let (density, expected) = even(chosen.iter().map(|gap| gap.length).sum());
        let beyond_chance = |gap: &Gap| gap.length * density >= BEYOND_CHANCE * keys.max(2.0).ln();
        if expected * TOLERANCE >= missing && expected <= missing * TOLERANCE && chosen.iter().all(beyond_chance) {
            let mut ranges: Vec<KeyRange> = chosen.iter().map(|gap| gap.range).collect();
            ranges.sort_unstable();
            return Ok(ranges);
        }
    }
    Ok(Vec::new())
}

/// Every stretch of `range` between own keys, in order.
pub(super) fn all(held: &Snapshot, range: &KeyRange) -> Result<Vec<KeyRange>, PageError> {
    let mut gaps = Vec::new();
    each(held, range, |last, next| gaps.extend(between(range, last, next)))?;
    Ok(gaps)
}

fn silence(held: &Snapshot, range: &KeyRange) -> Result<Silence, PageError> {
    let mut gaps: Vec<Gap> = Vec::with_capacity(MAX_GAPS + 1);
    let mut edges = (None, None);
    // No gap between keys that lie no further apart is among the longest.
    let mut least = 0;
    let keys = each(held, range, |last, next| {
        if let (Some(last), Some(next)) = (last, next)
            && gaps.len() == MAX_GAPS
            && next.timestamp() - last.timestamp() <= least
        {
            return;
        }
        let Some(found) = between(range, last, next) else { return };
        let gap = Gap { range: found, length: length(&found) };
        if found.start() == range.start() {
            edges.0 = Some(gap);
        }
        if found.end() == range.end() {
            edges.1 = Some(gap);
        }
        let at = gaps.partition_point(|other| other.length >= gap.length);
        gaps.insert(at, gap);
        gaps.truncate(MAX_GAPS);
        least = gaps.last().map_or(0, |shortest| time(&shortest.range));
    })?;
    Ok(Silence { longest: gaps, edges, keys })
}

/// Hands each two keys that follow one another to `pair`; no key stands for either end of the range.
fn each(held: &Snapshot, range: &KeyRange, mut pair: impl FnMut(Option<&Key>, Option<&Key>)) -> Result<u64, PageError> {
    let (mut last, mut count) = (None, 0);
    held.visit(range, |keys| {
        for next in keys.iter().map(|key| Key::from_bytes(*key)) {
            pair(last.as_ref(), Some(&next));
            last = Some(next);
        }
        count += keys.len() as u64;
    })?;
    pair(last.as_ref(), None);
    Ok(count)
}

/// What lies between two keys that follow one another in `range`, if it is anything.
fn between(range: &KeyRange, last: Option<&Key>, next: Option<&Key>) -> Option<KeyRange> {
    let (start, end) = (last.map_or(range.start(), after), next.map_or(range.end(), before));
    KeyRange::new(start, end).ok().filter(|range| !range.is_empty())
}

/// Bytes of a key that bounds of gaps keep: timestamp and 4 bytes of the id. What shares them with a key held here is not
/// asked for now; the next comparison shows it.
const BOUND_LEN: usize = 12;

/// The last short bound that is not after `key`.
fn before(key: &Key) -> Key {
    let mut bytes = [0; Key::LEN];
    bytes[..BOUND_LEN].copy_from_slice(&key.as_bytes()[..BOUND_LEN]);
    Key::from_bytes(bytes)
}

/// The first short bound after `key`.
fn after(key: &Key) -> Key {
    let mut bytes = *before(key).as_bytes();
    for byte in bytes[..BOUND_LEN].iter_mut().rev() {
        let (next, overflow) = byte.overflowing_add(1);
        *byte = next;
        if !overflow {
            return Key::from_bytes(bytes);
        }
    }
    Key::MAX
}

fn length(range: &KeyRange) -> f64 {
    as_f64(time(range))
}

/// How long it lasts, in nanoseconds.
fn time(range: &KeyRange) -> u64 {
    range.end().timestamp() - range.start().timestamp()
}

#[expect(clippy::cast_precision_loss, reason = "estimates")]
fn as_f64(number: u64) -> f64 {
    number as f64
}
