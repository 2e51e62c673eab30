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

/// A [`Fingerprint`] as it travels: its digest shortened under a salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortFingerprint {
    /// The shortened digest.
    pub digest: ShortDigest,
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

impl fmt::Debug for ShortDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShortDigest({:016x})", u64::from_be_bytes(self.0))
    }
}
