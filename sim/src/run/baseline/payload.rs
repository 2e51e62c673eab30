//! What nwaku's store sync sends: ranges, with a fingerprint or items each, encoded as `waku_store_sync/codec.nim` does
//! (nwaku 7d1c6aba). Left out: the lists of topics, which are empty here and take a byte each.

use hearken_tree::{Id, Key};

/// A range up to `end`; it begins where the one before it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) what: What,
}

/// What is said of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Equal, or done with.
    Skip,
    /// The XOR of all ids.
    Fingerprint([u8; 32]),
    /// All that is there; `reconciled`: the sender knows what the receiver holds.
    Items { keys: Vec<Key>, reconciled: bool },
}

/// Ranges as bytes. Nothing to say is one zero.
pub(super) fn encode(ranges: &[Range]) -> Vec<u8> {
    let Some(first) = ranges.first() else { return vec![0] };
    let mut out = vec![0, 0];
    varint(&mut out, first.start);
    let mut last = first.start;
    for range in ranges {
        varint(&mut out, range.end - last);
        if range.end == last {
            // Bounds at the same time are told apart by their hashes, all zero here: one byte of them.
            out.extend_from_slice(&[1, 0]);
        }
        last = range.end;
        match &range.what {
            What::Skip => out.push(0),
            What::Fingerprint(fingerprint) => {
                out.push(1);
                out.extend_from_slice(fingerprint);
            }
            What::Items { keys, reconciled } => {
                out.push(2);
                varint(&mut out, keys.len() as u64);
                let mut last = 0;
                for key in keys {
                    varint(&mut out, key.timestamp() - last);
                    last = key.timestamp();
                    out.extend_from_slice(&key.id().0);
                }
                out.push(u8::from(*reconciled));
            }
        }
    }
    out
}

/// The ranges that the bytes say; `None` if they say none.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<Range>> {
    if bytes.len() <= 1 {
        return Some(Vec::new());
    }
    let mut rest = bytes.get(2..)?;
    let mut start = read_varint(&mut rest)?;
    let mut ranges = Vec::new();
    while !rest.is_empty() {
        let length = read_varint(&mut rest)?;
        if length == 0 {
            rest = rest.get(2..)?;
        }
        let end = start.checked_add(length)?;
        let (tag, after) = rest.split_first()?;
        rest = after;
        let what = match tag {
            0 => What::Skip,
            1 => {
                let (fingerprint, after) = rest.split_first_chunk()?;
                rest = after;
                What::Fingerprint(*fingerprint)
            }
            _ => read_items(&mut rest)?,
        };
        ranges.push(Range { start, end, what });
        start = end;
    }
    Some(ranges)
}

fn read_items(rest: &mut &[u8]) -> Option<What> {
    let (mut keys, mut last) = (Vec::new(), 0u64);
    for _ in 0..read_varint(rest)? {
        last = last.checked_add(read_varint(rest)?)?;
        let (id, after) = rest.split_first_chunk()?;
        *rest = after;
        keys.push(Key::new(last, Id(*id)));
    }
    let (reconciled, after) = rest.split_first()?;
    *rest = after;
    Some(What::Items { keys, reconciled: *reconciled == 1 })
}

/// LEB128.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or(0));
}

fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_was() {
        let key = |at: u64| Key::new(at, Id([7; 32]));
        let ranges = vec![
            Range { start: 1_000, end: 2_000, what: What::Skip },
            Range { start: 2_000, end: 2_000, what: What::Fingerprint([9; 32]) },
            Range {
                start: 2_000,
                end: 9_000,
                what: What::Items { keys: vec![key(3_000), key(3_000)], reconciled: true },
            },
            Range { start: 9_000, end: u64::MAX, what: What::Items { keys: vec![], reconciled: false } },
        ];
        assert_eq!(decode(&encode(&ranges)), Some(ranges.clone()));
        assert_eq!((encode(&[]), decode(&[0])), (vec![0], Some(vec![])));
        let bytes = encode(&ranges);
        assert!((3..bytes.len() - 20).all(|cut| decode(&bytes[..cut]) != Some(ranges.clone())));
    }
}
