//! The vectors that another implementation can check itself against: `vectors.json` is what the model and the tree say.
//!
//! After a change of the definition, `cargo test -p hearken-tree --test vectors -- --ignored` writes the file anew.
#![allow(clippy::unwrap_used)]
mod common;

use std::{collections::BTreeSet, path::Path};

use common::model::{STANDARD, mix};
use hearken_tree::{Fingerprint, Id, Key, KeyRange, Tree};
use serde_json::{Value, json};

const MINUTE: u64 = 60_000_000_000;
const START: u64 = 1_700_000_000_000_000_000;

/// The keys of the vectors: key `i` of a sequence has the time START + `i` x `step`, and for its id the first of the hashes
/// BLAKE3(name, i as u64 BE, attempt as u64 BE), attempt = 0, 1, ..., whose level is in `levels`.
fn sequence(name: &str, count: u64, step: u64, levels: std::ops::RangeInclusive<u32>) -> Vec<Key> {
    let id = |i: u64, attempt: u64| {
        let mut hasher = blake3::Hasher::new();
        hasher.update(name.as_bytes()).update(&i.to_be_bytes()).update(&attempt.to_be_bytes());
        Id(*hasher.finalize().as_bytes())
    };
    let key = |i: u64| {
        let mut keys = (0..).map(|attempt| Key::new(START + i * step, id(i, attempt)));
        keys.find(|key| levels.contains(&STANDARD.level(key))).unwrap()
    };
    (0..count).map(key).collect()
}

/// The key with this time whose id is such that its mix is 2^`zeros`, so that the level is `zeros` / 7.
fn ground(time: u64, zeros: u32) -> Key {
    let mut mix = 1u64 << zeros;
    // The finaliser backwards: the inverses of its two factors, and each shift undoes itself.
    mix ^= mix >> 33;
    mix = mix.wrapping_mul(0x9cb4_b2f8_1293_37db);
    mix ^= mix >> 33;
    mix = mix.wrapping_mul(0x4f74_430c_22a5_4005);
    mix ^= mix >> 33;
    let mut id = [0; 32];
    id[..8].copy_from_slice(&mix.to_le_bytes());
    Key::new(time, Id(id))
}

fn hex_key(key: &Key) -> String {
    hex::encode(key.as_bytes())
}

fn expected(fingerprint: Fingerprint) -> Value {
    json!({ "digest": fingerprint.digest.to_string(), "count": fingerprint.count })
}

/// A set given by its keys.
fn listed(name: &str, keys: &[Key]) -> Value {
    let keys = keys.iter().copied().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>();
    let listed: Vec<String> = keys.iter().map(hex_key).collect();
    json!({ "name": name, "keys": listed, "expected": expected(STANDARD.fingerprint(&keys)) })
}

/// A set given by a sequence and keys beside it.
fn sequenced(name: &str, of: &Value, sequence: &[Key], range: Option<KeyRange>, more: &[Key]) -> Value {
    let keys: BTreeSet<Key> = sequence.iter().chain(more).copied().collect();
    let range = range.unwrap_or(KeyRange::ALL);
    let keys: Vec<Key> = keys.into_iter().filter(|key| range.contains(key)).collect();
    let mut of = of.clone();
    of["count"] = json!(sequence.len());
    json!({
        "name": name,
        "sequence": of,
        "more": more.iter().map(hex_key).collect::<Vec<_>>(),
        "range": [hex_key(&range.start()), hex_key(&range.end())],
        "expected": expected(STANDARD.fingerprint(&keys)),
    })
}

