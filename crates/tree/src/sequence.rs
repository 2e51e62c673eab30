//! The entries of one level where some of them are new, missing or cut off: which chunks do they make?
//!
//! A change of the entries can change only cuts within 8Q entries of it, and in the same run: whether two neighbours are
//! cut apart is a matter of their keys, or of at most 8Q + 1 entries around them that share a prefix. So beyond a
//! boundary, or beyond 8Q entries, the stored chunks are right as they stand. That holds for a stretch that was replaced
//! (an insert, a removal), and just as well for the two ends at which a range is cut off, which is how the fingerprint of
//! any range comes from stored digests. Each level's chunks are the next level's entries, until one is left.
use crate::{
    Key, PageError,
    cursor::Cursor,
    node::Entry,
    pieces::{Piece, Purpose, chunks},
    search::before,
    shape::Raw,
    source::Source,
};

/// The least key.
pub(crate) const MIN: Raw = *Key::MIN.as_bytes();
/// The key after all others.
pub(crate) const MAX: Raw = *Key::MAX.as_bytes();

/// A part of a level's entries.
pub(crate) enum Segment {
    /// The stored entries whose first keys are in `from..to`.
    Stored(Stored),
    /// These.
    List(Vec<Piece>),
}

#[derive(Clone, Copy)]
pub(crate) struct Stored {
    pub(crate) from: Raw,
    pub(crate) to: Raw,
    /// Whether the stored entries begin here, so that nothing was cut off or put before them.
    pub(crate) begins: bool,
    /// Whether the stored entries end here.
    pub(crate) ends: bool,
}

/// What of a stored stretch has to be cut anew, seen from one of its ends.
pub(crate) enum Extent {
    /// All of it.
    All(Vec<Piece>),
    /// These pieces, up to the chunk that starts at `bound` or ends before it. `beside` are the keys of the entries on the
    /// other side, as far as they matter.
    Part { pieces: Vec<Piece>, beside: Vec<Raw>, bound: Raw },
}

/// A tree from which entries are taken.
#[derive(Clone, Copy)]
pub(crate) struct Base<'a> {
    pub(crate) source: &'a Source,
    pub(crate) root: &'a Entry,
}

