//! Where chunks are cut: the level of a key, and the cells of an over-long run.

/// A key, or what is hashed for an entry above level 0 (digest, then count): both take 40 bytes.
pub(crate) type Raw = [u8; 40];

/// How finely sets are cut: one key in Q = 2^bits bounds level 0, one in Q^2 level 1, and no chunk passes 8Q entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    bits: u32,
}

impl Shape {
    /// What every node of the network uses: Q = 128.
    pub(crate) const STANDARD: Shape = Shape { bits: 7 };

    /// Q = 2^bits.
    pub(crate) const fn with_bits(bits: u32) -> Shape {
        Shape { bits }
    }

    /// The most entries in one chunk: 8Q.
    pub(crate) const fn cap(self) -> usize {
        8 << self.bits
    }

    /// Whether `key` starts a chunk at `level` wherever it stands.
    pub(crate) fn bounds(self, key: &Raw, level: u8) -> bool {
        mix(key).trailing_zeros() >= self.bits * (u32::from(level) + 1)
    }

    /// How many levels `key` bounds.
    pub(crate) fn level(self, key: &Raw) -> u8 {
        let zeros = mix(key).trailing_zeros();
        if zeros < self.bits {
            return 0;
        }
        // At most 64.
        (zeros / self.bits).to_le_bytes()[0]
    }
}

/// A cheap mix of the id: ids are hashes, so that no more than spreading their bits is needed. Whoever grinds ids to be
/// boundaries, or none, meets the cells below.
fn mix(key: &Raw) -> u64 {
    let mut mix = 0u64;
    for (i, word) in (0u32..).zip(key[8..].as_chunks::<8>().0) {
        mix ^= u64::from_le_bytes(*word).rotate_left(16 * i);
    }
    // The finaliser of MurmurHash3 (Appleby, public domain).
    mix ^= mix >> 33;
    mix = mix.wrapping_mul(0xff51_afd7_ed55_8ccd);
    mix ^= mix >> 33;
    mix = mix.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mix ^ (mix >> 33)
}

/// Length of the common prefix of two keys, in bits.
pub(crate) fn common_bits(a: &Raw, b: &Raw) -> u16 {
    let mut bits = 0;
    for (x, y) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        let differing = u64::from_be_bytes(*x) ^ u64::from_be_bytes(*y);
        let common = u16::try_from(differing.leading_zeros()).unwrap_or(64);
        bits += common;
        if common < 64 {
            break;
        }
    }
    bits
}

/// The cuts inside one run: `true` at `i` where a cell ends before entry `i`.
///
/// The cells are the maximal radix nodes of at most `cap` entries. So there is a cut between two neighbours if and only
/// if more than `cap` entries share the prefix that these two share: their lowest common radix node is too large, and
/// with it all above. `run` may be a stretch of a run, if every gap that is asked for has `cap` entries beside it on each
/// side on which the run goes on.
///
/// O(n): the entries that share a gap's prefix reach to the nearest gap on each side with a shorter one.
pub(crate) fn cell_cuts(run: &[&Raw], cap: usize) -> Vec<bool> {
    let n = run.len();
    let mut cuts = vec![false; n];
    // Gap i lies before entry i. `open` holds the gaps whose prefix still goes on, shortest prefix first, each with the
    // entry at which the entries that share it begin.
    let mut open: Vec<(u16, usize, usize)> = Vec::new();
    for i in 1..=n {
        let common = if i < n { Some(common_bits(run[i - 1], run[i])) } else { None };
        let mut begin = i - 1;
        while let Some(&(prefix, gap, start)) = open.last() {
            if common.is_some_and(|common| common >= prefix) {
                break;
            }
            open.pop();
            cuts[gap] = i - start > cap;
            begin = start;
        }
        if let Some(common) = common {
            open.push((common, i, begin));
        }
    }
    cuts
}
