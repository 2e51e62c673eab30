//! Finding a key among sorted ones.
use std::cmp::Ordering;

use crate::shape::Raw;

/// Guesses before halving: keys that arrive evenly over time are found in one or two, ground ones cost no more than these.
const GUESSES: u32 = 4;

/// The order of two keys. Most differ in their timestamps.
pub(crate) fn compare(a: &Raw, b: &Raw) -> Ordering {
    head(a).cmp(&head(b)).then_with(|| a[8..].cmp(&b[8..]))
}

/// The timestamp.
fn head(key: &Raw) -> u64 {
    let (head, _) = key.as_chunks::<8>();
    head.first().map_or(0, |head| u64::from_be_bytes(*head))
}

/// Number of `keys`, which are in order, that are not after `key`.
///
/// Probing memory costs more than comparing, so the place is guessed from the timestamps at both ends of what is left.
pub(crate) fn not_after(keys: &[Raw], key: &Raw) -> usize {
    let (mut low, mut high) = (0, keys.len());
    match keys.last() {
        Some(last) if compare(last, key).is_gt() => {}
        _ => return high,
    }
    let time = head(key);
    for _ in 0..GUESSES {
        if high - low < 8 {
            break;
        }
        let (from, to) = (head(&keys[low]), head(&keys[high - 1]));
        if time <= from || time >= to {
            break;
        }
        // Floating point is precise enough for a guess, and never negative or above 1 here.
        let share = (time - from) as f64 / (to - from) as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let guess = low + (share * (high - 1 - low) as f64) as usize;
        // A few to each side, so that both bounds close in.
        let reach = 2 + (high - low) / 16;
        let (left, right) = ((guess.saturating_sub(reach)).max(low), (guess + reach).min(high - 1));
        let (at_left, at_right) = (head(&keys[left]), head(&keys[right]));
        if at_left == time {
            break;
        }
        if at_left > time {
            high = left;
        } else if at_right < time {
            low = right;
        } else {
            low = left;
            if at_right == time {
                break;
            }
            high = right;
        }
    }
    low + keys[low..high].partition_point(|other| compare(other, key).is_le())
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
            mut times in prop::collection::vec((prop_oneof![0u64..20, any::<u64>(), (0u32..64).prop_map(|bit| 1 << bit)], 0u8..3), 0..200),
            sought in (prop_oneof![0u64..20, any::<u64>()], 0u8..3),
        ) {
            times.sort_unstable();
            times.dedup();
            let keys: Vec<Raw> = times.iter().map(|(time, tail)| key(*time, *tail)).collect();
            for sought in keys.iter().copied().chain([key(sought.0, sought.1)]) {
                prop_assert_eq!(not_after(&keys, &sought), keys.partition_point(|key| *key <= sought));
                prop_assert_eq!(before(&keys, &sought), keys.partition_point(|key| *key < sought));
            }
        }
    }
}
