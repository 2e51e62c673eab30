//! Power cuts: an archive over a disk that loses, tears and reorders what was not synced.
#![allow(clippy::unwrap_used)]
mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::{
    disk::Disk,
    model::{Model, Op, filters, model_options, op, some_filters},
};
use hearken_archive::{AdmitError, Embedded, EmbeddedOptions, Filter, OpenError};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn open(disk: &Disk, filters: Vec<Filter>) -> Result<Embedded, OpenError> {
    let mut options = EmbeddedOptions::new("disk", model_options(filters));
    (options.cache_size, options.database_cache_size, options.at_once) = (1 << 18, 1 << 18, 50);
    // With an index that follows at once, soon, or late.
    options.backlog = [0, 30, 300][disk.bytes().len() / 4096 % 3];
    let disk = disk.clone();
    Embedded::open_with_backend(move || Ok(disk.clone()), options)
}

/// Works until the power goes; then the model is at the last thing that was acknowledged, and `next` is what was under way.
fn work(disk: &Disk, model: &mut Model, seed: u64, next: &mut u64) {
    let Ok(archive) = open(disk, model.filters.clone()) else { return };
    loop {
        let op = op(seed, *next).within(&model.filters);
        match Model::run(&archive, &op) {
            Ok(answers) => assert_eq!(answers, model.apply(&op)),
            Err(_) => return,
        }
        *next += 1;
    }
}

#[test]
fn no_power_cut_loses_what_was_acknowledged() {
    cut_often(300, 1);
}

#[test]
#[ignore = "3,000 power cuts take a minute"]
fn no_power_cut_of_many_loses_what_was_acknowledged() {
    cut_often(3000, 2);
}

fn cut_often(cuts: u64, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut stored, mut refused, mut finished) = (0, 0, 0);
    for run in 0..cuts.div_ceil(10) {
        let (mut disk, mut model, mut next) = (Disk::default(), Model::new(filters()), 0);
        // A file is made under another name first; so it is whole, if it is there.
        drop(open(&disk, filters()).unwrap());
        for _ in 0..10 {
            // Often amid the first few: opening is where most can go wrong.
            let most = if rng.random_bool(0.3) { 20 } else { 400 };
            disk.cut_after(rng.random_range(0..most));
            model.reopen(some_filters(&mut rng));
            work(&disk, &mut model, run, &mut next);
            disk = Disk::holding(disk.after_power_cut(rng.random()));

            let archive =
                open(&disk, model.filters.clone()).unwrap_or_else(|error| panic!("run {run}, op {next}: {error}"));
            if !model.agrees(&archive) {
                // It was not acknowledged, but may have been done: then wholly, but for retention, which takes several transactions.
                let op = op(run, next).within(&model.filters);
                model.apply(&op);
                if let Op::Retain(_) = op {
                    Model::run(&archive, &op).unwrap();
                }
                next += 1;
                finished += 1;
            }
            model.verify(&archive);
        }
        stored += model.messages.len();
        refused += model.refused.values().map(|refused| refused.len()).sum::<usize>();
    }
    assert!(stored > 1000 && refused > 100 && finished > 0, "the work was too little: {stored}, {refused}, {finished}");
}

/// The test's test: if nothing is synced, messages do get lost.
#[test]
fn a_missing_sync_would_be_seen() {
    let lost = (0..20).any(|run| {
        let (disk, mut model, mut next) = (Disk::default(), Model::new(filters()), 0);
        drop(open(&disk, filters()).unwrap());
        disk.lie();
        disk.cut_after(300);
        work(&disk, &mut model, run, &mut next);
        let disk = Disk::holding(disk.after_power_cut(run));
        let Ok(archive) = open(&disk, filters()) else { return true };
        // What was lost may show as an index that cannot be read.
        let agrees = |model: &Model| catch_unwind(AssertUnwindSafe(|| model.agrees(&archive))).unwrap_or(false);
        if agrees(&model) {
            return false;
        }
        model.apply(&op(run, next).within(&model.filters));
        !agrees(&model)
    });
    assert!(lost);
}

/// A full disk costs the batch that did not fit, and no more: readers read on, and what comes when there is room again is stored.
#[test]
fn a_full_disk_is_no_end() {
    let (disk, mut model) = (Disk::default(), Model::new(filters()));
    let archive = open(&disk, filters()).unwrap();
    let mut failures = 0;
    for n in 0..400 {
        if n % 40 == 20 {
            disk.limit(Some(disk.bytes().len() / 4096 * 4096 - 40 * 4096));
        } else if n % 40 == 39 {
            disk.limit(None);
        }
        let op = op(7, n);
        match Model::run(&archive, &op) {
            Ok(answers) => assert_eq!(answers, model.apply(&op)),
            Err(AdmitError::DiskFull { .. }) => failures += 1,
            Err(other) => panic!("op {n}: {other}"),
        }
        if let Op::Retain(_) = op {
            // Several transactions, some of which may have come through.
            disk.limit(None);
            model.apply(&op);
            Model::run(&archive, &op).unwrap();
        }
        assert!(model.agrees(&archive), "op {n}");
    }
    assert!(failures > 5, "{failures}");
    model.verify(&archive);
    drop(archive);
    model.verify(&open(&disk, filters()).unwrap());
}
