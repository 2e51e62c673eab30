//! `hearken-sim replay`: a trace holds its scenario, so that it can be made again and compared, byte for byte.

use std::{
    error::Error,
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use clap::Args as ClapArgs;
use serde::{Deserialize, Serialize};

use super::simulate;
use crate::scenario::Scenario;

/// What `hearken-sim replay` is told.
#[derive(ClapArgs)]
pub struct Args {
    /// A file that `hearken-sim run --trace` wrote
    trace: PathBuf,
}

/// The first line of a trace.
#[derive(Serialize, Deserialize)]
struct Head {
    /// Version of the program that wrote it.
    version: String,
    /// The scenario with every default, as TOML.
    scenario: String,
}

/// A file for a run's trace, its first line written.
pub(super) fn open(path: &Path, scenario: &Scenario) -> Result<Box<dyn Write>, Box<dyn Error>> {
    let file = File::create(path).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    let mut file = BufWriter::new(file);
    let head = Head { version: env!("CARGO_PKG_VERSION").to_owned(), scenario: toml::to_string(scenario)? };
    writeln!(file, "{}", serde_json::to_string(&head)?)?;
    Ok(Box::new(file))
}

/// Runs a trace's scenario again; fails if anything happens otherwise than it says.
///
/// # Errors
/// A file that cannot be read or is no trace, or a bug.
pub fn main(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let name = args.trace.display();
    let file = File::open(&args.trace).map_err(|error| format!("cannot read the trace {name}: {error}"))?;
    let mut lines = BufReader::new(file);
    let mut first = String::new();
    lines.read_line(&mut first)?;
    let head: Head = serde_json::from_str(&first).map_err(|error| {
        format!("{name} line 1: expected the scenario, as `hearken-sim run --trace` writes it, found no such: {error}")
    })?;
    let scenario = Scenario::parse(&format!("{name} line 1"), &head.scenario, &[])?;
    let state = Arc::new(Mutex::new(Comparison { expected: Box::new(lines), line: 2, bytes: 0, differs: None }));
    let outcome = simulate(&scenario, Some(Box::new(Comparing(state.clone()))), true)?;
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    state.end()?;
    match &state.differs {
        None => {
            println!("the same again, to the byte: {} bytes, trace {}", state.bytes, outcome.trace_hash);
            Ok(ExitCode::SUCCESS)
        }
        Some(line) => {
            println!(
                "{name} line {line}: from here on something else happened. It was written by hearken-sim {}.",
                head.version
            );
            Ok(ExitCode::FAILURE)
        }
    }
}

/// What is left of the file, and whether it has been as expected so far.
struct Comparison {
    expected: Box<dyn Read + Send>,
    line: u64,
    bytes: u64,
    /// The first line that was otherwise.
    differs: Option<u64>,
}

impl Comparison {
    fn compare(&mut self, found: &[u8]) -> io::Result<()> {
        if self.differs.is_some() {
            return Ok(());
        }
        let mut expected = vec![0; found.len()];
        let mut filled = 0;
        while filled < expected.len() {
            let many = self.expected.read(&mut expected[filled..])?;
            if many == 0 {
                break;
            }
            filled += many;
        }
        let same = found.iter().zip(&expected[..filled]).take_while(|(a, b)| a == b).count();
        let lines = found[..same].iter().filter(|byte| **byte == b'\n').count() as u64;
        self.line += lines;
        self.bytes += same as u64;
        if same < found.len() {
            self.differs = Some(self.line);
        }
        Ok(())
    }

    /// The run is over: so must be the file.
    fn end(&mut self) -> io::Result<()> {
        if self.differs.is_none() && self.expected.read(&mut [0])? > 0 {
            self.differs = Some(self.line);
        }
        Ok(())
    }
}

struct Comparing(Arc<Mutex<Comparison>>);

impl Write for Comparing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).compare(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
