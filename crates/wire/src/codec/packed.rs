//! Reading and writing the packed fields: bytes, varints, words.

use bytes::BufMut;

use crate::{DecodeError, EncodeError, limits::COUNT_MAX};

/// Walks over a packed field.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn byte(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        let (first, rest) = self.rest.split_first().ok_or(DecodeError::Truncated { what })?;
        self.rest = rest;
        Ok(*first)
    }

    pub(crate) fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Truncated { what })?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated { what })?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A varint of at most 10 bytes, so 70 bits.
    pub(crate) fn wide_varint(&mut self, what: &'static str) -> Result<u128, DecodeError> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.byte(what)?;
            value |= u128::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::Overflow { what })
    }

    pub(crate) fn varint(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        u64::try_from(self.wide_varint(what)?).map_err(|_| DecodeError::Overflow { what })
    }

    /// A number of items of which there may be at most `max`, each of at least `min_len` bytes: one that fits what is left.
    pub(crate) fn count(&mut self, max: usize, min_len: usize, what: &'static str) -> Result<usize, DecodeError> {
        let found = self.varint(what)?;
        self.checked_count(found, max, min_len, what)
    }

    /// Checks a number of items as [`Reader::count`] does.
    pub(crate) fn checked_count(
        &self,
        found: u64,
        max: usize,
        min_len: usize,
        what: &'static str,
    ) -> Result<usize, DecodeError> {
        let count = usize::try_from(found).ok().filter(|n| *n <= max).ok_or(DecodeError::TooMany {
            what,
            found,
            max: max as u64,
        })?;
        // No overflow: `max` is one of our own limits.
        if count * min_len > self.remaining() { Err(DecodeError::Truncated { what }) } else { Ok(count) }
    }

    /// A number of messages.
    pub(crate) fn messages(&mut self) -> Result<u64, DecodeError> {
        read_messages(self.varint("a number of messages")?)
    }

    /// `count` little-endian words of 4 bytes.
    pub(crate) fn words(&mut self, count: usize, what: &'static str) -> Result<Vec<u32>, DecodeError> {
        let bytes = self.take(count.saturating_mul(4), what)?;
        let (words, _) = bytes.as_chunks();
        Ok(words.iter().map(|word| u32::from_le_bytes(*word)).collect())
    }

    pub(crate) fn finish(self, what: &'static str) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing { what, bytes: self.rest.len() }) }
    }
}

/// Checks a number of messages that was received.
pub(crate) fn read_messages(found: u64) -> Result<u64, DecodeError> {
    if found > COUNT_MAX { Err(DecodeError::TooMany { what: MESSAGES, found, max: COUNT_MAX }) } else { Ok(found) }
}

/// Checks a number of messages before it is sent.
pub(crate) fn check_messages(found: u64) -> Result<(), EncodeError> {
    if found > COUNT_MAX { Err(EncodeError::TooMany { what: MESSAGES, found, max: COUNT_MAX }) } else { Ok(()) }
}

const MESSAGES: &str = "messages in a range";

/// Checks a number of items before they are sent.
pub(crate) fn check_items(what: &'static str, max: usize, found: usize) -> Result<usize, EncodeError> {
    let too_many = EncodeError::TooMany { what, found: found as u64, max: max as u64 };
    if found > max { Err(too_many) } else { Ok(found) }
}

pub(crate) fn put_wide_varint(out: &mut impl BufMut, mut value: u128) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            return out.put_u8(low);
        }
        out.put_u8(low | 0x80);
    }
}

pub(crate) fn put_varint(out: &mut impl BufMut, value: u64) {
    put_wide_varint(out, value.into());
}

pub(crate) fn put_words(out: &mut impl BufMut, words: &[u32]) {
    words.iter().for_each(|word| out.put_u32_le(*word));
}
