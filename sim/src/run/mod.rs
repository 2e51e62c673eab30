//! `hearken-sim run`: the engines of real nodes, ten thousand of them if need be, on a virtual network.
//!
//! | module | holds |
//! | --- | --- |
//! | `sim` | the run: what happens next |
//! | `node`, `store`, `ledger` | a node, what it holds, what everyone should hold |
//! | `driver`, `transfer` | what a real driver does for its engine: actions, frames, streams |
//! | `relay` | a model of gossipsub |
//! | `hostile` | what hostile nodes do |
//! | `baseline` | what Hearken is compared with |
//! | `plan` | what chance decides beforehand |
//! | `timeline`, `traffic` | events of the scenario; who publishes |
//! | `measure`, `recovery`, `facts`, `outcome`, `verdict` | what is counted, what came of it, whether that was expected |
//! | [`soak`], [`sweep`], [`replay`] | many scenarios, many settings, the same again |
//! | `random`, `minimise`, `parallel` | scenarios from seeds, small ones that fail, several at a time |
//! | `summary`, `progress`, `trace` | for people while it runs and after; for comparison |

mod baseline;
mod driver;
mod facts;
mod hostile;
mod ledger;
mod measure;
pub mod minimise;
mod node;
mod outcome;
mod parallel;
mod plan;
mod progress;
pub mod random;
mod recovery;
mod relay;
pub mod replay;
mod sim;
pub mod soak;
mod store;
mod summary;
pub mod sweep;
mod timeline;
mod trace;
mod traffic;
mod transfer;
mod verdict;

