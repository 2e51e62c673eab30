//! `hearken-sim reconcile`: two engines back to back, and others' crates on the same sets.

pub mod disk;
pub mod hearken;
pub mod merkle_search_tree;
pub mod negentropy;
pub mod outcome;
pub mod riblt;
mod runs;
mod table;
pub mod trace;
pub mod workload;

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::{Args as ClapArgs, ValueEnum};
use outcome::Outcome;
use runs::Runs;
use workload::{Shape, Workload};

/// The options of `hearken-sim reconcile`.
#[derive(ClapArgs)]
pub struct Args {
    /// How many messages there are in all
    #[arg(long, default_value_t = 1_000_000)]
    items: usize,
    /// How many of them one side lacks (two-way: half of them each)
    #[arg(long, default_value_t = 100)]
    missing: usize,
    /// Which messages are lacked: scatter, gap-newest, gap-oldest, gap-middle, two-way or empty
    #[arg(long, default_value = "scatter")]
    shape: Shape,
    /// Take the messages of this file (.ndjson or .ndjson.zst, as `hearken import` reads it) instead of made-up ones
    #[arg(long, value_name = "FILE", conflicts_with = "items")]
    trace: Option<PathBuf>,
    /// Seed of the set and of both engines
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// So many seeds, beginning with --seed; medians are printed
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Further systems to measure on the same sets
    #[arg(long, value_enum, value_delimiter = ',')]
    against: Vec<Against>,
    /// Keep the trees on disk, as nodes do, with a bounded cache
    #[arg(long)]
    on_disk: bool,
    /// Measure every kind of difference, one line each
    #[arg(long, conflicts_with_all = ["missing", "shape"])]
    table: bool,
    /// Print JSON instead of a table: one object, with --table one a line
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Against {
    /// Range-based set reconciliation with modular sums, version 1 of the protocol
    Negentropy,
    /// Merkle search trees: all page ranges, then the keys of those that differ
    MerkleSearchTree,
    /// Rateless invertible Bloom lookup tables: coded symbols until they are enough
    Riblt,
}

impl Against {
    fn name(self) -> &'static str {
        match self {
            Against::Negentropy => "negentropy",
            Against::MerkleSearchTree => "merkle-search-tree",
            Against::Riblt => "riblt",
        }
    }

    /// What it costs; `None` where it cannot be measured.
    fn run(self, work: &Workload) -> Result<Option<Outcome>, Box<dyn Error>> {
        match self {
            Against::Negentropy => Ok(Some(negentropy::run(work)?)),
            Against::MerkleSearchTree => merkle_search_tree::run(work).map(Some),
            Against::Riblt => Ok(riblt::run(work)),
        }
    }
}

/// Runs the command; the exit code is 0 only if every system found exactly the missing messages.
pub fn main(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let runs = Runs::prepare(args)?;
    let exact = if args.table { whole_table(args, &runs)? } else { one(args, &runs)? };
    Ok(if exact { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn one(args: &Args, runs: &Runs) -> Result<bool, Box<dyn Error>> {
    if args.missing > runs.items() {
        return Err(format!("--missing {} is more than the {} messages there are", args.missing, runs.items()).into());
    }
    let row = runs.row(args.missing, args.shape)?;
    let report = row.medians();
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{}", table::render(&report));
    }
    Ok(row.exact())
}

/// Prints each line when it is there: the whole takes minutes.
fn whole_table(args: &Args, runs: &Runs) -> Result<bool, Box<dyn Error>> {
    let mut exact = true;
    let mut rows = Vec::new();
    if !args.json {
        print!("{}", table::head(runs));
    }
    for (missing, shape) in runs::differences(runs.items()) {
        let row = runs.row(missing, shape)?;
        exact &= row.exact();
        if args.json {
            println!("{}", serde_json::to_string(&row.medians())?);
        } else {
            print!("{}", table::line(runs, &row));
        }
        rows.push(row);
    }
    if !args.json {
        print!("{}", table::plot(&rows));
    }
    Ok(exact)
}
