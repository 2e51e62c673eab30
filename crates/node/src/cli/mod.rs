//! The command line.

mod backfill;
mod check;
mod config;
mod demo;
mod diff;
mod export;
mod import;
mod publish;
mod query;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::config::{Config, SetLog, Source};
use crate::folder::{ARCHIVE_FILE, DataFolder};

/// Exit code of a command that did what it could, but not all is well: bad lines in an import, a demo that did not converge,
/// an archive that had to be repaired.
const INCOMPLETE: u8 = 3;

/// A Waku store node that keeps its messages equal with its neighbours'.
///
/// Exit codes: 0 all is well; 1 an error; 2 a wrong command line; 3 done, but not all is well (import: some lines were bad;
/// demo: the nodes did not become equal; check: something was wrong and has been repaired; publish: the node did not
/// store it; backfill: part of the time could not be asked for; diff: there are differences).
#[derive(Debug, Parser)]
#[command(name = "hearken", version, propagate_version = true, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node: relay, store, and repair in the background.
    Run(run::Arguments),
    /// Watch real nodes with holes in their stores become equal.
    Demo(demo::Arguments),
    /// Put messages of a file into a data folder whose node is not running.
    Import(import::Arguments),
    /// Write the messages of a data folder whose node is not running.
    Export(export::Arguments),
    /// Check a data folder whose node is not running, and repair what is wrong with its index.
    Check(check::Arguments),
    /// Ask any store node for messages (Store v3).
    Query(query::Arguments),
    /// Publish a message through any relay node.
    Publish(publish::Arguments),
    /// Fetch older history into a data folder from any node; the folder's own node may be running, or not.
    Backfill(backfill::Arguments),
    /// Show which messages a data folder and another node do not have in common, and why; the folder's own may be running, or not.
    Diff(diff::Arguments),
    /// Print the effective settings as a configuration file; without flags, the defaults.
    Config(config::Arguments),
}

/// What a command reports when it fails: a sentence for the user.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs the program; returns its exit code.
pub fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(arguments) => run::run(arguments),
        Command::Demo(arguments) => demo::run(arguments),
        Command::Import(arguments) => import::run(arguments),
        Command::Export(arguments) => export::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Query(arguments) => query::run(arguments),
        Command::Publish(arguments) => publish::run(arguments),
        Command::Backfill(arguments) => backfill::run(arguments),
        Command::Diff(arguments) => diff::run(arguments),
        Command::Config(arguments) => config::run(arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("hearken: {error}");
        ExitCode::FAILURE
    })
}

/// Log lines go to standard error: standard output is for data.
/// The function that comes back changes which ones.
fn log_to_stderr(filter: &str) -> Result<SetLog, Failure> {
    let filter = EnvFilter::try_new(filter)?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false)
        .with_filter_reloading();
    let handle = subscriber.reload_handle();
    subscriber.init();
    Ok(Box::new(move |filter| {
        let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
        handle.reload(filter).map_err(|error| error.to_string())
    }))
}

/// The settings of a command that opens a data folder.
fn load(source: &Source) -> Result<Config, Failure> {
    let config = source.load()?;
    drop(log_to_stderr(&config.log)?);
    Ok(config)
}

/// Opens a data folder that has to be there already.
fn open_existing(source: &Source) -> Result<DataFolder, Failure> {
    open_folder(&load(source)?)
}

/// The same with settings that were read already.
fn open_folder(config: &Config) -> Result<DataFolder, Failure> {
    expect_archive(config)?;
    Ok(DataFolder::open(config, None)?)
}

/// Fails if the data folder has none.
fn expect_archive(config: &Config) -> Result<(), Failure> {
    let path = config.data_dir.join(ARCHIVE_FILE);
    if path.exists() {
        return Ok(());
    }
    Err(format!("there is no archive at {}: expected a node's data folder (setting data_dir)", path.display()).into())
}

/// A runtime with as many threads as there are cores.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the threads of the program cannot be started: {error}").into())
}

/// Ctrl-C and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From here on they do not end the program by themselves.
    fn new() -> std::io::Result<Signals> {
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for one; returns its name.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// A file argument: `-` is standard input or output.
fn dash() -> PathBuf {
    PathBuf::from("-")
}
