//! Iterating over the keys of a range.
use std::sync::Arc;

use crate::{
    Key, KeyRange, PageError,
    cursor::Cursor,
    node::{Entry, Node},
    shape::Raw,
    source::Source,
};

/// The keys of a range in order; see [`Snapshot::keys`](crate::Snapshot::keys). It loads pages as it comes to them, one at a time.
pub struct Keys {
    end: Raw,
    state: State,
}

enum State {
    /// Not begun.
    Start(Source, Entry, Raw),
    /// At a key of a leaf, or past its last.
    Leaf(Cursor<Source>, Arc<Node>, usize),
    /// At a chunk of one key, or past it.
    Single(Cursor<Source>, bool),
    Done,
}

impl Keys {
    pub(crate) fn new(source: &Source, root: Option<&Entry>, range: &KeyRange) -> Keys {
        let start = root.map(|root| State::Start(source.clone(), root.clone(), *range.start().as_bytes()));
        Keys { end: *range.end().as_bytes(), state: start.unwrap_or(State::Done) }
    }

    /// Goes to the next chunk of keys.
    fn advance(&mut self) -> Result<(), PageError> {
        self.state = match std::mem::replace(&mut self.state, State::Done) {
            State::Start(source, root, from) => {
                let cursor = Cursor::seek(source, &root, 0, &from)?;
                match cursor.node()? {
                    Some(node) => {
                        let at = node.firsts().partition_point(|key| *key < from);
                        State::Leaf(cursor, node, at)
                    }
                    None => {
                        let at = *cursor.first() >= from;
                        State::Single(cursor, at)
                    }
                }
            }
            State::Leaf(mut cursor, ..) | State::Single(mut cursor, _) => {
                if !cursor.next()? || *cursor.first() >= self.end {
                    return Ok(());
                }
                match cursor.node()? {
                    Some(node) => State::Leaf(cursor, node, 0),
                    None => State::Single(cursor, true),
                }
            }
            State::Done => State::Done,
        };
        Ok(())
    }
}

impl Iterator for Keys {
    type Item = Result<Key, PageError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let key = match &mut self.state {
                State::Leaf(_, node, at) => node.firsts().get(*at).inspect(|_| *at += 1).copied(),
                State::Single(cursor, here) => std::mem::take(here).then(|| *cursor.first()),
                State::Start(..) => None,
                State::Done => return None,
            };
            match key {
                Some(key) if key < self.end => return Some(Ok(Key::from_bytes(key))),
                Some(_) => self.state = State::Done,
                None => {
                    if let Err(error) = self.advance() {
                        self.state = State::Done;
                        return Some(Err(error));
                    }
                }
            }
        }
    }
}
