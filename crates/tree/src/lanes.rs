//! BLAKE3 of many inputs side by side.
//!
//! A processor with wide vectors compresses sixteen blocks in the time of one, if none waits for another. BLAKE3 by itself has
//! only the 1 KiB pieces of one input to fill the lanes with, and a chunk has about five of them: so here the pieces of many
//! chunks go together. The digests are those of [`blake3::keyed_hash`].
//!
//! `blake3::platform` is not documented, and may change with any release of `blake3`. Its public interface has nothing that
//! hashes inputs that do not belong together (BLAKE3-team/BLAKE3, issue 478), and `hazmat` takes one at a time. `Cargo.lock`
//! says which release it is, and the test below that it does what is thought of it.
use blake3::{
    BLOCK_LEN, CHUNK_LEN, IncrementCounter, OUT_LEN,
    platform::{MAX_SIMD_DEGREE, Platform},
};

/// The flags of a compression: BLAKE3, section 2.2.
const PIECE_START: u8 = 1;
const PIECE_END: u8 = 2;
const PARENT: u8 = 4;
const ROOT: u8 = 8;
const KEYED: u8 = 16;

/// A chaining value, or a digest.
type Value = [u8; OUT_LEN];

/// BLAKE3 with some key on this processor.
struct Lanes {
    platform: Platform,
    key: [u32; 8],
}

/// An input, and where the values of its pieces of 1 KiB lie among those of all inputs.
#[derive(Clone, Copy)]
struct Input<'a> {
    bytes: &'a [u8],
    values: usize,
    /// How many values there are now: of the pieces, then of their parents, and so on.
    len: usize,
    /// Whether the values of the whole pieces were known before.
    known: bool,
}

/// The last piece of an input, where it is not 1 KiB long or is all there is.
struct Tail<'a> {
    bytes: &'a [u8],
    counter: u64,
    state: [u32; 8],
    end: u8,
    value: usize,
}

/// The digest of one input.
pub(crate) fn digest(key: &[u8; 32], input: &[u8]) -> Value {
    // BLAKE3 hashes three pieces as two and one; fewer it hashes as well as can be.
    if input.len() < 3 * CHUNK_LEN {
        return *blake3::keyed_hash(key, input).as_bytes();
    }
    digests(key, std::iter::once((input, NONE)), |_, _| {}).first().copied().unwrap_or([0; OUT_LEN])
}

/// No values of pieces.
pub(crate) const NONE: &[Value] = &[];

/// The digests of inputs with this key, in their order. With each input come the values of its pieces of 1 KiB, if they are known: those of
/// an input of more than one piece, of which it is the beginning. They are shown to `pieces` with the input's place.
pub(crate) fn digests<'a>(
    key: &[u8; 32],
    inputs: impl Iterator<Item = (&'a [u8], &'a [Value])>,
    pieces: impl FnMut(usize, &[Value]),
) -> Vec<Value> {
    let platform = Platform::detect();
    if platform.simd_degree() == 1 {
        return inputs.map(|(input, _)| *blake3::keyed_hash(key, input).as_bytes()).collect();
    }
    side_by_side(platform, key, inputs, pieces)
}

fn side_by_side<'a>(
    platform: Platform,
    key: &[u8; 32],
    inputs: impl Iterator<Item = (&'a [u8], &'a [Value])>,
    mut pieces: impl FnMut(usize, &[Value]),
) -> Vec<Value> {
    let mut values: Vec<Value> = Vec::new();
    let place = |(bytes, known): (&'a [u8], &[Value])| {
        let len = bytes.len().div_ceil(CHUNK_LEN).max(1);
        let mut input = Input { bytes, values: values.len(), len, known: false };
        if let Some(whole) = known.get(..input.whole()).filter(|whole| !whole.is_empty()) {
            values.extend_from_slice(whole);
            input.known = true;
        }
        values.resize(input.values + len, [0; OUT_LEN]);
        input
    };
    let mut inputs: Vec<Input<'a>> = inputs.map(place).collect();
    let lanes = Lanes { platform, key: words(key) };
    lanes.whole_pieces(&inputs, &mut values);
    lanes.tails(&inputs, &mut values);
    for (at, input) in inputs.iter().enumerate() {
        pieces(at, &values[input.values..][..input.whole()]);
    }
    let mut pairs = Vec::new();
    while lanes.parents(&mut inputs, &mut pairs, &mut values) {}
    inputs.iter().map(|input| values[input.values]).collect()
}

