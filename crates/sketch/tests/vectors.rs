//! `vectors/sketch.json`: what another implementation should get. It is written by the slow model and checked against
//! both. To write it anew: `cargo test -p hearken-sketch --test vectors -- --ignored`.
#![allow(clippy::unwrap_used)]

mod model;

use hearken_sketch::{ShortId, ShortIds, Sketch};
use model::GF_32;
use serde_json::{Value, json};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/sketch.json");

fn read() -> Value {
    serde_json::from_str(&std::fs::read_to_string(PATH).unwrap()).unwrap()
}

fn entries<'a>(vectors: &'a Value, name: &str) -> &'a [Value] {
    vectors[name].as_array().unwrap()
}

fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap(), 16).unwrap()
}

fn numbers(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn small(value: u64) -> u32 {
    u32::try_from(value).unwrap()
}

fn ids(values: &[u64]) -> Vec<ShortId> {
    values.iter().map(|&value| ShortId::new(small(value)).unwrap()).collect()
}

fn bytes(value: &Value) -> [u8; 32] {
    hex::decode(value.as_str().unwrap()).unwrap().try_into().unwrap()
}

#[test]
fn products() {
    let vectors = read();
    for entry in entries(&vectors, "products") {
        let (a, b) = (number(&entry["a"]), number(&entry["b"]));
        assert_eq!(GF_32.mul(a, b), number(&entry["product"]));
        // The crate's own multiplication, seen from outside: s3 / s1 = a^2.
        let cube = GF_32.mul(a, GF_32.mul(a, a));
        assert_eq!(Sketch::encode(2, ids(&[a])).syndromes(), [small(a), small(cube)]);
    }
}

#[test]
fn short_ids() {
    let vectors = read();
    for entry in entries(&vectors, "short_ids") {
        let (salt, id, expected) = (number(&entry["salt"]), bytes(&entry["id"]), number(&entry["short_id"]));
        let hash = ShortIds::new(salt);
        assert_eq!(u64::from(hash.of(&id).get()), expected);
        let (mut several, first) = (vec![hash.of(&[0; 32])], hash.of(&[1; 32]));
        hash.of_each(&[[1; 32], id], &mut several);
        assert_eq!(several, [hash.of(&[0; 32]), first, hash.of(&id)]);
        assert_eq!(short_id(salt, &id), expected);
    }
}

#[test]
fn sketches() {
    let vectors = read();
    for entry in entries(&vectors, "sketches") {
        let (elements, syndromes) = (numbers(&entry["elements"]), numbers(&entry["syndromes"]));
        assert_eq!(GF_32.sketch(syndromes.len(), &elements), syndromes);
        let expected: Vec<_> = syndromes.iter().map(|&sum| small(sum)).collect();
        assert_eq!(Sketch::encode(expected.len(), ids(&elements)).syndromes(), expected);
    }
}

#[test]
fn decoded() {
    let vectors = read();
    for entry in entries(&vectors, "decoded") {
        let sketch = Sketch::from_syndromes(numbers(&entry["syndromes"]).into_iter().map(small).collect());
        let found = sketch.decode(sketch.max_differences()).ok();
        let expected = entry["elements"].as_array().map(|_| ids(&numbers(&entry["elements"])));
        assert_eq!(found, expected, "{}", entry["what"]);
    }
}

/// The definition once more: SplitMix64 for the numbers, 128-bit arithmetic for the sum.
fn short_id(salt: u64, id: &[u8; 32]) -> u64 {
    let numbers = (1_u64..=9).map(|i| {
        let mut z = salt.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        u128::from(z ^ z >> 31)
    });
    let words = id.chunks_exact(4).map(|word| u128::from(u32::from_le_bytes(word.try_into().unwrap())));
    let sum: u128 = numbers.zip(std::iter::once(1).chain(words)).map(|(number, word)| number * word).sum();
    u64::try_from(sum >> 32 & 0xffff_ffff).unwrap().max(1)
}

#[test]
#[ignore = "writes the vectors"]
fn write_the_file() {
    // Numbers that look random, from a generator that is here already.
    let draw = |seed: u64| short_id(seed, &[0x5a; 32]);
    let hex = |value: u64| json!(format!("{value:08x}"));
    let list = |values: &[u64]| json!(values.iter().map(|&value| hex(value)).collect::<Vec<_>>());

    let mut pairs: Vec<(u64, u64)> = (0..6).map(|i| (draw(2 * i), draw(2 * i + 1))).collect();
    pairs.extend([(1, 1), (2, 0x8000_0000), (0xffff_ffff, 0xffff_ffff), (0x8000_0000, 0x8000_0000)]);
    let products: Vec<_> =
        pairs.iter().map(|&(a, b)| json!({"a": hex(a), "b": hex(b), "product": hex(GF_32.mul(a, b))})).collect();

    let counted: [u8; 32] = std::array::from_fn(|i| u8::try_from(i).unwrap());
    let mut short_ids = Vec::new();
    for salt in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
        for id in [[0; 32], [0xff; 32], counted] {
            let short = hex(short_id(salt, &id));
            short_ids.push(json!({"salt": format!("{salt:016x}"), "id": hex::encode(id), "short_id": short}));
        }
    }

    let set = |size: u64| (0..size).map(|i| draw(1_000 * size + i)).collect::<Vec<_>>();
    let sketches: Vec<_> = [(0, 3), (1, 1), (1, 4), (2, 5), (7, 8), (40, 12)]
        .map(|(size, capacity)| (set(size), capacity))
        .into_iter()
        .chain([(vec![1], 4), (vec![0xffff_ffff], 4), (vec![5, 9, 5], 3)])
        .map(|(set, capacity)| json!({"elements": list(&set), "syndromes": list(&GF_32.sketch(capacity, &set))}))
        .collect();

    let mut decoded = Vec::new();
    for (what, size, capacity) in
        [("empty", 0, 1), ("one", 1, 2), ("two", 2, 3), ("eight, with four sums to verify", 8, 12), ("thirty", 30, 31)]
    {
        let mut set = set(size);
        let sums = GF_32.sketch(capacity, &set);
        set.sort_unstable();
        decoded.push(json!({"what": what, "syndromes": list(&sums), "elements": list(&set)}));
    }
    let overfull = GF_32.sketch(6, &set(9));
    let unverified = GF_32.sketch(6, &set(6));
    let mut spoilt = GF_32.sketch(6, &set(3));
    spoilt[5] ^= 1;
    let no_root = vec![0, 1, 0];
    for (what, sums) in [
        ("nine elements in six sums", overfull),
        ("six elements in six sums: nothing left to verify", unverified),
        ("three elements, last sum spoilt", spoilt),
        ("s1 = 0, s3 = 1: of no set of two", no_root),
    ] {
        decoded.push(json!({"what": what, "syndromes": list(&sums), "elements": null}));
    }

    let vectors = json!({"products": products, "short_ids": short_ids, "sketches": sketches, "decoded": decoded});
    std::fs::write(PATH, serde_json::to_string_pretty(&vectors).unwrap() + "\n").unwrap();
}
