//! Bounds of ranges, each coded against the one before it.
//!
//! A bound is nearly always a round time. Its varint holds, from the lowest bit on, 6 bits of `shift`, which is how many
//! zero bits the timestamp ends with, and then how far the timestamp has moved in units of 2^shift. Where the key's id
//! is not all zero, the varint [`ID_FOLLOWS`] comes first and the id, without its trailing zero bytes, last.

use bytes::BufMut;
use hearken_tree::{Id, Key};

use crate::{
    DecodeError,
    codec::packed::{Reader, put_wide_varint},
};

/// In place of a shift: the id is not zero. One byte.
const ID_FOLLOWS: u128 = 63;
/// The largest shift.
const SHIFT_MAX: u32 = 62;

/// The shortest code of a bound.
pub(crate) const BOUND_MIN: usize = 1;
/// The longest: escape, varint of 70 bits, length, id.
pub(crate) const BOUND_MAX: usize = 1 + 10 + 1 + 32;

/// Writes `bound`, which must not be before `previous`.
pub(crate) fn put_bound(out: &mut impl BufMut, previous: &Key, bound: &Key) {
    let id = bound.id().0;
    let length = id.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if length > 0 {
        put_wide_varint(out, ID_FOLLOWS);
    }

    let shift = bound.timestamp().trailing_zeros().min(SHIFT_MAX);
    let moved = (bound.timestamp() >> shift) - (previous.timestamp() >> shift);
    put_wide_varint(out, u128::from(moved) << 6 | u128::from(shift));

    if let Some(prefix) = id.get(..length).filter(|prefix| !prefix.is_empty()) {
        // At most 32.
        #[allow(clippy::cast_possible_truncation)]
        out.put_u8(length as u8);
        out.put_slice(prefix);
    }
}

/// Reads a bound. It may come before `previous`, if a hostile peer wrote it.
pub(crate) fn read_bound(reader: &mut Reader<'_>, previous: &Key) -> Result<Key, DecodeError> {
    let first = reader.wide_varint("a bound")?;
    if first != ID_FOLLOWS {
        return Ok(Key::at(read_time(first, previous)?));
    }

    let coded = reader.wide_varint("a bound's time")?;
    let timestamp = read_time(coded, previous)?;
    let length = usize::from(reader.byte("a bound's id")?);
    let prefix = reader.take(length, "a bound's id")?;
    let mut id = [0; 32];
    id.get_mut(..length)
        .ok_or(DecodeError::TooLong { what: "a bound's id", found: length as u64, max: 32 })?
        .copy_from_slice(prefix);
    Ok(Key::new(timestamp, Id(id)))
}

fn read_time(coded: u128, previous: &Key) -> Result<u64, DecodeError> {
    let overflow = DecodeError::Overflow { what: "a bound's time" };
    let shift = (coded & 63) as u32;
    if shift > SHIFT_MAX {
        return Err(overflow);
    }
    // A varint has at most 70 bits, so neither the sum nor the shift overflows 128.
    let moved = u128::from(previous.timestamp() >> shift) + (coded >> 6);
    u64::try_from(moved << shift).map_err(|_| overflow)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn round_trip(previous: Key, bound: Key) -> usize {
        let mut out = Vec::new();
        put_bound(&mut out, &previous, &bound);
        let mut reader = Reader::new(&out);
        assert_eq!(read_bound(&mut reader, &previous), Ok(bound));
        assert!((BOUND_MIN..=BOUND_MAX).contains(&out.len()));
        reader.finish("bound").unwrap();
        out.len()
    }

    #[test]
    fn extremes_survive() {
        assert_eq!(round_trip(Key::MIN, Key::MIN), 1);
        assert_eq!(round_trip(Key::MIN, Key::MAX), BOUND_MAX);
        assert_eq!(round_trip(Key::MAX, Key::MAX), 1 + 1 + 1 + 32);
        assert_eq!(round_trip(Key::MIN, Key::at(1 << 63)), 2);
        assert_eq!(round_trip(Key::MIN, Key::at(u64::MAX)), 10);
    }

    #[test]
    fn round_times_are_short() {
        assert_eq!(round_trip(Key::at(5 << 40), Key::at(6 << 40)), 1);
        assert_eq!(round_trip(Key::at(5 << 40), Key::at(260 << 40)), 2);
        assert_eq!(round_trip(Key::at(0x1234_5678_9abc_def0), Key::at(0x1235 << 48)), 1);
    }

    #[test]
    fn a_time_past_64_bits_is_refused() {
        let mut out = Vec::new();
        put_wide_varint(&mut out, 2 << 6);
        assert!(read_bound(&mut Reader::new(&out), &Key::MAX).is_err());
        put_wide_varint(&mut out, 1 << 69 | 62);
        assert!(read_bound(&mut Reader::new(&out), &Key::MIN).is_ok());
        assert!(read_bound(&mut Reader::new(&[0xff; 11]), &Key::MIN).is_err());
    }
}