/// A key as BLAKE3 starts with it.
fn words(key: &[u8; 32]) -> [u32; 8] {
    let mut words = [0; 8];
    words.iter_mut().zip(key.as_chunks().0).for_each(|(word, bytes)| *word = u32::from_le_bytes(*bytes));
    words
}

impl Input<'_> {
    /// How many pieces of 1 KiB it has; one that is all there is counts as a tail.
    fn whole(&self) -> usize {
        if self.len > 1 { self.bytes.len() / CHUNK_LEN } else { 0 }
    }

    fn piece(&self, index: usize) -> Option<&[u8; CHUNK_LEN]> {
        self.bytes.get(index * CHUNK_LEN..)?.first_chunk()
    }
}

impl Lanes {
    /// Pieces that go together have the same place in their inputs, or one place after the other in one input.
    fn whole_pieces(&self, inputs: &[Input<'_>], values: &mut [Value]) {
        let degree = self.platform.simd_degree();
        let flags = (KEYED, PIECE_START, PIECE_END);
        let is_short = |input: &&Input<'_>| !input.known && (1..degree).contains(&input.whole());
        let together = inputs.len() >= degree && inputs.iter().filter(is_short).count() >= degree;
        for input in inputs.iter().filter(|input| !input.known && (!together || input.whole() >= degree)) {
            for from in (0..input.whole()).step_by(degree) {
                let some = degree.min(input.whole() - from);
                let pieces = (from..from + some).filter_map(|index| input.piece(index));
                let found = self.hash(pieces, from, IncrementCounter::Yes, flags);
                values[input.values + from..][..some].copy_from_slice(&found[..some]);
            }
        }
        if !together {
            return;
        }
        let mut short: Vec<&Input<'_>> = inputs.iter().filter(is_short).collect();
        short.sort_unstable_by_key(|input| std::cmp::Reverse(input.whole()));
        for index in 0..degree {
            short.truncate(short.partition_point(|input| input.whole() > index));
            for some in short.chunks(degree) {
                let pieces = some.iter().filter_map(|input| input.piece(index));
                let found = self.hash(pieces, index, IncrementCounter::No, flags);
                some.iter().zip(found).for_each(|(input, value)| values[input.values + index] = value);
            }
        }
    }

    /// The last pieces, block by block in turn: two compressions that do not wait for each other overlap.
    fn tails<'a>(&self, inputs: &[Input<'a>], values: &mut [Value]) {
        let has_tail = |input: &&Input<'_>| input.whole() < input.len;
        let tail = |input: &Input<'a>| Tail {
            bytes: &input.bytes[input.whole() * CHUNK_LEN..],
            counter: input.whole() as u64,
            state: self.key,
            end: if input.len == 1 { PIECE_END | ROOT } else { PIECE_END },
            value: input.values + input.len - 1,
        };
        let mut tails: Vec<Tail<'_>> = inputs.iter().filter(has_tail).map(tail).collect();
        let mut flags = KEYED | PIECE_START;
        while !tails.is_empty() {
            tails.retain_mut(|tail| {
                let more = self.next_block(tail, flags);
                if !more {
                    let (bytes, _) = values[tail.value].as_chunks_mut();
                    bytes.iter_mut().zip(tail.state).for_each(|(to, word)| *to = word.to_le_bytes());
                }
                more
            });
            flags = KEYED;
        }
    }

    /// Compresses the next block of a tail; `false` if it was the last.
    fn next_block(&self, tail: &mut Tail<'_>, flags: u8) -> bool {
        let Tail { bytes, counter, state, end, .. } = tail;
        match bytes.split_first_chunk::<BLOCK_LEN>() {
            Some((block, rest)) if !rest.is_empty() => {
                self.platform.compress_in_place(state, block, 64, *counter, flags);
                *bytes = rest;
                true
            }
            _ => {
                let mut block = [0; BLOCK_LEN];
                block[..bytes.len()].copy_from_slice(bytes);
                // At most 64.
                let [len, ..] = bytes.len().to_le_bytes();
                self.platform.compress_in_place(state, &block, len, *counter, flags | *end);
                false
            }
        }
    }

    /// Puts the parents of neighbouring values in their place, for all inputs; `false` if each has one value left. `pairs` is room
    /// to note where each pair lies, and where its parent goes.
    fn parents(&self, inputs: &mut [Input<'_>], pairs: &mut Vec<(usize, usize)>, values: &mut [Value]) -> bool {
        for (is_root, flags) in [(true, KEYED | PARENT | ROOT), (false, KEYED | PARENT)] {
            let open = inputs.iter().filter(|input| input.len > 1 && (input.len == 2) == is_root);
            pairs.clear();
            pairs.extend(open.flat_map(|input| (0..input.len / 2).map(|i| (input.values + 2 * i, input.values + i))));
            for some in pairs.chunks(self.platform.simd_degree()) {
                let bytes = values.as_flattened();
                let blocks = some.iter().filter_map(|(pair, _)| bytes[pair * OUT_LEN..].first_chunk::<BLOCK_LEN>());
                let found = self.hash(blocks, 0, IncrementCounter::No, (flags, 0, 0));
                some.iter().zip(found).for_each(|((_, parent), value)| values[*parent] = value);
            }
        }
        for input in inputs.iter_mut().filter(|input| input.len > 1) {
            if input.len % 2 == 1 {
                // Without a neighbour, it comes behind the parents.
                values[input.values + input.len / 2] = values[input.values + input.len - 1];
            }
            input.len = input.len.div_ceil(2);
        }
        inputs.iter().any(|input| input.len > 1)
    }

    /// Hashes each of at most as many inputs as there are lanes.
    fn hash<'a, const N: usize>(
        &self,
        inputs: impl Iterator<Item = &'a [u8; N]>,
        counter: usize,
        increment: IncrementCounter,
        (flags, start, end): (u8, u8, u8),
    ) -> [Value; MAX_SIMD_DEGREE] {
        let mut lanes = [&[0; N]; MAX_SIMD_DEGREE];
        let len = lanes.iter_mut().zip(inputs).map(|(lane, input)| *lane = input).count();
        // A power of two takes no longer than fewer do.
        let padded = len.next_power_of_two().min(self.platform.simd_degree());
        let mut values = [[0; OUT_LEN]; MAX_SIMD_DEGREE];
        let out = values.as_flattened_mut();
        self.platform.hash_many(&lanes[..padded], &self.key, counter as u64, increment, flags, start, end, out);
        values
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn are_those_of_blake3(
            key in any::<[u8; 32]>(),
            seed in any::<u64>(),
            lens in prop::collection::vec(
                prop_oneof![0..200usize, 900..1200usize, 0..6000usize, 0..50_000usize, (0..40usize).prop_map(|n| n * 1024)],
                0..60,
            ),
        ) {
            let mut bytes = vec![0; 100_000];
            blake3::Hasher::new().update(&seed.to_be_bytes()).finalize_xof().fill(&mut bytes);
            let inputs: Vec<&[u8]> = (0..).zip(&lens).map(|(at, len)| &bytes[at * 797..][..*len]).collect();
            let each: Vec<Value> = inputs.iter().map(|input| *blake3::keyed_hash(&key, input).as_bytes()).collect();
            let mut platforms = vec![Platform::detect(), Platform::portable()];
            #[cfg(target_arch = "x86_64")]
            platforms.extend([Platform::sse2(), Platform::sse41(), Platform::avx2()].into_iter().flatten());
            for platform in platforms {
                let mut pieces = vec![Vec::new(); inputs.len()];
                let unknown = inputs.iter().map(|input| (*input, NONE));
                let digests = side_by_side(platform, &key, unknown, |at, found| pieces[at] = found.to_vec());
                prop_assert_eq!(&digests, &each, "{:?}", platform);
                // The beginnings of the inputs, with what is known of them now.
                let begun: Vec<&[u8]> = inputs.iter().map(|input| &input[..input.len() - input.len() % 977]).collect();
                let known = begun.iter().zip(&pieces).map(|(input, known)| (*input, &known[..]));
                let each: Vec<Value> = begun.iter().map(|input| *blake3::keyed_hash(&key, input).as_bytes()).collect();
                prop_assert_eq!(&side_by_side(platform, &key, known, |_, _| {}), &each, "{:?}", platform);
            }
            for (input, digest) in inputs.into_iter().zip(each) {
                prop_assert_eq!(super::digest(&key, input), digest);
            }
        }
    }
}
