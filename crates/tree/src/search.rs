//! Finding a key among sorted ones.
use std::cmp::Ordering;

use crate::shape::Raw;

/// The order of two keys. Most differ in their timestamps, so that no function has to be called for the rest.
#[inline]
pub(crate) fn compare(a: &Raw, b: &Raw) -> Ordering {
    head(a).cmp(&head(b)).then_with(|| a[8..].cmp(&b[8..]))
}

/// The timestamp.
#[inline]
fn head(key: &Raw) -> u64 {
    let (head, _) = key.as_chunks::<8>();
    head.first().map_or(0, |head| u64::from_be_bytes(*head))
}

/// Number of `keys`, which are in order, that are not after `key`.
pub(crate) fn not_after(keys: &[Raw], key: &Raw) -> usize {
    match keys {
        [first, .., last] if compare(last, key).is_gt() => not_after_between(keys, key, first, last),
        [one] if one > key => 0,
        _ => keys.len(),
    }
}

/// [`not_after`], where the keys are known to lie between `low` and `high`.
///
/// Probing memory costs more than comparing: so the place is guessed from the timestamps, which honest keys take up evenly,
/// and sought from there in growing steps. The ends of `keys` are not touched.
pub(crate) fn not_after_between(keys: &[Raw], key: &Raw, low: &Raw, high: &Raw) -> usize {
    let (time, from, to) = (head(key), head(low), head(high));
    let share = if from < time && time < to { (time - from) as f64 / (to - from) as f64 } else { 0.5 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length, from 0 to 1")]
    let guess = ((share * keys.len() as f64) as usize).min(keys.len().saturating_sub(1));
    let is_after = |at: usize| keys.get(at).is_none_or(|other| compare(other, key).is_gt());
    let (mut start, mut end) = (guess, guess);
    let mut step = 1;
    if is_after(guess) {
        while start > 0 {
            end = start;
            start = start.saturating_sub(step);
            if !is_after(start) {
                break;
            }
            step *= 2;
        }
    } else {
        while !is_after(end) {
            start = end;
            end = (end + step).min(keys.len());
            step *= 2;
        }
    }
    start + keys[start..end].partition_point(|other| compare(other, key).is_le())
}

/// Number of `keys`, which are in order, that are before `key`.
pub(crate) fn before(keys: &[Raw], key: &Raw) -> usize {
    let not_after = not_after(keys, key);
    not_after - usize::from(not_after > 0 && keys[not_after - 1] == *key)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn key(time: u64, tail: u8) -> Raw {
        let mut key = [tail; 40];
        key[..8].copy_from_slice(&time.to_be_bytes());
        key
    }

    proptest! {
        #[test]
        fn guessing_finds_what_halving_finds(
            mut times in prop::collection::vec((prop_oneof![0u64..20, any::<u64>(), (0u32..64).prop_map(|bit| 1 << bit)], 0u8..3), 1..200),
            sought in (prop_oneof![0u64..20, any::<u64>()], 0u8..3),
        ) {
            times.sort_unstable();
            times.dedup();
            let keys: Vec<Raw> = times.iter().map(|(time, tail)| key(*time, *tail)).collect();
            for sought in keys.iter().copied().chain([key(sought.0, sought.1)]) {
                prop_assert_eq!(not_after(&keys, &sought), keys.partition_point(|key| *key <= sought));
                let (low, high) = (key(times[0].0 / 2, 0), key(u64::MAX, 9));
                prop_assert_eq!(not_after_between(&keys, &sought, &low, &high), not_after(&keys, &sought));
                prop_assert_eq!(before(&keys, &sought), keys.partition_point(|key| *key < sought));
            }
        }
    }
}
