//! `hearken-sim reconcile`: two engines back to back, and the `negentropy` crate on the same sets.

pub mod hearken;
pub mod negentropy;
pub mod outcome;
mod table;
pub mod workload;

use std::{error::Error, process::ExitCode};

use clap::{Args as ClapArgs, ValueEnum};
use outcome::Outcome;
use serde::Serialize;
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
    /// Seed of the set and of both engines
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Further systems to measure on the same sets
    #[arg(long, value_enum)]
    against: Vec<Against>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Against {
    /// Range-based set reconciliation with modular sums, version 1 of the protocol
    Negentropy,
}

/// What is printed.
#[derive(Serialize)]
struct Report {
    items: usize,
    missing: usize,
    shape: &'static str,
    seed: u64,
    systems: Vec<Outcome>,
}

/// Runs the command; the exit code is 0 only if every system found exactly the missing messages.
pub fn main(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    if args.missing > args.items {
        return Err(format!("--missing {} is more than --items {}", args.missing, args.items).into());
    }
    let work = Workload::new(workload::made_up(args.items, args.seed), args.missing, args.shape, args.seed);
    let mut systems = vec![hearken::run(&work, args.seed)?];
    if args.against.contains(&Against::Negentropy) {
        systems.push(negentropy::run(&work)?);
    }
    let exact = systems.iter().all(|system| system.exact);
    let report =
        Report { items: args.items, missing: work.missing.len(), shape: args.shape.name(), seed: args.seed, systems };
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{}", table::render(&report));
    }
    Ok(if exact { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
