//! Messages at ascending keys, read off the table.
use hearken_tree::{Key, KeyRange};
use redb::{AccessGuard, Range};

use super::{Messages, error::unreadable};
use crate::ReadError;

/// How many rows between two keys are skipped before the next one is looked up instead.
const SKIP: usize = 16;

type Row = (Key, AccessGuard<'static, &'static [u8]>);

/// Reads the rows at ascending keys: neighbours in a group are mostly neighbours in the table, so that most are the next row.
pub(super) struct Rows {
    messages: Messages,
    end: Key,
    rows: Range<'static, &'static [u8; Key::LEN], &'static [u8]>,
}

impl Rows {
    pub(super) fn new(messages: Messages, range: &KeyRange) -> Result<Rows, ReadError> {
        let (start, end) = (range.start(), range.end());
        let rows = messages.range::<&[u8; Key::LEN]>(start.as_bytes()..end.as_bytes()).map_err(unreadable)?;
        Ok(Rows { messages, end, rows })
    }

    /// The row at `key`, which must come after those asked for before; `None` if there is none.
    pub(super) fn at(&mut self, key: &Key) -> Result<Option<AccessGuard<'static, &'static [u8]>>, ReadError> {
        for _ in 0..SKIP {
            match self.next()? {
                Some((place, row)) if place == *key => return Ok(Some(row)),
                Some((place, _)) if place < *key => {}
                _ => break,
            }
        }
        // Too far off, or past it since the row before was not there either.
        let range = key.as_bytes()..self.end.as_bytes();
        self.rows = self.messages.range::<&[u8; Key::LEN]>(range).map_err(unreadable)?;
        Ok(self.next()?.filter(|(place, _)| place == key).map(|(_, row)| row))
    }

    fn next(&mut self) -> Result<Option<Row>, ReadError> {
        let row = self.rows.next().transpose().map_err(unreadable)?;
        Ok(row.map(|(key, row)| (Key::from_bytes(*key.value()), row)))
    }
}
