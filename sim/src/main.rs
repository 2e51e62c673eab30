//! `hearken-sim`: what anti-entropy costs, and whether it converges, before one trusts it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hearken_sim::{reconcile, run};

/// What anti-entropy costs, measured without a network.
#[derive(Parser)]
#[command(name = "hearken-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Reconcile two sets, ours and others on the same sets in the same run, and print bytes, round trips and CPU time.
    Reconcile(reconcile::Args),
    /// Run a network of virtual nodes and see what becomes of its messages; without a scenario, a small instructive one.
    Run(run::Args),
    /// Run random scenarios, or one with many seeds, and write down those that fail, as small as they still do.
    Soak(run::soak::Args),
    /// Run a scenario with every combination of some settings, and see which to choose.
    Sweep(run::sweep::Args),
    /// Make a trace again, and compare.
    Replay(run::replay::Args),
    /// The scenarios that ship, a line each.
    List,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Reconcile(args) => reconcile::main(&args),
        Command::Run(args) => run::main(&args),
        Command::Soak(args) => run::soak::main(&args),
        Command::Sweep(args) => run::sweep::main(&args),
        Command::Replay(args) => run::replay::main(&args),
        Command::List => {
            run::list();
            Ok(ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("hearken-sim: {error}");
        ExitCode::from(2)
    })
}
