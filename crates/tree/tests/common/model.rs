//! The definition of the tree, written as plainly as possible: everything is computed from the sorted keys alone.
use hearken_tree::{Digest, Fingerprint, Key, PageId};

/// An entry of a chunk: at level 0 a key, above it a child's digest and count under the child's first key.
#[derive(Clone)]
struct Entry {
    first: Key,
    digest: Digest,
    count: u64,
}

/// The definition for Q = 2^bits.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    pub bits: u32,
}

/// What every node uses.
pub const STANDARD: Model = Model { bits: 7 };

/// The mix of a key's id whose trailing zero bits make its level.
pub fn mix(key: &Key) -> u64 {
    let mut mix = 0u64;
    for (i, word) in (0u32..).zip(key.id().0.chunks_exact(8)) {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(word);
        mix ^= u64::from_le_bytes(bytes).rotate_left(16 * i);
    }
    // The finaliser of MurmurHash3 (Appleby, public domain).
    mix ^= mix >> 33;
    mix = mix.wrapping_mul(0xff51_afd7_ed55_8ccd);
    mix ^= mix >> 33;
    mix = mix.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mix ^ (mix >> 33)
}

/// BLAKE3 of a chunk's entries, keyed by its level.
fn digest(level: u32, entries: &[Entry]) -> Digest {
    let key = blake3::derive_key("hearken-tree v1 chunk digest", &[u8::try_from(level).unwrap()]);
    let mut hasher = blake3::Hasher::new_keyed(&key);
    for entry in entries {
        if level == 0 {
            hasher.update(entry.first.as_bytes());
        } else if entry.count == 1 && entry.first.timestamp() >> 63 == 0 {
            hasher.update(&entry.first.id().0);
            hasher.update(&(entry.first.timestamp() | 1 << 63).to_be_bytes());
        } else {
            hasher.update(&entry.digest.0);
            hasher.update(&entry.count.to_be_bytes());
        }
    }
    Digest(*hasher.finalize().as_bytes())
}

/// Length of the common prefix of two keys, in bits.
fn common_bits(a: &Key, b: &Key) -> usize {
    let mut bits = 0;
    for (x, y) in a.as_bytes().iter().zip(b.as_bytes()) {
        if x != y {
            return bits + (x ^ y).leading_zeros() as usize;
        }
        bits += 8;
    }
    bits
}

impl Model {
    /// No chunk holds more entries than this: 8Q.
    pub fn cap(self) -> usize {
        8 << self.bits
    }

    /// How many levels `key` bounds: the trailing zero bits of the mix, in steps of log2(Q).
    pub fn level(self, key: &Key) -> u32 {
        mix(key).trailing_zeros() / self.bits
    }

    /// Cuts the entries of one run into the maximal radix nodes of at most [`Model::cap`].
    fn cells(self, run: &[Entry]) -> Vec<&[Entry]> {
        if run.len() <= self.cap() {
            return vec![run];
        }
        let prefix = common_bits(&run[0].first, &run[run.len() - 1].first);
        let split = run.partition_point(|e| common_bits(&e.first, &run[0].first) > prefix);
        let (left, right) = run.split_at(split);
        let mut all = self.cells(left);
        all.extend(self.cells(right));
        all
    }

    /// The fingerprint of a set, from its keys in order.
    pub fn fingerprint(self, keys: &[Key]) -> Fingerprint {
        self.build(keys, &mut |_, _, _| {})
    }

    /// Every chunk of several entries, in the order of their places, with the number of its entries.
    pub fn chunks(self, keys: &[Key]) -> Vec<(PageId, usize, Fingerprint)> {
        let mut chunks = Vec::new();
        self.build(keys, &mut |page, entries, fingerprint| chunks.push((page, entries, fingerprint)));
        chunks
    }

    fn build(self, keys: &[Key], visit: &mut dyn FnMut(PageId, usize, Fingerprint)) -> Fingerprint {
        if keys.is_empty() {
            return Fingerprint { digest: digest(0, &[]), count: 0 };
        }
        let mut entries: Vec<Entry> =
            keys.iter().map(|key| Entry { first: *key, digest: Digest([0; 32]), count: 1 }).collect();
        for height in 0.. {
            let mut chunks = Vec::new();
            let mut rest = entries.as_slice();
            while !rest.is_empty() {
                let bound = rest.iter().skip(1).position(|e| self.level(&e.first) > height);
                let (run, others) = rest.split_at(bound.map_or(rest.len(), |at| at + 1));
                rest = others;
                for chunk in self.cells(run) {
                    let whole = height > 0 && chunk.len() == 1;
                    let digest = if whole { chunk[0].digest } else { digest(height, chunk) };
                    let count = chunk.iter().map(|e| e.count).sum();
                    if chunk.len() > 1 {
                        let page = PageId { level: u8::try_from(height).unwrap(), first: chunk[0].first };
                        visit(page, chunk.len(), Fingerprint { digest, count });
                    }
                    chunks.push(Entry { first: chunk[0].first, digest, count });
                }
            }
            if let [root] = chunks.as_slice() {
                return Fingerprint { digest: root.digest, count: root.count };
            }
            entries = chunks;
        }
        unreachable!("each level has fewer entries than the one below")
    }
}
