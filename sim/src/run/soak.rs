//! `hearken-sim soak`: random scenarios, or one with many seeds. Whatever fails is named with the command that runs it again, and
//! written down as small as it still fails.

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::Args as ClapArgs;

use super::{Outcome, SimError, minimise::minimise, parallel, quoted, random::random, simulate};
use crate::scenario::Scenario;

/// What `hearken-sim soak` is told.
#[derive(ClapArgs)]
pub struct Args {
    /// A scenario file, or the name of one that ships, to be run with many seeds
    ///
    /// Without it, each seed makes up a scenario of its own.
    scenario: Option<String>,
    /// How many seeds
    #[arg(long, default_value_t = 50)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Runs at a time
    #[arg(long, default_value_t = parallel::cores())]
    threads: usize,
    /// Change a setting, as in `--set network.nodes=100`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Where scenarios that failed are written
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    out: PathBuf,
}

/// Runs every seed; fails if any did.
///
/// # Errors
/// A scenario that cannot be run, a file that cannot be written, or a bug.
pub fn main(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let scenarios = (0..args.seeds).map(|at| args.scenario_of(args.first.saturating_add(at)));
    let scenarios = scenarios.collect::<Result<Vec<_>, _>>()?;
    let failed = parallel::parallel(args.threads, &scenarios, |scenario| {
        let outcome = simulate(scenario, None, false);
        passed(&outcome).then_some(()).ok_or_else(|| report(args, scenario, &outcome))
    });
    let failed: Vec<_> = failed.into_iter().filter_map(Result::err).collect();
    let all = failed.is_empty();
    let what = args.scenario.as_deref().map_or("random scenarios".to_owned(), |name| format!("seeds of `{name}`"));
    println!("{} of {} {what} passed", args.seeds - failed.len() as u64, args.seeds);
    failed.into_iter().collect::<Result<(), String>>()?;
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn passed(outcome: &Result<Outcome, SimError>) -> bool {
    outcome.as_ref().is_ok_and(|outcome| outcome.passed)
}

impl Args {
    fn scenario_of(&self, seed: u64) -> Result<Scenario, Box<dyn Error>> {
        let Some(name) = &self.scenario else {
            let text = toml::to_string(&random(seed))?;
            return Ok(Scenario::parse(&format!("random scenario {seed}"), &text, &self.settings)?);
        };
        let mut scenario = Scenario::load(name, &self.settings)?;
        scenario.seed = seed;
        Ok(scenario)
    }
}

/// Says what failed, and writes down the least that still does.
fn report(args: &Args, scenario: &Scenario, outcome: &Result<Outcome, SimError>) -> Result<(), String> {
    let why = match outcome {
        Ok(outcome) => {
            let failed = outcome.checks.iter().filter(|check| !check.ok);
            let failed = failed.map(|check| format!("{} {} (expected {})", check.name, check.found, check.expected));
            failed.collect::<Vec<_>>().join(", ")
        }
        Err(error) => error.to_string(),
    };
    println!("seed {} failed: {why}", scenario.seed);
    let least = minimise(scenario, |candidate| !passed(&simulate(candidate, None, false)));
    let path = args.out.join(format!("soak-{}.toml", scenario.seed));
    let text = toml::to_string(&least).map_err(|error| error.to_string())?;
    std::fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    println!("  hearken-sim run {}", quoted(&path.display().to_string()));
    Ok(())
}
