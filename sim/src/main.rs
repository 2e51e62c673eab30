//! `hearken-sim`: what anti-entropy costs, and whether it converges, before one trusts it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hearken_sim::reconcile;

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
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Reconcile(args) => reconcile::main(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("hearken-sim: {error}");
        ExitCode::from(2)
    })
}
