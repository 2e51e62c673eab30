//! The fields of a message that its hash and its place depend on, read where they lie.

use prost::encoding::WireType;

use crate::WakuMessage;

/// What a store has to know of a [`WakuMessage`], without a copy of anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields<'a> {
    pub(crate) payload: &'a [u8],
    pub(crate) content_topic: &'a str,
    /// 0 where there is none.
    pub(crate) timestamp: i64,
    pub(crate) meta: &'a [u8],
    pub(crate) ephemeral: bool,
}

impl<'a> Fields<'a> {
    /// Reads the encoding that every implementation writes. `None`: it is another one, or no message at all, which prost has to tell:
    /// where this gives something, prost reads the same.
    pub(crate) fn read(body: &'a [u8]) -> Option<Fields<'a>> {
        let mut fields = Fields::default();
        let mut rest = Rest(body);
        while !rest.0.is_empty() {
            let key = rest.varint()?;
            let wire_type = WireType::try_from(key & 7).ok()?;
            // As prost has them: what repeats, counts the last time.
            match (key >> 3, wire_type) {
                (1, WireType::LengthDelimited) => fields.payload = rest.bytes()?,
                (2, WireType::LengthDelimited) => fields.content_topic = std::str::from_utf8(rest.bytes()?).ok()?,
                (3, WireType::Varint) => {
                    rest.varint()?;
                }
                (10, WireType::Varint) => fields.timestamp = zigzag(rest.varint()?),
                (11, WireType::LengthDelimited) => fields.meta = rest.bytes()?,
                (21, WireType::LengthDelimited) => {
                    rest.bytes()?;
                }
                (31, WireType::Varint) => fields.ephemeral = rest.varint()? != 0,
                _ => return None,
            }
        }
        Some(fields)
    }

    /// Those of a message that was decoded.
    pub(crate) fn of(message: &'a WakuMessage) -> Fields<'a> {
        Fields {
            payload: &message.payload,
            content_topic: &message.content_topic,
            timestamp: message.timestamp.unwrap_or_default(),
            meta: message.meta.as_deref().unwrap_or_default(),
            ephemeral: message.ephemeral.unwrap_or_default(),
        }
    }
}

/// What is left of a message.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// A number of at most 63 bits: nine bytes.
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for (shift, byte) in (0..63).step_by(7).zip(self.0) {
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                self.0 = self.0.get(shift / 7 + 1..)?;
                return Some(value);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

/// The signed number of a `sint64`.
fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}
