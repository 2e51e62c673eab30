//! `hearken-sim soak`: the same scenario with many seeds. Whatever fails is named with the command that runs it again.

use std::{
    error::Error,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use clap::Args as ClapArgs;

use super::{Outcome, SimError, quoted, simulate};
use crate::scenario::Scenario;

/// What `hearken-sim soak` is told.
#[derive(ClapArgs)]
pub struct Args {
    /// A scenario file, or the name of one that ships (see `hearken-sim list`)
    #[arg(default_value = "mixed")]
    scenario: String,
    /// How many seeds
    #[arg(long, default_value_t = 50)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Runs at a time
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Change a setting, as in `--set network.nodes=100`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

/// Runs every seed; fails if any did.
///
/// # Errors
/// A scenario that cannot be run, or a bug.
pub fn main(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let scenario = Scenario::load(&args.scenario, &args.settings)?;
    let last = args.first.saturating_add(args.seeds);
    let (next, failed) = (AtomicU64::new(args.first), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..args.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= last {
                        break;
                    }
                    let outcome = simulate(&Scenario { seed, ..scenario.clone() }, None, false);
                    if outcome.as_ref().map_or(true, |outcome| !outcome.passed) {
                        report(args, seed, &outcome);
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner).len();
    println!("{} of {} seeds of `{}` passed", args.seeds - failed as u64, args.seeds, args.scenario);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report(args: &Args, seed: u64, outcome: &Result<Outcome, SimError>) {
    let why = match outcome {
        Ok(outcome) => {
            let failed = outcome.checks.iter().filter(|check| !check.ok);
            let failed = failed.map(|check| format!("{} {} (expected {})", check.name, check.found, check.expected));
            failed.collect::<Vec<_>>().join(", ")
        }
        Err(error) => error.to_string(),
    };
    let settings: String = args.settings.iter().map(|setting| format!(" --set {}", quoted(setting))).collect();
    println!("seed {seed} failed: {why}\n  hearken-sim run {} --seed {seed}{settings}", quoted(&args.scenario));
}
