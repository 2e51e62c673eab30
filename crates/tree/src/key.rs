use std::{cmp::Ordering, fmt};

use crate::search::compare;

/// A message's 32-byte id: its hash, so that its bits are as good as random unless somebody ground them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub [u8; 32]);

/// The 16-byte name of a set of keys that several nodes keep equal.
///
/// It is the hash of the set's canonical filter: a name, not a secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub [u8; 16]);

/// A message's place in the total order: its timestamp (8 bytes, big endian, nanoseconds since the Unix epoch), then
/// its [`Id`]. The newest is last.
///
/// [`Key::MAX`] ends ranges and is never a member of a set.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u8; Key::LEN]);

impl Ord for Key {
    #[inline]
    fn cmp(&self, other: &Key) -> Ordering {
        compare(&self.0, &other.0)
    }
}

impl PartialOrd for Key {
    #[inline]
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Key {
    /// Length of a key in bytes.
    pub const LEN: usize = 40;
    /// The smallest key.
    pub const MIN: Key = Key([0; Key::LEN]);
    /// The end of all ranges; no set holds it.
    pub const MAX: Key = Key([0xff; Key::LEN]);

    /// The key of the message `id` sent at `timestamp` (nanoseconds since the Unix epoch).
    pub fn new(timestamp: u64, id: Id) -> Key {
        let mut bytes = [0; Key::LEN];
        bytes[..8].copy_from_slice(&timestamp.to_be_bytes());
        bytes[8..].copy_from_slice(&id.0);
        Key(bytes)
    }

    /// The smallest key with this timestamp: where the time `timestamp` begins in the order of keys.
    pub fn at(timestamp: u64) -> Key {
        Key::new(timestamp, Id([0; 32]))
    }

    /// The key with these bytes.
    pub const fn from_bytes(bytes: [u8; Key::LEN]) -> Key {
        Key(bytes)
    }

    /// The key's bytes, timestamp first.
    pub const fn as_bytes(&self) -> &[u8; Key::LEN] {
        &self.0
    }

    /// Nanoseconds since the Unix epoch.
    #[inline]
    pub fn timestamp(&self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(bytes)
    }

    /// The message's id.
    pub fn id(&self) -> Id {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(&self.0[8..]);
        Id(bytes)
    }
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupId({self})")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} ", self.timestamp())?;
        hex(&self.0[8..16], f)?;
        f.write_str("..)")
    }
}
