//! The packed verdicts of an answer: their number as a varint, then for each
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | bits 0-2: 0 `Outside`, 1 `Equal`, 2 `TooCostly`, 3 `Deliver`, 4 `Deliver` with short ids, 5 `Finer`; bits 3-7: `n` |
//! | varint | if `n` is 31: how much larger it is |
//! | varint, 4 each | 4: number of short ids, short ids; `n` is the number of messages, as with 3 |
//! | bound, spans | 5, unless `n` is 0: where the spans start, then `n` spans, all with the bound where they end |

use bytes::Bytes;
use hearken_tree::Key;

use crate::{
    DecodeError, EncodeError, List, Summary, Verdict,
    codec::{
        bound::{put_bound, read_bound},
        packed::{Reader, check_items, check_messages, put_varint, put_words, read_messages},
        ranges::{put_header, read_number},
        spans::{LastBound, SPAN_MIN, put_spans, read_spans},
    },
    limits::{IDS_MAX, RANGES_MAX, SPANS_MAX, WORDS_MAX},
};

const OUTSIDE: u8 = 0;
const EQUAL: u8 = 1;
const TOO_COSTLY: u8 = 2;
const DELIVER: u8 = 3;
const DELIVER_AND_LACKS: u8 = 4;
const FINER: u8 = 5;
const NUMBER_SHIFT: u32 = 3;

pub(super) fn put_verdicts(out: &mut Vec<u8>, from: Key, verdicts: &List<Verdict>) -> Result<(), EncodeError> {
    check_verdicts(from, verdicts)?;
    put_varint(out, verdicts.len() as u64);
    let mut previous = from;
    for verdict in verdicts.iter() {
        match &verdict {
            Verdict::Outside => put_header(out, OUTSIDE, NUMBER_SHIFT, 0),
            Verdict::Equal => put_header(out, EQUAL, NUMBER_SHIFT, 0),
            Verdict::TooCostly => put_header(out, TOO_COSTLY, NUMBER_SHIFT, 0),
            Verdict::Deliver { count, lacks } if lacks.is_empty() => put_header(out, DELIVER, NUMBER_SHIFT, *count),
            Verdict::Deliver { count, lacks } => {
                put_header(out, DELIVER_AND_LACKS, NUMBER_SHIFT, *count);
                put_varint(out, lacks.len() as u64);
                put_words(out, lacks);
            }
            Verdict::Finer(summary) => {
                put_header(out, FINER, NUMBER_SHIFT, summary.len() as u64);
                if let Some(range) = summary.range() {
                    put_bound(out, &previous, &range.start());
                    put_spans(out, summary, LastBound::Sent);
                    previous = range.end();
                }
            }
        }
    }
    Ok(())
}

fn check_verdicts(from: Key, verdicts: &List<Verdict>) -> Result<(), EncodeError> {
    check_items("verdicts in an answer", RANGES_MAX, verdicts.len())?;
    let (mut after, mut spans, mut words) = (from, 0, 0);
    for (index, verdict) in verdicts.iter().enumerate() {
        match &verdict {
            Verdict::Outside | Verdict::Equal | Verdict::TooCostly => {}
            Verdict::Deliver { count, lacks } => {
                check_messages(*count)?;
                words += check_items("short ids for a range", IDS_MAX, lacks.len())?;
            }
            Verdict::Finer(summary) => {
                summary.spans().try_for_each(|span| check_messages(span.fingerprint.count))?;
                spans += summary.len();
                let Some(range) = summary.range() else { continue };
                if range.start() < after {
                    let (what, start) = ("summary of verdict", range.start());
                    return Err(EncodeError::OutOfOrder { what, index, after, start });
                }
                after = range.end();
            }
        }
    }
    check_items("spans in an answer", SPANS_MAX, spans)?;
    check_items("short ids in an answer", WORDS_MAX, words)?;
    Ok(())
}

/// Checks packed verdicts, whose summaries start at `from` or later.
pub(super) fn read_verdicts(packed: Bytes, from: Key) -> Result<List<Verdict>, DecodeError> {
    let mut verdicts = Verdicts::new(&packed, from)?;
    let count = verdicts.left;
    verdicts.by_ref().try_for_each(|verdict| verdict.map(drop))?;
    verdicts.reader.finish("verdicts")?;
    Ok(List::received(packed, from, count, open))
}

fn open(packed: &Bytes, from: Key) -> Box<dyn Iterator<Item = Verdict> + '_> {
    Box::new(Verdicts::new(packed, from).into_iter().flatten().flatten())
}

/// Reads one verdict after the other.
struct Verdicts<'a> {
    packed: &'a Bytes,
    reader: Reader<'a>,
    index: usize,
    left: usize,
    previous: Key,
    spans_left: usize,
    words_left: usize,
}

impl<'a> Verdicts<'a> {
    fn new(packed: &'a Bytes, from: Key) -> Result<Verdicts<'a>, DecodeError> {
        let mut reader = Reader::new(packed);
        let left = reader.count(RANGES_MAX, 1, "verdicts in an answer")?;
        let (spans_left, words_left) = (SPANS_MAX, WORDS_MAX);
        Ok(Verdicts { packed, reader, index: 0, left, previous: from, spans_left, words_left })
    }

    fn read(&mut self, index: usize) -> Result<Verdict, DecodeError> {
        let reader = &mut self.reader;
        let header = reader.byte("a verdict")?;
        let number = read_number(reader, header, NUMBER_SHIFT)?;
        Ok(match header & 7 {
            OUTSIDE if number == 0 => Verdict::Outside,
            EQUAL if number == 0 => Verdict::Equal,
            TOO_COSTLY if number == 0 => Verdict::TooCostly,
            DELIVER => Verdict::Deliver { count: read_messages(number)?, lacks: Vec::new() },
            DELIVER_AND_LACKS => {
                let lacks = reader.count(IDS_MAX.min(self.words_left), 4, "further short ids in an answer")?;
                self.words_left -= lacks;
                Verdict::Deliver { count: read_messages(number)?, lacks: reader.words(lacks, "short ids")? }
            }
            FINER => self.read_finer(index, number)?,
            _ => return Err(DecodeError::UnknownKind { what: "a verdict", header }),
        })
    }

    fn read_finer(&mut self, index: usize, number: u64) -> Result<Verdict, DecodeError> {
        let (reader, previous) = (&mut self.reader, self.previous);
        let count = reader.checked_count(number, self.spans_left, SPAN_MIN, "further spans in an answer")?;
        if count == 0 {
            return Ok(Verdict::Finer(Summary::default()));
        }
        let start = read_bound(reader, &previous)?;
        if start < previous {
            return Err(DecodeError::NotRising { what: "summary of verdict", index, start: previous, end: start });
        }
        let summary = read_spans(reader, self.packed, count, start, LastBound::Sent)?;
        self.spans_left -= count;
        self.previous = summary.range().map_or(start, |range| range.end());
        Ok(Verdict::Finer(summary))
    }
}

impl Iterator for Verdicts<'_> {
    type Item = Result<Verdict, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        self.index += 1;
        Some(self.read(self.index - 1))
    }
}
