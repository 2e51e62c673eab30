//! Where sketches come in: from keys and salts to syndromes, and back to what differs.
use hearken_sketch::{ShortId, ShortIds, Sketch};
use hearken_tree::{Key, KeyRange, PageError, Snapshot};
use hearken_wire::Salt;

/// How many short ids are collected before they go into a sketch.
const BLOCK: usize = 1024;
/// Sums that are tried by themselves at most: in vain, they cost less than the rest of looking at each key.
const FEW: usize = 4;

/// What a folded sketch says.
pub(super) struct Decoded {
    /// Keys that only this side holds.
    pub(super) found: Vec<Key>,
    /// Short ids of what only the other side holds.
    pub(super) lacks: Vec<u32>,
}

/// The syndromes of what `set` holds in `range`.
pub(super) fn encode(set: &Snapshot, range: &KeyRange, salt: Salt, capacity: usize) -> Result<Vec<u32>, PageError> {
    let hash = ShortIds::new(salt.0);
    let (mut sketch, mut own) = (Sketch::new(capacity), Vec::with_capacity(2 * BLOCK));
    set.visit(range, |keys| {
        hash.of_each(keys, &mut own);
        if own.len() >= BLOCK {
            sketch.extend(own.drain(..));
        }
    })?;
    sketch.extend(own);
    Ok(sketch.into_syndromes())
}

/// What differs between `set`, which holds so many keys `more`, and the one whose sketch this is; `None` if that is more than the
/// sketch can tell.
pub(super) fn decode(
    set: &Snapshot,
    range: &KeyRange,
    salt: Salt,
    syndromes: &[u32],
    more: i64,
) -> Result<Option<Decoded>, PageError> {
    let own = short_ids(set, range, salt)?;
    let among = |capacity: usize| {
        let mut difference = Sketch::encode(capacity, own.iter().copied());
        difference.fold(&Sketch::from_syndromes(syndromes.to_vec()));
        let decoded = difference.decode_among(&own, difference.max_differences());
        decoded.ok().filter(|decoded| decoded.balance() == more)
    };
    // Most sketches have room for more than differs. Where counts differ by little, mostly nothing else does: then so many sums and one
    // that verifies tell all.
    let least = usize::try_from(more.unsigned_abs().saturating_add(1)).unwrap_or(usize::MAX);
    let few = (2..=FEW).contains(&least) && 2 * least <= syndromes.len();
    let decoded = few.then(|| among(least)).flatten().or_else(|| among(syndromes.len()));
    let Some(decoded) = decoded else { return Ok(None) };
    Ok(Some(Decoded {
        found: at(set, range, decoded.held.iter().copied())?,
        lacks: decoded.lacking.iter().map(|id| id.get()).collect(),
    }))
}

/// Keys of `set` in `range` whose short ids are among `wanted`.
pub(super) fn find(set: &Snapshot, range: &KeyRange, salt: Salt, wanted: &[u32]) -> Result<Vec<Key>, PageError> {
    let mut sorted = wanted.to_vec();
    sorted.sort_unstable();
    let own = short_ids(set, range, salt)?;
    let found = (0..).zip(&own).filter(|(_, id)| sorted.binary_search(&id.get()).is_ok());
    at(set, range, found.map(|(place, _)| place))
}

/// The keys of `set` that come at these places among those in `range`.
fn at(set: &Snapshot, range: &KeyRange, places: impl Iterator<Item = usize>) -> Result<Vec<Key>, PageError> {
    let first = set.rank(&range.start())?;
    let keys = places.map(|place| set.nth(first + place as u64));
    keys.filter_map(Result::transpose).collect()
}

/// The short ids of what `set` holds in `range`, in the order of the keys.
fn short_ids(set: &Snapshot, range: &KeyRange, salt: Salt) -> Result<Vec<ShortId>, PageError> {
    let hash = ShortIds::new(salt.0);
    let mut own = Vec::with_capacity(usize::try_from(set.count(range)?).unwrap_or(0));
    set.visit(range, |keys| hash.of_each(keys, &mut own))?;
    Ok(own)
}