fn vectors() -> Value {
    let high = ground(START, 8 * 7);
    assert_eq!((STANDARD.level(&high), mix(&high)), (8, 1 << 56));
    let levels: Vec<Value> = [0, 6, 7, 13, 14, 56, 63]
        .map(|zeros| ground(START, zeros))
        .iter()
        .map(|key| json!({ "key": hex_key(key), "level": STANDARD.level(key) }))
        .collect();
    let cap = STANDARD.cap();
    let honest = sequence("honest", 3_000, MINUTE, 0..=9);
    let honest_is = json!({ "name": "honest", "step": MINUTE, "levels": [0, 9] });
    let long = sequence("long", 3_000, MINUTE, 0..=0);
    let long_is = json!({ "name": "long", "step": MINUTE, "levels": [0, 0] });
    let bounds = sequence("bounds", 1_500, MINUTE, 1..=1);
    let bounds_is = json!({ "name": "bounds", "step": MINUTE, "levels": [1, 1] });
    let within = |from: usize, to: usize| KeyRange::new(long[from], long[to]).ok();
    json!({
        "levels": levels,
        "sets": [
            listed("the empty set", &[]),
            listed("one key", &honest[..1]),
            listed("two keys", &honest[..2]),
            listed("a key of level 8", &[high]),
            listed("a key of level 8 behind another", &[honest[0], ground(START + MINUTE, 56)]),
            listed("two keys that bound level 0", &[ground(START, 7), ground(START + MINUTE, 7)]),
            listed("a key of the year 2262 that bounds level 0", &[honest[0], ground(1 << 63, 7)]),
        ],
        "sequences": [
            sequenced("honest keys", &honest_is, &honest, None, &[]),
            sequenced("a range of honest keys", &honest_is, &honest, KeyRange::new(honest[700], honest[2_345]).ok(), &[]),
            sequenced("every key bounds level 0", &bounds_is, &bounds, None, &[]),
            sequenced("an over-long run", &long_is, &long, None, &[]),
            sequenced("a range that ends inside a cell", &long_is, &long, within(10, 1_750), &[]),
            sequenced("8Q entries", &long_is, &long[..cap], None, &[]),
            sequenced("8Q + 1 entries", &long_is, &long[..=cap], None, &[]),
            sequenced("8Q entries again", &long_is, &long[..cap], None, &[]),
            sequenced("a boundary in an over-long run", &long_is, &long, None, &[ground(START + 1_500 * MINUTE + 1, 7)]),
        ],
    })
}

fn file() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors.json")
}

#[test]
fn the_file_is_what_the_model_says() {
    let stored: Value = serde_json::from_str(&std::fs::read_to_string(file()).unwrap()).unwrap();
    assert_eq!(stored, vectors());
}

#[test]
#[ignore = "writes the file"]
fn write_the_file() {
    std::fs::write(file(), serde_json::to_string_pretty(&vectors()).unwrap() + "\n").unwrap();
}

/// From the file alone, as another implementation would read it.
#[test]
fn the_tree_is_what_the_file_says() {
    let file: Value = serde_json::from_str(&std::fs::read_to_string(file()).unwrap()).unwrap();
    let key = |value: &Value| Key::from_bytes(hex::decode(value.as_str().unwrap()).unwrap().try_into().unwrap());
    let keys = |value: &Value| value.as_array().unwrap().iter().map(key).collect::<Vec<_>>();
    for level in file["levels"].as_array().unwrap() {
        assert_eq!(u64::from(STANDARD.level(&key(&level["key"]))), level["level"].as_u64().unwrap());
    }
    for set in file["sets"].as_array().unwrap() {
        let tree = Tree::from_sorted(keys(&set["keys"])).unwrap();
        assert_eq!(expected(tree.snapshot().root().unwrap()), set["expected"], "{}", set["name"]);
    }
    for set in file["sequences"].as_array().unwrap() {
        let of = &set["sequence"];
        let number = |value: &Value| value.as_u64().unwrap();
        let level = |at: usize| u32::try_from(number(&of["levels"][at])).unwrap();
        let of = sequence(of["name"].as_str().unwrap(), number(&of["count"]), number(&of["step"]), level(0)..=level(1));
        let mut tree = Tree::from_sorted(of).unwrap();
        tree.insert_all(keys(&set["more"])).unwrap();
        let range = KeyRange::new(key(&set["range"][0]), key(&set["range"][1])).unwrap();
        assert_eq!(expected(tree.snapshot().fingerprint(&range).unwrap()), set["expected"], "{}", set["name"]);
    }
}

/// An entry more than 8Q cuts a run into cells; one less, and it is one chunk again.
#[test]
fn a_run_grows_into_cells_and_back() {
    let long = sequence("long", 1_025, MINUTE, 0..=0);
    let mut tree = Tree::from_sorted(long[..1_024].iter().copied()).unwrap();
    let one = tree.snapshot();
    tree.insert(long[1_024]).unwrap();
    let cells = tree.snapshot();
    tree.remove(&long[1_024]).unwrap();
    assert_eq!(one.chunks().unwrap().len(), 1);
    assert!(cells.chunks().unwrap().len() > 1);
    assert_eq!(tree.snapshot().chunks().unwrap(), one.chunks().unwrap());
}
