#![allow(warnings)]
use hearken_tree::*;
use rand::{Rng, RngExt, SeedableRng};
fn main() {
    let what = std::env::args().nth(1).unwrap();
    let n: usize = std::env::args().nth(2).unwrap().parse().unwrap();
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let keys: Vec<Key> = (0..n as u64)
        .map(|i| {
            let mut id = [0; 32];
            rng.fill_bytes(&mut id);
            Key::new(1_700_000_000_000_000_000 + i * 100_000_000, Id(id))
        })
        .collect();
    let mut random = keys.clone();
    for i in (1..n).rev() {
        random.swap(i, rng.random_range(0..=i));
    }
    let t = std::time::Instant::now();
    match what.as_str() {
        "random" => {
            let mut t = Tree::new();
            for k in &random {
                t.insert(*k);
            }
            println!("{:?}", t.snapshot().root());
        }
        "append" => {
            for _ in 0..4 {
                let mut t = Tree::new();
                for k in &keys {
                    t.insert(*k);
                }
                println!("{:?}", t.snapshot().root());
            }
        }
        "bulk" => {
            for _ in 0..8 {
                let mut t = Tree::from_sorted(keys.iter().copied()).unwrap();
                println!("{:?}", t.snapshot().root());
            }
        }
        "root" => {
            let mut t = Tree::from_sorted(keys[..n / 2].iter().copied()).unwrap();
            for k in &keys[n / 2..] {
                t.insert(*k);
                t.snapshot().root();
            }
        }
        "fp" => {
            let s = Tree::from_sorted(keys.iter().copied()).unwrap().snapshot();
            for _ in 0..100000 {
                let a = keys[rng.random_range(0..n)];
                let b = keys[rng.random_range(0..n)];
                s.fingerprint(&KeyRange::new(a.min(b), a.max(b)).unwrap());
            }
        }
        "summary" => {
            let s = Tree::from_sorted(keys.iter().copied()).unwrap().snapshot();
            for _ in 0..2000 {
                s.summary(&KeyRange::ALL, 70);
            }
        }
        _ => {}
    }
    println!("{:?}", t.elapsed());
}
