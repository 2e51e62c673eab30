//! Encoding by element and capacity, decoding by capacity. `cargo bench -p hearken-sketch`.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hearken_sketch::{ShortId, ShortIds, Sketch};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CAPACITIES: [usize; 5] = [8, 16, 32, 64, 128];

/// What a span of the default summary holds of a million messages.
const SPAN: usize = 4_000;

fn short_ids(count: usize) -> Vec<ShortId> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let short = ShortIds::new(rng.random());
    (0..count).map(|_| short.of(&rng.random())).collect()
}

fn hash(c: &mut Criterion) {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let short = ShortIds::new(rng.random());
    let ids: Vec<[u8; 32]> = (0..SPAN).map(|_| rng.random()).collect();
    let mut group = c.benchmark_group("short id");
    group.throughput(Throughput::Elements(SPAN as u64));
    group.bench_function("of", |b| b.iter(|| ids.iter().fold(0, |sum, id| sum ^ short.of(black_box(id)).get())));
    let keys: Vec<[u8; 40]> = (0..SPAN).map(|_| rng.random()).collect();
    let mut found = Vec::with_capacity(SPAN);
    group.bench_function("of each", |b| {
        b.iter(|| {
            found.clear();
            short.of_each(black_box(&keys), &mut found);
        });
    });
    group.finish();
}

/// Elements are element-capacities here: `1 Gelem/s` is 1 ns each.
fn encode(c: &mut Criterion) {
    let ids = short_ids(SPAN);
    let mut group = c.benchmark_group("encode");
    for capacity in CAPACITIES {
        group.throughput(Throughput::Elements((SPAN * capacity) as u64));
        group.bench_with_input(BenchmarkId::from_parameter(capacity), &capacity, |b, &capacity| {
            b.iter(|| Sketch::encode(capacity, black_box(&ids).iter().copied()));
        });
    }
    group.finish();
}

/// Full sketches: c - 1 differences. The provider holds half of them among its own.
fn decode(c: &mut Criterion) {
    let ids = short_ids(SPAN);
    for (name, candidates) in [("decode", 0), ("decode among 300", 300), ("decode among 4000", SPAN)] {
        let mut group = c.benchmark_group(name);
        for capacity in CAPACITIES {
            let differences = capacity - 1;
            let sketch = Sketch::encode(capacity, ids[..differences].iter().copied());
            let held = &ids[differences / 2..];
            let held = &held[..candidates.min(held.len())];
            group.bench_function(BenchmarkId::from_parameter(capacity), |b| {
                b.iter(|| black_box(&sketch).decode_among(held, differences).unwrap());
            });
        }
        group.finish();
    }
}

criterion_group!(benches, hash, encode, decode);
criterion_main!(benches);
