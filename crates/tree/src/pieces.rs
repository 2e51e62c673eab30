//! Stretches of entries that are to be cut into chunks anew.
use std::{ops::Range, sync::Arc};

use crate::{
    digest,
    node::{Body, Child, Entry, Inner, Node},
    shape::{Raw, Shape, cell_cuts},
};

/// Entries of one level, side by side.
#[derive(Clone)]
pub(crate) enum Piece {
    /// One entry: a new one, or a stored chunk that has no more.
    One(Entry),
    /// Some entries of a stored chunk, which itself is the entry `chunk` of the next level.
    Slice { chunk: Entry, node: Arc<Node>, range: Range<usize> },
}

/// What becomes of the chunks that are cut.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// They are kept, with this stamp; digests come later.
    Keep(u64),
    /// Only their digests are wanted.
    Digest,
}

impl Piece {
    pub(crate) fn len(&self) -> usize {
        match self {
            Piece::One(_) => 1,
            Piece::Slice { range, .. } => range.len(),
        }
    }

    pub(crate) fn firsts(&self) -> &[Raw] {
        match self {
            Piece::One(entry) => std::slice::from_ref(&entry.first),
            Piece::Slice { node, range, .. } => &node.firsts()[range.clone()],
        }
    }

    /// Number of keys under it.
    fn count(&self) -> u64 {
        match self {
            Piece::One(entry) => entry.count(),
            Piece::Slice { node, range, .. } => match &node.body {
                Body::Leaf(_) => range.len() as u64,
                Body::Inner(_) => node.hashed()[range.clone()].iter().map(digest::count_in).sum(),
            },
        }
    }

    /// Whether the piece starts where something may have been cut: within a chunk no entry but the first bounds it.
    fn may_bound(&self) -> bool {
        !matches!(self, Piece::Slice { range, .. } if range.start > 0)
    }

    fn part(&self, part: Range<usize>) -> Piece {
        match self {
            Piece::One(_) => self.clone(),
            Piece::Slice { chunk, node, range } => {
                let range = range.start + part.start..range.start + part.end;
                Piece::Slice { chunk: chunk.clone(), node: node.clone(), range }
            }
        }
    }
}

/// Cuts a stretch of entries into chunks: entries of the next level.
///
/// `before` and `after` are keys of entries that lie beside the stretch in the same run and stay as they are: enough of
/// them to see which prefixes are shared by more than the cap.
pub(crate) fn chunks(
    shape: Shape,
    level: u8,
    pieces: &[Piece],
    before: &[Raw],
    after: &[Raw],
    purpose: Purpose,
) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut start = 0;
    while start < pieces.len() {
        let more = pieces[start + 1..].iter().position(|p| p.may_bound() && shape.bounds(&p.firsts()[0], level));
        let end = more.map_or(pieces.len(), |more| start + 1 + more);
        let before = if start == 0 && !shape.bounds(&pieces[0].firsts()[0], level) { before } else { &[] };
        let after = if end == pieces.len() { after } else { &[] };
        cut_run(shape, level, &pieces[start..end], before, after, purpose, &mut entries);
        start = end;
    }
    entries
}

/// Cuts a stretch of one run.
fn cut_run(
    shape: Shape,
    level: u8,
    run: &[Piece],
    before: &[Raw],
    after: &[Raw],
    purpose: Purpose,
    entries: &mut Vec<Entry>,
) {
    let len: usize = run.iter().map(Piece::len).sum();
    if before.len() + len + after.len() <= shape.cap() {
        entries.push(chunk(level, run, purpose));
        return;
    }
    let firsts = before.iter().chain(run.iter().flat_map(|piece| piece.firsts())).chain(after);
    let cuts = cell_cuts(&firsts.collect::<Vec<_>>(), shape.cap());
    let cuts = &cuts[before.len()..before.len() + len];
    let mut cell = Vec::new();
    let mut at = 0;
    for piece in run {
        let cuts = &cuts[at..at + piece.len()];
        let mut from = 0;
        for to in (0..piece.len()).filter(|i| cuts[*i] && at + i > 0) {
            if to > from {
                cell.push(piece.part(from..to));
            }
            entries.push(chunk(level, &cell, purpose));
            cell.clear();
            from = to;
        }
        cell.push(if from == 0 { piece.clone() } else { piece.part(from..piece.len()) });
        at += piece.len();
    }
    entries.push(chunk(level, &cell, purpose));
}

/// The chunk of these entries: as it is stored, if it is.
fn chunk(level: u8, pieces: &[Piece], purpose: Purpose) -> Entry {
    match pieces {
        [Piece::One(entry)] => return entry.clone(),
        [Piece::Slice { chunk, node, range }] if range.len() == node.len() => return chunk.clone(),
        [Piece::Slice { node, range, .. }] if range.len() == 1 => return node.entry(range.start),
        _ => {}
    }
    match purpose {
        Purpose::Keep(stamp) => Entry::node(build(level, pieces, stamp)),
        Purpose::Digest => digest_only(level, pieces),
    }
}

fn build(level: u8, pieces: &[Piece], stamp: u64) -> Node {
    let len = pieces.iter().map(Piece::len).sum();
    if level == 0 {
        let mut keys = Vec::with_capacity(len);
        pieces.iter().for_each(|piece| keys.extend_from_slice(piece.firsts()));
        return Node::leaf(stamp, keys);
    }
    let mut inner = Inner::with_capacity(len);
    for piece in pieces {
        match piece {
            Piece::One(entry) => inner.push(entry.clone()),
            Piece::Slice { node, range, .. } => range.clone().for_each(|i| inner.push(node.entry(i))),
        }
    }
    Node::inner(level, stamp, inner)
}

fn digest_only(level: u8, pieces: &[Piece]) -> Entry {
    let digest = match pieces {
        [Piece::Slice { node, range, .. }] => digest::of_entries(level, &node.hashed()[range.clone()]),
        // Side by side first: BLAKE3 takes an input at one go faster than in pieces.
        pieces => {
            let mut hashed = Vec::with_capacity(pieces.iter().map(Piece::len).sum());
            for piece in pieces {
                match piece {
                    Piece::One(entry) if level == 0 => hashed.push(entry.first),
                    Piece::One(entry) => hashed.push(entry.fresh_sum()),
                    Piece::Slice { node, range, .. } => hashed.extend_from_slice(&node.hashed()[range.clone()]),
                }
            }
            digest::of_entries(level, &hashed)
        }
    };
    let count = pieces.iter().map(Piece::count).sum();
    let first = pieces.first().map_or([0; 40], |piece| piece.firsts()[0]);
    Entry { first, sum: digest::sum(&digest, count), child: Child::Key }
}
