//! The first chunk of a sequence that was cut off, and the last: the short way for fingerprints of ranges.
//!
//! Where a sequence begins in the middle of a run, only the radix nodes that reached over the cut have lost entries. What is
//! left of them all begins with the first entry. So the first chunk is the largest of them that has at most 8Q entries, and
//! all others are as they were: it takes in some of the chunks that follow, each whole. An honest run ends first.
//!
//! The same holds if the first entry is a new one (say, the chunk cut off one level below), unless it falls among the entries
//! of a full cell, or entries after it have gone that shared a longer prefix with what is left. And all of it holds mirrored
//! at the end.
use crate::{
    PageError,
    cursor::Cursor,
    pieces::Piece,
    search::before,
    sequence::{Base, Extent, Stored, part},
    shape::{Raw, common_bits},
    source::Source,
};

/// How the chunk at the edge grows, piece by piece.
struct Edge {
    cap: usize,
    pieces: Vec<Piece>,
    len: usize,
    /// The shortest prefix over a gap between pieces so far.
    shortest: u16,
    /// How many pieces the largest radix node so far has, and where the stored chunks begin or end beside it.
    best: Option<(usize, Raw)>,
}

impl Edge {
    fn new(cap: usize, new: Option<&Raw>) -> Edge {
        Edge { cap, pieces: Vec::new(), len: usize::from(new.is_some()), shortest: u16::MAX, best: None }
    }

    /// A gap over which the keys share `common` bits, with the stored chunks on the other side of `bound`. A radix node ends
    /// here if all gaps within it have longer prefixes.
    fn gap(&mut self, common: u16, bound: Raw) {
        if common < self.shortest {
            self.shortest = common;
            self.best = Some((self.pieces.len(), bound));
        }
    }

    /// Takes in a piece, if there is room.
    fn take(&mut self, piece: Piece) -> bool {
        self.len += piece.len();
        let fits = self.len <= self.cap;
        if fits {
            self.pieces.push(piece);
        }
        fits
    }

    /// The chunk, when no more fits. `None` if the new entry may belong among the entries of the piece that did not fit.
    fn full(mut self, last: &Piece) -> Option<(Vec<Piece>, Raw)> {
        let firsts = last.firsts();
        let within = common_bits(&firsts[0], &firsts[firsts.len() - 1]);
        let (pieces, bound) = self.best?;
        if self.pieces.is_empty() && self.shortest >= within {
            return None;
        }
        self.pieces.truncate(pieces);
        Some((self.pieces, bound))
    }
}

impl Base<'_> {
    /// What of `stored` belongs to the first chunk of a sequence that begins with it, or with one entry at `new` before it.
    /// `None` if that cannot be seen from this edge alone.
    pub(crate) fn first_chunk(
        &self,
        level: u8,
        stored: &Stored,
        new: Option<&Raw>,
    ) -> Result<Option<Extent>, PageError> {
        let (shape, Stored { from, to, .. }) = (self.source.shape, stored);
        let mut cursor = Cursor::seek(self.source, self.root, level, from)?;
        let mut edge = Edge::new(shape.cap(), new);
        let mut last = new.copied();
        loop {
            let first = *cursor.first();
            if first >= *to {
                return Ok(None);
            }
            if first >= *from && shape.bounds(&first, level) {
                return Ok(Some(Extent::Part { pieces: edge.pieces, beside: Vec::new(), bound: first }));
            }
            if let Some(piece) = part(&cursor, from, to)? {
                let firsts = piece.firsts();
                if let Some(last) = last {
                    if edge.pieces.is_empty() && self.lost_more(&cursor, &piece, &last)? {
                        return Ok(None);
                    }
                    edge.gap(common_bits(&last, &firsts[0]), firsts[0]);
                }
                last = firsts.last().copied();
                if !edge.take(piece.clone()) {
                    let full = edge.full(&piece);
                    return Ok(full.map(|(pieces, bound)| Extent::Part { pieces, beside: Vec::new(), bound }));
                }
            }
            let next = cursor.next_first();
            if next.is_none_or(|next| next >= *to) {
                return Ok((next.is_none() && stored.ends).then_some(Extent::All(edge.pieces)));
            }
            cursor.next()?;
        }
    }

    /// Whether the stored entry before `piece` has gone and shared a longer prefix with it than `new` does.
    fn lost_more(&self, cursor: &Cursor<&Source>, piece: &Piece, new: &Raw) -> Result<bool, PageError> {
        let first = &piece.firsts()[0];
        let lost = match piece {
            Piece::Slice { node, range, .. } if range.start > 0 => node.firsts()[range.start - 1],
            _ => {
                let mut cursor = cursor.clone();
                if !cursor.prev()? {
                    return Ok(false);
                }
                cursor.last_first()?
            }
        };
        Ok(lost > *new && common_bits(&lost, first) > common_bits(new, first))
    }

    /// What of `stored` belongs to the last chunk of a sequence that ends with it, or with one entry at `new` behind it.
    /// `None` if that cannot be seen from this edge alone.
    pub(crate) fn last_chunk(
        &self,
        level: u8,
        stored: &Stored,
        new: Option<&Raw>,
    ) -> Result<Option<Extent>, PageError> {
        let (shape, Stored { from, to, .. }) = (self.source.shape, stored);
        let mut cursor = Cursor::seek(self.source, self.root, level, to)?;
        let mut lost = if cursor.first() >= to { Some(*cursor.first()) } else { cursor.next_first() };
        if (cursor.first() >= to && !cursor.prev()?) || cursor.first() < from {
            return Ok(None);
        }
        if lost != Some(*to)
            && let Some(node) = cursor.node()?
        {
            lost = node.firsts().get(before(node.firsts(), to)).copied().or(lost);
        }
        // What bounds the level ends the run as if nothing followed.
        let new = new.filter(|new| !shape.bounds(new, level));
        if new.is_none() && lost.is_none_or(|lost| shape.bounds(&lost, level)) {
            return Ok(Some(Extent::Part { pieces: Vec::new(), beside: Vec::new(), bound: *to }));
        }
        let mut edge = Edge::new(shape.cap(), new);
        let mut next = new.copied();
        let mut bound = *to;
        loop {
            let first = *cursor.first();
            if first < *from {
                return Ok(None);
            }
            if let Some(piece) = part(&cursor, from, to)? {
                let firsts = piece.firsts();
                if let Some(next) = next {
                    let last = &firsts[firsts.len() - 1];
                    let more = |lost: &Raw| *lost < next && common_bits(last, lost) > common_bits(last, &next);
                    if edge.pieces.is_empty() && lost.as_ref().is_some_and(more) {
                        return Ok(None);
                    }
                    edge.gap(common_bits(&firsts[firsts.len() - 1], &next), bound);
                }
                next = firsts.first().copied();
                if !edge.take(piece.clone()) {
                    return Ok(edge.full(&piece).map(|(pieces, bound)| part_before(pieces, bound)));
                }
            }
            bound = first;
            if shape.bounds(&first, level) && first > *from && !cursor.is_first() {
                return Ok(Some(part_before(edge.pieces, bound)));
            }
            if first <= *from || cursor.is_first() {
                let whole = shape.bounds(&first, level) || stored.begins;
                edge.pieces.reverse();
                return Ok(whole.then_some(Extent::All(edge.pieces)));
            }
            cursor.prev()?;
        }
    }
}

/// Pieces that were collected backwards, up to `bound`.
fn part_before(mut pieces: Vec<Piece>, bound: Raw) -> Extent {
    pieces.reverse();
    Extent::Part { pieces, beside: Vec::new(), bound }
}
