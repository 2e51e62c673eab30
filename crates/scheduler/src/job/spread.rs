//! Pieces of a job side by side: nothing of what they find depends on it.
use std::sync::OnceLock;

/// Units of [work](hearken_sketch::work) from which on pieces are spread: about a millisecond. Below, waking another thread gains little.
const WORTH: u64 = 1_000_000;

/// Does pieces of work, perhaps side by side: what a host lends to [`Job::run_on`](super::Job::run_on).
pub trait Workers: Sync {
    /// Calls `work` once with each number below `pieces`, on whatever threads, and returns when all of these calls have.
    fn each(&self, pieces: usize, work: &(dyn Fn(usize) + Sync));
}

/// No workers: who calls does all of it, one piece after the other.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

impl Workers for Alone {
    fn each(&self, pieces: usize, work: &(dyn Fn(usize) + Sync)) {
        (0..pieces).for_each(work);
    }
}

/// What `work` makes of each of the `items`, in their order. It costs so many units for all of them.
pub(super) fn map<T: Sync, R: Send + Sync>(
    workers: &dyn Workers,
    items: &[T],
    cost: u64,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    if cost < WORTH || items.len() < 2 {
        return items.iter().map(work).collect();
    }
    let results: Vec<OnceLock<R>> = items.iter().map(|_| OnceLock::new()).collect();
    workers.each(items.len(), &|at| {
        if let (Some(item), Some(result)) = (items.get(at), results.get(at)) {
            result.get_or_init(|| work(item));
        }
    });
    // A host that leaves something out makes it slower, not wrong.
    let result = |(result, item): (OnceLock<R>, &T)| result.into_inner().unwrap_or_else(|| work(item));
    results.into_iter().zip(items).map(result).collect()
}