impl Base<'_> {
    /// Cuts the entries of `level` into chunks: the entries of the level above.
    pub(crate) fn step(&self, level: u8, segments: Vec<Segment>, purpose: Purpose) -> Result<Vec<Segment>, PageError> {
        let mut out = Vec::new();
        let mut list = Vec::new();
        let mut before = Vec::new();
        let close = |out: &mut Vec<Segment>, list: Vec<Piece>, before: &[Raw], after: &[Raw]| {
            if !list.is_empty() {
                let chunks = chunks(self.source.shape, level, &list, before, after, purpose);
                out.push(Segment::List(chunks.into_iter().map(Piece::One).collect()));
            }
        };
        let mut segments = segments.into_iter().peekable();
        while let Some(segment) = segments.next() {
            let stored = match segment {
                Segment::List(pieces) => {
                    list.extend(pieces);
                    continue;
                }
                Segment::Stored(stored) => stored,
            };
            let first = match list.as_slice() {
                _ if stored.begins || !out.is_empty() => None,
                [] => self.first_chunk(level, &stored, None)?,
                [Piece::One(entry)] => self.first_chunk(level, &stored, Some(&entry.first))?,
                _ => None,
            };
            let first = match first {
                Some(extent) => extent,
                None => self.extend_right(level, &stored)?,
            };
            let (from, after) = match first {
                Extent::All(pieces) => {
                    list.extend(pieces);
                    continue;
                }
                Extent::Part { pieces, beside, bound } => {
                    list.extend(pieces);
                    (bound, beside)
                }
            };
            let stored = Stored { from, ..stored };
            let follow = segments.len();
            let last = match segments.peek() {
                _ if stored.ends => None,
                None => self.last_chunk(level, &stored, None)?,
                Some(Segment::List(pieces)) if follow == 1 => match pieces.as_slice() {
                    [Piece::One(entry)] => self.last_chunk(level, &stored, Some(&entry.first))?,
                    _ => None,
                },
                Some(_) => None,
            };
            let last = match last {
                Some(extent) => extent,
                None => {
                    let bounded = self.is_bounded(level, segments.peek())?;
                    self.extend_left(level, &stored, bounded)?
                }
            };
            match last {
                Extent::All(pieces) => list.extend(pieces),
                Extent::Part { pieces, beside, bound } => {
                    close(&mut out, std::mem::replace(&mut list, pieces), &before, &after);
                    before = beside;
                    out.push(Segment::Stored(Stored { to: bound, ..stored }));
                }
            }
        }
        close(&mut out, list, &before, &[]);
        Ok(out)
    }

    /// How many levels `stored` cuts off no chunk of, from level 0 on: those that are bounded by the first key in it, and by the first
    /// one behind.
    pub(crate) fn uncut_levels(&self, stored: &Stored) -> Result<u8, PageError> {
        let shape = self.source.shape;
        let bounded = |whole: bool, key: &Raw| -> Result<u8, PageError> {
            Ok(if whole { u8::MAX } else { self.first_from(0, key)?.map_or(u8::MAX, |first| shape.level(&first)) })
        };
        Ok(bounded(stored.begins, &stored.from)?.min(bounded(stored.ends, &stored.to)?))
    }

    /// Whether what comes `next` bounds the level, or there is nothing.
    fn is_bounded(&self, level: u8, next: Option<&Segment>) -> Result<bool, PageError> {
        let shape = self.source.shape;
        Ok(match next {
            None => true,
            Some(Segment::List(pieces)) => shape.bounds(&pieces[0].firsts()[0], level),
            Some(Segment::Stored(next)) => {
                self.first_from(level, &next.from)?.is_none_or(|first| shape.bounds(&first, level))
            }
        })
    }

    /// The first key of the first entry of `level` that does not start before `key`.
    pub(crate) fn first_from(&self, level: u8, key: &Raw) -> Result<Option<Raw>, PageError> {
        let mut cursor = Cursor::seek(self.source, self.root, level, key)?;
        if let Some(piece) = part(&cursor, key, &MAX)? {
            return Ok(piece.firsts().first().copied());
        }
        Ok(if cursor.next()? { Some(*cursor.first()) } else { None })
    }

    /// The entry of the level above `level` in `from..to`, if there is exactly one.
    pub(crate) fn only_entry(&self, level: u8, from: &Raw, to: &Raw) -> Result<Option<Entry>, PageError> {
        let cursor = Cursor::seek(self.source, self.root, level, from)?;
        let only = cursor.first() >= from && cursor.first() < to && cursor.next_first().is_none_or(|next| next >= *to);
        Ok(only.then(|| cursor.entry()))
    }

    /// What must be cut anew after something changed before `stored`.
    fn extend_right(&self, level: u8, stored: &Stored) -> Result<Extent, PageError> {
        let (shape, Stored { from, to, .. }) = (self.source.shape, stored);
        if stored.begins {
            return Ok(Extent::Part { pieces: Vec::new(), beside: Vec::new(), bound: *from });
        }
        let mut cursor = Cursor::seek(self.source, self.root, level, from)?;
        let (mut pieces, mut len) = (Vec::new(), 0);
        if cursor.first() < from {
            pieces.extend(part(&cursor, from, to)?);
            len = pieces.iter().map(Piece::len).sum();
            if !cursor.next()? {
                return Ok(Extent::All(pieces));
            }
        }
        loop {
            let first = *cursor.first();
            if first >= *to {
                return Ok(Extent::All(pieces));
            }
            if shape.bounds(&first, level) {
                return Ok(Extent::Part { pieces, beside: Vec::new(), bound: first });
            }
            if len >= shape.cap()
                && let Some(beside) = self.keys_after(level, cursor.clone(), stored)?
            {
                return Ok(Extent::Part { pieces, beside, bound: first });
            }
            let piece = part(&cursor, from, to)?;
            len += piece.as_ref().map_or(0, Piece::len);
            pieces.extend(piece);
            if !cursor.next()? {
                return Ok(Extent::All(pieces));
            }
        }
    }

    /// What must be cut anew after something changed behind `stored`. `bounded`: what comes there now bounds the level, or
    /// there is nothing.
    fn extend_left(&self, level: u8, stored: &Stored, bounded: bool) -> Result<Extent, PageError> {
        let (shape, Stored { from, to, .. }) = (self.source.shape, stored);
        let untouched = Extent::Part { pieces: Vec::new(), beside: Vec::new(), bound: *to };
        if stored.ends {
            return Ok(untouched);
        }
        let mut cursor = Cursor::seek(self.source, self.root, level, to)?;
        if cursor.first() >= to && !cursor.prev()? {
            return Ok(Extent::All(Vec::new()));
        }
        let next = cursor.next_first();
        if bounded && next.is_none_or(|next| shape.bounds(&next, level)) && cursor.first() >= from {
            let whole = next == Some(*to) || cursor.node()?.is_none_or(|node| node.firsts().last() < Some(to));
            if whole {
                return Ok(untouched);
            }
        }
        let (mut pieces, mut len) = (Vec::new(), 0);
        loop {
            let first = *cursor.first();
            let piece = part(&cursor, from, to)?;
            len += piece.as_ref().map_or(0, Piece::len);
            pieces.extend(piece);
            let bound = if first <= *from || cursor.is_first() {
                None
            } else if shape.bounds(&first, level) {
                Some(Vec::new())
            } else if len >= shape.cap() {
                self.keys_before(level, cursor.clone(), stored)?
            } else {
                None
            };
            if let Some(beside) = bound {
                pieces.reverse();
                return Ok(Extent::Part { pieces, beside, bound: first });
            }
            if first <= *from || !cursor.prev()? {
                pieces.reverse();
                return Ok(Extent::All(pieces));
            }
        }
    }

    /// The keys of the entries from this chunk on: a cap of them, or as far as the run goes. `None` if `stored` ends before.
    fn keys_after(
        &self,
        level: u8,
        mut cursor: Cursor<&Source>,
        stored: &Stored,
    ) -> Result<Option<Vec<Raw>>, PageError> {
        let mut keys = Vec::new();
        while let Some(piece) = part(&cursor, &MIN, &stored.to)? {
            keys.extend_from_slice(piece.firsts());
            if keys.len() >= self.source.shape.cap() {
                return Ok(Some(keys));
            }
            if !cursor.next()? {
                return Ok(stored.ends.then_some(keys));
            }
            if *cursor.first() < stored.to && self.source.shape.bounds(cursor.first(), level) {
                return Ok(Some(keys));
            }
        }
        Ok(None)
    }

    /// The keys of the entries before this chunk, in order: a cap of them, or as far as the run goes. `None` if `stored`
    /// begins after.
    pub(crate) fn keys_before(
        &self,
        level: u8,
        mut cursor: Cursor<&Source>,
        stored: &Stored,
    ) -> Result<Option<Vec<Raw>>, PageError> {
        let mut pieces = Vec::new();
        let mut len = 0;
        loop {
            if !cursor.prev()? {
                break;
            }
            let Some(piece) = part(&cursor, &stored.from, &MAX)? else { return Ok(None) };
            len += piece.len();
            pieces.push(piece);
            if len >= self.source.shape.cap() || self.source.shape.bounds(cursor.first(), level) {
                break;
            }
            if *cursor.first() <= stored.from && !stored.begins {
                return Ok(None);
            }
        }
        Ok(Some(pieces.iter().rev().flat_map(Piece::firsts).copied().collect()))
    }
}

/// The entries in `from..to` of the chunk at `cursor`; `None` if there are none.
pub(crate) fn part(cursor: &Cursor<&Source>, from: &Raw, to: &Raw) -> Result<Option<Piece>, PageError> {
    let Some(node) = cursor.node()? else {
        let within = from <= cursor.first() && cursor.first() < to;
        return Ok(within.then(|| Piece::One(cursor.entry())));
    };
    // Most chunks lie within as a whole, which is seen without looking into them.
    let start = if from <= cursor.first() { 0 } else { before(node.firsts(), from) };
    let whole = cursor.next_first().is_some_and(|next| next <= *to);
    let end = if whole { node.len() } else { before(node.firsts(), to) };
    Ok((start < end).then(|| Piece::Slice { chunk: cursor.entry(), node, range: start..end }))
}
