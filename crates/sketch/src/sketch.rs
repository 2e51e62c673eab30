//! The sketch itself: the odd power sums of a set.

use crate::decode::{self, Decoded, Undecodable};
use crate::kernel::Kernel;
use crate::short_id::ShortId;

/// How many elements are collected before the inner loop runs over them.
const BLOCK: usize = 1024;

/// The sums of the powers 1, 3, 5, ..., 2c - 1 of a set's short ids over GF(2^32), c being the capacity.
///
/// Addition is XOR, so putting an element in twice takes it out again, and the sum of two sketches is the sketch of
/// what only one of the sets has. The first k sums are themselves a sketch, of capacity k.
///
/// It says nothing about which salt its short ids had; whoever folds two must see to it that it was the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sketch {
    syndromes: Vec<u32>,
}

impl Sketch {
    /// The empty set's sketch. Capacity c takes 4c bytes and finds up to c - 1 differences.
    pub fn new(capacity: usize) -> Self {
        Self { syndromes: vec![0; capacity] }
    }

    /// The sketch of `elements`. Costs [`encode_work`](crate::encode_work) units.
    pub fn encode(capacity: usize, elements: impl IntoIterator<Item = ShortId>) -> Self {
        let mut sketch = Self::new(capacity);
        sketch.extend(elements);
        sketch
    }

    /// The sketch that has these sums, as they came from [`syndromes`](Self::syndromes). All of them are valid: whether
    /// a set of at most the capacity has them, decoding tells.
    pub fn from_syndromes(syndromes: Vec<u32>) -> Self {
        Self { syndromes }
    }

    /// The sums, lowest power first: what goes over the wire.
    pub fn syndromes(&self) -> &[u32] {
        &self.syndromes
    }

    /// As [`syndromes`](Self::syndromes), without a copy.
    pub fn into_syndromes(self) -> Vec<u32> {
        self.syndromes
    }

    /// How many sums there are.
    pub fn capacity(&self) -> usize {
        self.syndromes.len()
    }

    /// The most differences that this sketch can find while one sum only verifies.
    pub fn max_differences(&self) -> usize {
        self.capacity().saturating_sub(1)
    }

    /// Puts an element in, or takes it out if it is there. Use [`extend`](Extend::extend) for many: it is several times
    /// as fast.
    pub fn toggle(&mut self, element: ShortId) {
        self.extend([element]);
    }

    /// Makes this the sketch of what only one of the two sets has. If capacities differ, the smaller stays.
    pub fn fold(&mut self, other: &Self) {
        self.truncate(other.capacity());
        for (sum, other) in self.syndromes.iter_mut().zip(&other.syndromes) {
            *sum ^= other;
        }
    }

    /// Lowers the capacity, to what the sketch would be had it been encoded so. Does nothing if it is not higher.
    pub fn truncate(&mut self, capacity: usize) {
        self.syndromes.truncate(capacity);
    }

    /// The elements of the set, in ascending order, if they are at most `max_differences`.
    ///
    /// All sums above as many as there are elements only verify, at least one in any case: `max_differences` is capped
    /// at [`max_differences`](Self::max_differences), and a lower one leaves more to verify. A sketch of more
    /// elements than its capacity, or made up, passes with v verifying sums for one in (c - v)! 2^(32 v). Costs
    /// [`work`](crate::work) for no elements, whatever the sums are.
    pub fn decode(&self, max_differences: usize) -> Result<Vec<ShortId>, Undecodable> {
        decode::decode(Kernel::best(), self, max_differences)
    }

    /// As [`decode`](Self::decode), telling apart which elements are among `candidates`: the provider's own short ids,
    /// whose sketch was folded with the requester's.
    ///
    /// If trying the candidates is cheaper than factoring, it is done first, and only what is left is factored; the result
    /// is the same. Costs at most [`work`](crate::work) less [`encode_work`](crate::encode_work).
    pub fn decode_among(&self, candidates: &[ShortId], max_differences: usize) -> Result<Decoded, Undecodable> {
        decode::decode_among(Kernel::best(), self, candidates, max_differences)
    }
}

impl Extend<ShortId> for Sketch {
    /// Toggles every element.
    fn extend<T: IntoIterator<Item = ShortId>>(&mut self, elements: T) {
        let kernel = Kernel::best();
        let mut block = [0; BLOCK];
        let mut elements = elements.into_iter();
        loop {
            let mut filled = 0;
            for (place, element) in block.iter_mut().zip(&mut elements) {
                *place = element.get();
                filled += 1;
            }
            kernel.add_odd_powers(&block[..filled], &mut self.syndromes);
            if filled < BLOCK {
                return;
            }
        }
    }
}
