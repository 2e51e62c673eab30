//! Messages at ascending keys, and in the order of keys either way.
use std::sync::Arc;

use hearken_tree::{Key, KeyRange};
use redb::Range;

use super::{
    error::unreadable,
    recent::{Place, Recent, RecentRange},
    version::{Row, Version},
};
use crate::ReadError;

/// How many keys between two are skipped before the next one is looked up instead, at most.
const SKIP: usize = 16;

/// The rows from one sequence on, in order.
type Following = Range<'static, u64, &'static [u8]>;

type Keys = Range<'static, &'static [u8; Key::LEN], u64>;

/// Finds sequences in the table of keys, at ascending keys: neighbours among those asked for are mostly neighbours there, so that most
/// are found by going on.
pub(super) struct Entered {
    version: Arc<Version>,
    end: Key,
    keys: Keys,
    /// A key that was read, but not asked for yet.
    ahead: Option<Place>,
    /// How many keys are skipped before the next one is looked up instead: few where that was needed last.
    skip: usize,
}

impl Entered {
    pub(super) fn new(version: Arc<Version>, range: &KeyRange) -> Result<Entered, redb::Error> {
        let keys = version.keys(range)?;
        Ok(Entered { version, end: range.end(), keys, ahead: None, skip: SKIP })
    }

    /// The sequence at `key`, which must come after those asked for before; `None` if it is not entered.
    pub(super) fn sequence(&mut self, key: &Key) -> Result<Option<u64>, redb::Error> {
        for _ in 0..std::mem::replace(&mut self.skip, SKIP) {
            if self.ahead.is_none() {
                self.ahead = next(&mut self.keys)?;
            }
            match self.ahead {
                Some((place, _)) if place < *key => self.ahead = None,
                Some((place, sequence)) => return Ok((place == *key).then_some(sequence)),
                None => return Ok(None),
            }
        }
        self.skip = 1;
        let Ok(rest) = KeyRange::new(*key, self.end) else { return Ok(None) };
        self.keys = self.version.keys(&rest)?;
        self.ahead = next(&mut self.keys)?;
        Ok(self.ahead.filter(|(place, _)| place == key).map(|(_, sequence)| sequence))
    }
}

/// Finds the rows at ascending keys.
pub(super) struct Rows {
    version: Arc<Version>,
    recent: RecentRange,
    entered: Entered,
    /// The sequence of the last row.
    last: u64,
    /// The rows behind the last one, if it came behind the one before.
    following: Option<Following>,
}

impl Rows {
    pub(super) fn new(version: Arc<Version>, recent: &Recent, range: &KeyRange) -> Result<Rows, ReadError> {
        let entered = Entered::new(version.clone(), range).map_err(unreadable)?;
        Ok(Rows { version, recent: recent.range(range), entered, last: 0, following: None })
    }

    /// The sequence and row at `key`, which must come after those asked for before; `None` if there is none.
    pub(super) fn at(&mut self, key: &Key) -> Result<Option<(u64, Row)>, ReadError> {
        let sequence = match self.recent.seek(key) {
            Some(sequence) => Some(sequence),
            None => self.entered.sequence(key).map_err(unreadable)?,
        };
        let Some(sequence) = sequence else { return Ok(None) };
        Ok(self.row(sequence)?.map(|row| (sequence, row)))
    }

    /// The row of that sequence. Messages that came in order are stored in order, so that it is mostly the next one.
    fn row(&mut self, sequence: u64) -> Result<Option<Row>, ReadError> {
        let follows = self.last.checked_add(1) == Some(sequence);
        self.last = sequence;
        if !follows {
            self.following = None;
            return self.version.row(sequence).map_err(unreadable);
        }
        let following = match &mut self.following {
            Some(following) => following,
            none => none.insert(self.version.rows_from(sequence).map_err(unreadable)?),
        };
        match following.next().transpose().map_err(unreadable)? {
            Some((found, row)) if found.value() == sequence => Ok(Some(row)),
            // There is none.
            _ => {
                self.following = None;
                Ok(None)
            }
        }
    }
}

/// Every place in a range, from either end.
pub(super) struct AllPlaces {
    recent: RecentRange,
    keys: Keys,
    newest_first: bool,
    ahead: Option<Place>,
}

impl AllPlaces {
    pub(super) fn new(
        version: &Version,
        recent: &Recent,
        range: &KeyRange,
        newest_first: bool,
    ) -> Result<AllPlaces, ReadError> {
        let keys = version.keys(range).map_err(unreadable)?;
        Ok(AllPlaces { recent: recent.range(range), keys, newest_first, ahead: None })
    }

    pub(super) fn next(&mut self) -> Result<Option<Place>, ReadError> {
        if self.ahead.is_none() {
            let ahead = if self.newest_first { next(&mut (&mut self.keys).rev()) } else { next(&mut self.keys) };
            self.ahead = ahead.map_err(unreadable)?;
        }
        let recent = if self.newest_first { self.recent.last() } else { self.recent.first() };
        // A kill may have left it entered, and recent all the same.
        self.ahead = self.ahead.filter(|ahead| recent.is_none_or(|recent| recent.0 != ahead.0));
        let recent = match (recent, self.ahead) {
            (Some(recent), Some(ahead)) if (recent < ahead) != self.newest_first => Some(recent),
            (recent, None) => recent,
            _ => None,
        };
        Ok(match recent {
            Some(recent) => {
                self.recent.take(&recent.0);
                Some(recent)
            }
            None => self.ahead.take(),
        })
    }
}

fn next(
    keys: &mut impl Iterator<
        Item = Result<
            (redb::AccessGuard<'static, &'static [u8; Key::LEN]>, redb::AccessGuard<'static, u64>),
            redb::StorageError,
        >,
    >,
) -> Result<Option<Place>, redb::Error> {
    let row = keys.next().transpose()?;
    Ok(row.map(|(key, sequence)| (Key::from_bytes(*key.value()), sequence.value())))
}