use std::{
    error::Error,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use clap::Args as ClapArgs;

pub use facts::Lies;
pub(crate) use facts::{Facts, NodeFacts};
pub(crate) use hostile::{FORGES_EVERY, Fate, GARBAGE, forged};
pub(crate) use ledger::{EPOCH, Ledger, MessageId};
pub use measure::Quantiles;
pub(crate) use measure::{Counters, KINDS, Kind, Measure, Sample};
pub use outcome::{BesideHonest, BytesPerNode, Happened, Missing, Outcome, PerInterval, Providers, Row, Series};
pub(crate) use outcome::{bytes as show_bytes, grouped, time as show_time};
pub(crate) use plan::{Next, Plan, late, left_over, refuses};
pub(crate) use recovery::Recovery;
pub(crate) use store::Bits;
pub(crate) use summary::SIDE_BY_SIDE;
pub(crate) use transfer::{RETRANSMIT, kind as frame_kind};
pub use verdict::Check;

use crate::{
    net::SECOND,
    scenario::{Protocol, Scenario, ScenarioError, shipped},
};
use progress::Progress;
use sim::Sim;
use trace::Trace;

/// What `hearken-sim run` is told.
#[derive(ClapArgs)]
pub struct Args {
    /// A scenario file, or the name of one that ships (see `hearken-sim list`)
    ///
    /// Without it a small instructive one runs, and writes its page to hearken-report.html.
    scenario: Option<String>,
    /// Another seed
    #[arg(long)]
    seed: Option<u64>,
    /// Change a setting, as in `--set network.nodes=100 --set event.0.at=30s`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Print one JSON object with every figure
    #[arg(long)]
    json: bool,
    /// Run the same with other protocols, and put them side by side: none, full_ids, negentropy, nwaku, hearken
    #[arg(long, value_name = "PROTOCOL,...", value_delimiter = ',')]
    compare: Vec<Protocol>,
    /// Run real nodes in real time instead of virtual ones: the same scenario takes as long as it says
    #[arg(long, conflicts_with = "trace")]
    real: bool,
    /// Write everything that happens, one JSON object a line
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Write a page that opens in a browser
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// A run that could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// The engine refuses the settings.
    #[error("[sync]: {0}")]
    Config(#[from] hearken_scheduler::InvalidConfig),
    /// The engine does not take other settings.
    #[error("an event of kind `settings`: {0}")]
    Change(#[from] hearken_scheduler::InvalidChange),
    /// The engine sent what cannot be encoded: a bug in it.
    #[error("a node sent a frame that cannot be encoded: {0}")]
    Encode(#[from] hearken_wire::EncodeError),
    /// A frame could not be decoded: a bug.
    #[error("a frame could not be decoded: {0}")]
    Frame(#[from] hearken_wire::FrameError),
    /// An IHAVE could not be decoded: a bug.
    #[error("an IHAVE could not be decoded: {0}")]
    Ihave(#[from] hearken_wire::DecodeError),
    /// A frame arrived in part: a bug.
    #[error("a frame arrived in part")]
    PartOfFrame,
    /// An index in memory failed: a bug.
    #[error("an index in memory failed: {0}")]
    Index(#[from] hearken_tree::PageError),
    /// The trace could not be written.
    #[error("the trace could not be written: {0}")]
    Trace(#[from] io::Error),
}

/// Runs a scenario to its end.
///
/// The same scenario and seed give the same outcome, but for the time it takes. `trace` takes what happens, a line each.
///
/// # Errors
/// A bug in the engine or the simulator, or a trace that cannot be written.
pub fn simulate(scenario: &Scenario, trace: Option<Box<dyn Write>>, show: bool) -> Result<Outcome, SimError> {
    let mut outcome = simulate_once(scenario, trace, show)?;
    if scenario.expect.beside_honest() {
        let honest = simulate_once(&scenario.honest(), None, show)?;
        outcome.beside_honest = Some(outcome.beside(&honest));
    }
    Ok(outcome.check(&scenario.expect))
}

fn simulate_once(scenario: &Scenario, trace: Option<Box<dyn Write>>, show: bool) -> Result<Outcome, SimError> {
    let began = Instant::now();
    let mut progress = Progress::new(show);
    let mut sim = Sim::new(scenario, Trace::to(trace))?;
    while sim.run_until(sim.now + SECOND / 10)? {
        progress.show(&sim);
    }
    drop(progress);
    sim.close_engines();
    let hash = std::mem::take(&mut sim.trace).finish()?;
    Ok(Outcome::of(&Facts::of(&sim), began.elapsed().as_secs_f64(), hash))
}

/// `hearken-sim run`: fails if something expected did not come true.
///
/// # Errors
/// A scenario that cannot be run, a file that cannot be written, or a bug.
pub fn main(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let mut scenario = Scenario::load(args.scenario(), &args.settings)?;
    scenario.seed = args.seed.unwrap_or(scenario.seed);
    let others = args.others(&scenario)?;
    let trace = args.trace.as_ref().map(|path| replay::open(path, &scenario));
    let mut outcome = if args.real {
        crate::real::run(&scenario, !args.json)?
    } else {
        simulate(&scenario, trace.transpose()?, !args.json)?
    };
    let others = parallel::parallel(parallel::cores(), &others, |other| simulate(other, None, false));
    outcome.against = others.into_iter().collect::<Result<_, _>>()?;
    let report = args.report();
    if let Some(path) = &report {
        let page = crate::report::page(&scenario, &outcome, &args.replay());
        std::fs::write(path, page).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    if args.json {
        println!("{}", serde_json::to_string(&outcome)?);
    } else {
        println!("{}\n{}\n", scenario.title, scenario.description);
        print!("{}", outcome.summary());
        println!("\n  again: {}", args.replay());
        if let Some(path) = &report {
            println!("  report: {}", path.display());
        }
    }
    Ok(if outcome.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `hearken-sim list`.
pub fn list() {
    for shipped in shipped::ALL {
        // All of them are read by a test.
        if let Ok(scenario) = Scenario::parse(shipped.name, shipped.text, &[]) {
            println!("{:<20} {}", shipped.name, scenario.title);
        }
    }
}

impl Args {
    fn scenario(&self) -> &str {
        self.scenario.as_deref().unwrap_or("default")
    }

    /// What the scenario is compared with.
    fn others(&self, scenario: &Scenario) -> Result<Vec<Scenario>, ScenarioError> {
        let mut others: Vec<Protocol> = Vec::new();
        for protocol in &self.compare {
            // The same on virtual nodes is something else than on real ones.
            let itself = *protocol == scenario.protocol && !self.real;
            if !itself && !others.contains(protocol) {
                others.push(*protocol);
            }
        }
        others.into_iter().map(|protocol| scenario.with_protocol(protocol)).collect()
    }

    /// Who runs it without any argument wants to see something.
    fn report(&self) -> Option<PathBuf> {
        let shown = (self.scenario.is_none() && !self.json).then(|| PathBuf::from("hearken-report.html"));
        self.report.clone().or(shown)
    }

    /// The command that gives the same run again.
    fn replay(&self) -> String {
        let mut command = format!("hearken-sim run {}", quoted(self.scenario()));
        if let Some(seed) = self.seed {
            command += &format!(" --seed {seed}");
        }
        if self.real {
            command += " --real";
        }
        if !self.compare.is_empty() {
            let names: Vec<&str> = self.compare.iter().map(|protocol| protocol.name()).collect();
            command += &format!(" --compare {}", names.join(","));
        }
        for setting in &self.settings {
            command += &format!(" --set {}", quoted(setting));
        }
        command
    }
}

/// Rows of a table, the first of them its head, as a terminal shows them.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let most = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..most).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::from("  ");
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let room = " ".repeat(width - cell.chars().count());
            line += &if column == 0 { format!("{cell}{room}") } else { format!("  {room}{cell}") };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// As a shell takes it.
fn quoted(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=,:%@".contains(c));
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
