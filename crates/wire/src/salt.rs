use std::fmt;

use hearken_tree::Fingerprint;

/// A fresh random number that keys the short digests and short ids of one exchange.
///
/// Since nobody knows it beforehand, nobody can prepare a collision, and an accidental one heals in the next round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Salt(pub u64);

/// 8 bytes of BLAKE3 over a 32-byte digest, keyed with a [`Salt`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortDigest(pub [u8; 8]);

/// The first 4 bytes of a [`ShortDigest`], for what comes with a sketch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TinyDigest(pub [u8; 4]);

/// A [`Fingerprint`] as it travels: its digest shortened under a salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortFingerprint {
    /// The shortened digest.
    pub digest: ShortDigest,
    /// Number of keys.
    pub count: u64,
}

/// A [`ShortFingerprint`] as it travels beside a sketch, with half of the digest.
///
/// There it only saves folding a sketch of what is equal. Where sets that differ agree in it, one time in 2^32, the
/// difference shows in the next round, under another salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TinyFingerprint {
    /// The shortened digest.
    pub digest: TinyDigest,
    /// Number of keys.
    pub count: u64,
}

impl Salt {
    /// The fingerprint as it travels under this salt.
    pub fn shorten(&self, fingerprint: &Fingerprint) -> ShortFingerprint {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.0.to_be_bytes());
        let mut digest = [0; 8];
        digest.copy_from_slice(&blake3::keyed_hash(&key, &fingerprint.digest.0).as_bytes()[..8]);
        ShortFingerprint { digest: ShortDigest(digest), count: fingerprint.count }
    }
}

impl ShortFingerprint {
    /// The same, with half of the digest.
    pub fn tiny(&self) -> TinyFingerprint {
        let [a, b, c, d, ..] = self.digest.0;
        TinyFingerprint { digest: TinyDigest([a, b, c, d]), count: self.count }
    }
}

impl fmt::Debug for ShortDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShortDigest({:016x})", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TinyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TinyDigest({:08x})", u32::from_be_bytes(self.0))
    }
}
