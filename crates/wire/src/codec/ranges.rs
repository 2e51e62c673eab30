//! The packed ranges of a request: their number as a varint, then for each
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | bits 0-1: 0 `All`, 1 `Check`, 2 `Sketch`, 3 `Ids`; bit 2: starts where the one before it ended; bits 3-7: `n` |
//! | varint | if `n` is 31: how much larger it is |
//! | bound | where it starts, without bit 2 |
//! | bound | where it ends |
//! | varint, 8 | `Check`: count and digest |
//! | varint, 4, 4n | `Sketch`: count, digest, `n` syndromes |
//! | 4n | `Ids`: `n` short ids |
//!
//! "The one before" the first is what the requester holds: it ended at the start of its window.

use bytes::{BufMut, Bytes};
use hearken_tree::{Key, KeyRange};

use crate::{
    Ask, DecodeError, EncodeError, List, RangeWant, TinyDigest, TinyFingerprint,
    codec::{
        bound::{BOUND_MAX, BOUND_MIN, put_bound, read_bound},
        packed::{Reader, check_items, check_messages, put_varint, put_words},
        spans::{put_fingerprint, read_fingerprint},
    },
    limits::{IDS_MAX, RANGES_MAX, SYNDROMES_MAX, WORDS_MAX},
};

/// Most bytes of one range in a request beside 4 for each syndrome or short id. With bounds that are round times it is
/// about 12.
pub const RANGE_MAX_OVERHEAD: usize = 1 + 2 + 2 * BOUND_MAX + 7 + 8;

/// The shortest code of a range: header and end.
const RANGE_MIN: usize = 1 + BOUND_MIN;

const ALL: u8 = 0;
const CHECK: u8 = 1;
const SKETCH: u8 = 2;
const IDS: u8 = 3;
const FOLLOWS_ON: u8 = 1 << 2;
const NUMBER_SHIFT: u32 = 3;

pub(super) fn put_ranges(out: &mut Vec<u8>, from: Key, ranges: &List<RangeWant>) -> Result<(), EncodeError> {
    check_ranges(from, ranges)?;
    put_varint(out, ranges.len() as u64);
    let mut previous = from;
    for RangeWant { range, ask } in ranges.iter() {
        let (kind, number) = match &ask {
            Ask::All => (ALL, 0),
            Ask::Check(_) => (CHECK, 0),
            Ask::Sketch { syndromes, .. } => (SKETCH, syndromes.len()),
            Ask::Ids(ids) => (IDS, ids.len()),
        };
        let follows_on = range.start() == previous;
        put_header(out, kind | if follows_on { FOLLOWS_ON } else { 0 }, NUMBER_SHIFT, number as u64);
        if !follows_on {
            put_bound(out, &previous, &range.start());
        }
        put_bound(out, &range.start(), &range.end());
        match &ask {
            Ask::All => {}
            Ask::Check(fingerprint) => put_fingerprint(out, fingerprint),
            Ask::Sketch { fingerprint, syndromes } => {
                put_varint(out, fingerprint.count);
                out.put_slice(&fingerprint.digest.0);
                put_words(out, syndromes);
            }
            Ask::Ids(ids) => put_words(out, ids),
        }
        previous = range.end();
    }
    Ok(())
}

fn check_ranges(from: Key, ranges: &List<RangeWant>) -> Result<(), EncodeError> {
    check_items("ranges in a request", RANGES_MAX, ranges.len())?;
    let (mut after, mut words) = (from, 0);
    for (index, RangeWant { range, ask }) in ranges.iter().enumerate() {
        if range.is_empty() || range.start() < after {
            return Err(EncodeError::OutOfOrder { what: "range", index, after, start: range.start() });
        }
        after = range.end();
        words += match &ask {
            Ask::All => 0,
            Ask::Check(fingerprint) => {
                check_messages(fingerprint.count)?;
                0
            }
            Ask::Sketch { fingerprint, syndromes } => {
                check_messages(fingerprint.count)?;
                check_items("syndromes in a sketch", SYNDROMES_MAX, syndromes.len())?
            }
            Ask::Ids(ids) => check_items("short ids for a range", IDS_MAX, ids.len())?,
        };
    }
    check_items("syndromes and short ids in a request", WORDS_MAX, words)?;
    Ok(())
}

