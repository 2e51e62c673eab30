//! Every system on the same sets, with every seed.

use std::error::Error;

use hearken_tree::Key;
use serde::Serialize;

use super::{
    Against, Args,
    disk::Disk,
    hearken,
    outcome::Outcome,
    trace,
    workload::{self, Shape, Workload},
};

/// What is to be run.
pub(super) struct Runs {
    items: usize,
    /// The same with every seed; made up anew for each if none are given.
    keys: Option<Vec<Key>>,
    seed: u64,
    pub(super) seeds: u64,
    pub(super) against: Vec<Against>,
    disk: Option<Disk>,
}

/// One kind of difference: for each system, one outcome for each seed, or none where it cannot be measured.
pub(super) struct Row {
    items: usize,
    pub(super) missing: usize,
    pub(super) shape: Shape,
    seed: u64,
    seeds: u64,
    pub(super) systems: Vec<Vec<Outcome>>,
}

/// What is printed as JSON.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) items: usize,
    pub(super) missing: usize,
    pub(super) shape: &'static str,
    pub(super) seed: u64,
    /// How many; medians if more than one.
    pub(super) seeds: u64,
    pub(super) systems: Vec<Outcome>,
}

/// What is missing in the whole table, of so many messages.
pub(super) fn differences(items: usize) -> Vec<(usize, Shape)> {
    let scattered = [0, 1, 10, 100, 1_000, 10_000, items / 5].map(|missing| (missing, Shape::Scatter));
    let others = [
        (10_000, Shape::GapNewest),
        (10_000, Shape::GapOldest),
        (10_000, Shape::GapMiddle),
        (10_000, Shape::TwoWay),
        (items, Shape::Empty),
    ];
    let fits = |(missing, shape): &(usize, Shape)| *shape == Shape::Empty || *missing <= items / 4;
    let mut all: Vec<_> = scattered.into_iter().chain(others).filter(fits).collect();
    all.dedup();
    all
}

impl Runs {
    pub(super) fn prepare(args: &Args) -> Result<Runs, Box<dyn Error>> {
        let keys = args.trace.as_deref().map(trace::keys).transpose()?;
        Ok(Runs {
            items: keys.as_ref().map_or(args.items, Vec::len),
            keys,
            seed: args.seed,
            seeds: args.seeds,
            against: args.against.clone(),
            disk: args.on_disk.then(Disk::new).transpose()?,
        })
    }

    pub(super) fn items(&self) -> usize {
        self.items
    }

    pub(super) fn row(&self, missing: usize, shape: Shape) -> Result<Row, Box<dyn Error>> {
        let mut systems = vec![Vec::new(); 1 + self.against.len()];
        let mut lacking = missing;
        for seed in self.seed..self.seed.saturating_add(self.seeds) {
            let keys = self.keys.clone().unwrap_or_else(|| workload::made_up(self.items, seed));
            let work = Workload::new(keys, missing, shape, seed);
            lacking = work.missing.len();
            let mut systems = systems.iter_mut();
            for ours in systems.by_ref().take(1) {
                ours.push(hearken::run(&work, seed, self.disk.as_ref())?);
            }
            for (theirs, against) in systems.zip(&self.against) {
                theirs.extend(against.run(&work)?);
            }
        }
        // Of a two-way difference the requester lacks a half; it is called by the whole, as on the command line.
        let missing = if shape == Shape::TwoWay { missing } else { lacking };
        Ok(Row { items: self.items, missing, shape, seed: self.seed, seeds: self.seeds, systems })
    }
}

impl Row {
    pub(super) fn exact(&self) -> bool {
        self.systems.iter().flatten().all(|run| run.exact)
    }

    pub(super) fn medians(&self) -> Report {
        Report {
            items: self.items,
            missing: self.missing,
            shape: self.shape.name(),
            seed: self.seed,
            seeds: self.seeds,
            systems: self.systems.iter().filter_map(|runs| Outcome::median(runs)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_asks_for_what_fits() {
        assert_eq!(differences(1_000_000).len(), 12);
        assert!(differences(1_000_000).contains(&(200_000, Shape::Scatter)));
        assert_eq!(
            differences(500),
            [0, 1, 10, 100].map(|n| (n, Shape::Scatter)).into_iter().chain([(500, Shape::Empty)]).collect::<Vec<_>>()
        );
    }
}
