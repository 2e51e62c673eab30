//! Where sketches come in: from keys and salts to syndromes, and back to what differs.
use hearken_sketch::{ShortId, ShortIds, Sketch};
use hearken_tree::{Key, KeyRange, PageError, Snapshot};
use hearken_wire::Salt;

/// What a folded sketch says.
pub(super) struct Decoded {
    /// Keys that only this side holds.
    pub(super) found: Vec<Key>,
    /// Short ids of what only the other side holds.
    pub(super) lacks: Vec<u32>,
    /// How many keys more this side holds than the other, by the sketch.
    pub(super) balance: i64,
}

/// The syndromes of what `set` holds in `range`.
pub(super) fn encode(set: &Snapshot, range: &KeyRange, salt: Salt, capacity: usize) -> Result<Vec<u32>, PageError> {
    let (_, own) = short_ids(set, range, salt)?;
    Ok(Sketch::encode(capacity, own).into_syndromes())
}

/// What differs between `set` and the one whose sketch this is; `None` if that is more than the sketch can tell.
pub(super) fn decode(
    set: &Snapshot,
    range: &KeyRange,
    salt: Salt,
    syndromes: &[u32],
) -> Result<Option<Decoded>, PageError> {
    let (keys, own) = short_ids(set, range, salt)?;
    let mut difference = Sketch::encode(syndromes.len(), own.iter().copied());
    difference.fold(&Sketch::from_syndromes(syndromes.to_vec()));
    let Ok(decoded) = difference.decode_among(&own, difference.max_differences()) else { return Ok(None) };
    Ok(Some(Decoded {
        balance: decoded.balance(),
        found: decoded.held.iter().filter_map(|at| keys.get(*at).copied()).collect(),
        lacks: decoded.lacking.iter().map(|id| id.get()).collect(),
    }))
}

/// Keys of `set` in `range` whose short ids are among `wanted`.
pub(super) fn find(set: &Snapshot, range: &KeyRange, salt: Salt, wanted: &[u32]) -> Result<Vec<Key>, PageError> {
    let mut sorted = wanted.to_vec();
    sorted.sort_unstable();
    let (keys, own) = short_ids(set, range, salt)?;
    let found = keys.into_iter().zip(own).filter(|(_, id)| sorted.binary_search(&id.get()).is_ok());
    Ok(found.map(|(key, _)| key).collect())
}

fn short_ids(set: &Snapshot, range: &KeyRange, salt: Salt) -> Result<(Vec<Key>, Vec<ShortId>), PageError> {
    let keys = set.keys(range).collect::<Result<Vec<Key>, PageError>>()?;
    let short = ShortIds::new(salt.0);
    let own = keys.iter().map(|key| short.of(&key.id().0)).collect();
    Ok((keys, own))
}
