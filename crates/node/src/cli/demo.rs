use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::{Failure, INCOMPLETE, Signals, log_to_stderr, runtime};
use crate::config::text::parse;
use crate::demo::{self, Screen, Settings};

/// `hearken demo`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The history: lines of JSON as of Waku's REST interface, plain or compressed with zstd. Without it, 20,000 messages are
    /// made up.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Use only so many messages of the trace, or make up so many.
    #[arg(long, value_name = "NUMBER")]
    messages: Option<usize>,
    /// How many nodes.
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = nodes)]
    nodes: usize,
    /// The share of the history that each node lacks, and of live deliveries that are lost: 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = share)]
    loss: f64,
    /// Live messages a second.
    #[arg(long, value_name = "NUMBER", default_value_t = 50.0, value_parser = rate)]
    rate: f64,
    /// How many live messages.
    #[arg(long, value_name = "NUMBER", default_value_t = 500)]
    live: usize,
    /// Makes the same trace and the same losses again.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Print one JSON object on standard output, and all else on standard error.
    #[arg(long)]
    json: bool,
    /// Give up after so long.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse::<Duration>)]
    timeout: Duration,
    /// What is logged, on standard error.
    #[arg(long, env = "HEARKEN_LOG", value_name = "FILTER", default_value = "warn")]
    log: String,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    drop(log_to_stderr(&arguments.log)?);
    let settings = Settings {
        trace: arguments.trace,
        messages: arguments.messages.map(|messages| messages.max(1)),
        nodes: arguments.nodes,
        loss: arguments.loss,
        rate: arguments.rate,
        live: arguments.live,
        seed: arguments.seed,
        timeout: arguments.timeout,
    };
    let screen = Screen::new(arguments.json);
    let report = runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        // Dropped in the middle, it still removes its temporary folder.
        tokio::select! {
            report = demo::run(&settings, &screen) => report.map_err(Failure::from),
            name = signals.next() => Err(format!("{name}: the demonstration was given up").into()),
        }
    })?;
    report.print(&screen);
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
    }
    Ok(if report.converged { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) })
}

fn nodes(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|nodes| (2..=50).contains(nodes));
    number.ok_or_else(|| "expected 2 to 50 nodes: beyond that one machine measures itself".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    number.ok_or_else(|| "expected a share from 0 to 1, such as 0.05".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|rate: &f64| (0.1..=100_000.0).contains(rate));
    number.ok_or_else(|| "expected 0.1 to 100000 messages a second".to_owned())
}