/// Checks packed ranges, of which the first starts at `from` or later.
pub(super) fn read_ranges(packed: Bytes, from: Key) -> Result<List<RangeWant>, DecodeError> {
    let mut ranges = Ranges::new(&packed, from)?;
    let count = ranges.left;
    ranges.by_ref().try_for_each(|range| range.map(drop))?;
    ranges.reader.finish("ranges")?;
    Ok(List::received(packed, from, count, open))
}

fn open(packed: &Bytes, from: Key) -> Box<dyn Iterator<Item = RangeWant> + '_> {
    Box::new(Ranges::new(packed, from).into_iter().flatten().flatten())
}

/// Reads one range after the other.
struct Ranges<'a> {
    reader: Reader<'a>,
    index: usize,
    left: usize,
    previous: Key,
    words_left: usize,
}

impl<'a> Ranges<'a> {
    fn new(packed: &'a [u8], from: Key) -> Result<Ranges<'a>, DecodeError> {
        let mut reader = Reader::new(packed);
        let left = reader.count(RANGES_MAX, RANGE_MIN, "ranges in a request")?;
        Ok(Ranges { reader, index: 0, left, previous: from, words_left: WORDS_MAX })
    }

    fn read(&mut self) -> Result<RangeWant, DecodeError> {
        let (reader, index, previous) = (&mut self.reader, self.index, self.previous);
        let header = reader.byte("a range")?;
        let number = read_number(reader, header, NUMBER_SHIFT)?;
        let what = "further syndromes and short ids in a request";
        self.words_left -= reader.checked_count(number, self.words_left, 4, what)?;
        let start = if header & FOLLOWS_ON != 0 { previous } else { read_bound(reader, &previous)? };
        if start < previous {
            return Err(DecodeError::NotRising { what: "range", index, start: previous, end: start });
        }
        let end = read_bound(reader, &start)?;
        let range = KeyRange::new(start, end).ok().filter(|range| !range.is_empty());
        let range = range.ok_or(DecodeError::NotRising { what: "range", index, start, end })?;
        (self.index, self.previous) = (index + 1, end);
        Ok(RangeWant { range, ask: read_ask(reader, header, number)? })
    }
}

impl Iterator for Ranges<'_> {
    type Item = Result<RangeWant, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(self.read())
    }
}

fn read_ask(reader: &mut Reader<'_>, header: u8, number: u64) -> Result<Ask, DecodeError> {
    match header & 3 {
        ALL if number == 0 => Ok(Ask::All),
        CHECK if number == 0 => Ok(Ask::Check(read_fingerprint(reader)?)),
        SKETCH => {
            let count = reader.messages()?;
            let fingerprint = TinyFingerprint { digest: TinyDigest(reader.array("a digest")?), count };
            let capacity = reader.checked_count(number, SYNDROMES_MAX, 4, "syndromes in a sketch")?;
            Ok(Ask::Sketch { fingerprint, syndromes: reader.words(capacity, "a sketch")? })
        }
        IDS => {
            let ids = reader.checked_count(number, IDS_MAX, 4, "short ids for a range")?;
            Ok(Ask::Ids(reader.words(ids, "short ids")?))
        }
        _ => Err(DecodeError::UnknownKind { what: "a range", header }),
    }
}

/// Writes a header: `kind` below bit `shift`, and from there on a number, which goes on in a varint if it does not fit.
pub(super) fn put_header(out: &mut impl BufMut, kind: u8, shift: u32, number: u64) {
    let all_ones = u8::MAX >> shift;
    match u8::try_from(number).ok().filter(|small| *small < all_ones) {
        Some(small) => out.put_u8(kind | small << shift),
        None => {
            out.put_u8(kind | all_ones << shift);
            put_varint(out, number - u64::from(all_ones));
        }
    }
}

/// Reads the number that starts in a header.
pub(super) fn read_number(reader: &mut Reader<'_>, header: u8, shift: u32) -> Result<u64, DecodeError> {
    let (number, all_ones) = (header >> shift, u8::MAX >> shift);
    if number < all_ones {
        return Ok(number.into());
    }
    let what = "a number";
    reader.varint(what)?.checked_add(all_ones.into()).ok_or(DecodeError::Overflow { what })
}
