//! The real `negentropy` crate on the same sets: <https://github.com/hoytech/negentropy>.

use std::collections::BTreeSet;

use hearken_tree::Key;
use negentropy::{Id, Negentropy, NegentropyStorageVector};

use super::{
    outcome::{Bytes, CpuMs, Outcome},
    workload::Workload,
};
use crate::cpu::Stopwatch;

/// Reconciles without a frame limit, as its own benchmarks do: the requester initiates.
pub fn run(work: &Workload) -> Result<Outcome, negentropy::Error> {
    let (requester_set, provider_set) = (storage(&work.requester)?, storage(&work.provider)?);
    let mut requester = Negentropy::borrowed(&requester_set, 0)?;
    let mut provider = Negentropy::borrowed(&provider_set, 0)?;
    let (mut requester_cpu, mut provider_cpu) = (Stopwatch::default(), Stopwatch::default());
    let (mut have, mut need) = (Vec::new(), Vec::new());
    let (mut bytes, mut round_trips) = (Bytes::default(), 0);

    let mut question = Some(requester_cpu.run(|| requester.initiate())?);
    while let Some(query) = question {
        bytes.request += query.len() as u64;
        let reply = provider_cpu.run(|| provider.reconcile(&query))?;
        bytes.answer += reply.len() as u64;
        round_trips += 1;
        question = requester_cpu.run(|| requester.reconcile_with_ids(&reply, &mut have, &mut need))?;
    }
    bytes.total = bytes.request + bytes.answer;

    let found: BTreeSet<[u8; 32]> = need.iter().map(|id| *id.as_bytes()).collect();
    let exact = found.len() == work.missing.len() && work.missing.iter().all(|key| found.contains(&key.id().0));
    Ok(Outcome {
        name: "negentropy",
        bytes,
        round_trips,
        cpu_ms: CpuMs { requester: requester_cpu.milliseconds(), provider: provider_cpu.milliseconds() },
        found: found.len() as u64,
        exact,
    })
}

fn storage(keys: &[Key]) -> Result<NegentropyStorageVector, negentropy::Error> {
    let mut storage = NegentropyStorageVector::with_capacity(keys.len());
    for key in keys {
        storage.insert(key.timestamp(), Id::from_byte_array(key.id().0))?;
    }
    storage.seal()?;
    Ok(storage)
}
