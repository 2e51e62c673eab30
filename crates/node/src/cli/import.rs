use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use super::{Failure, INCOMPLETE, dash, load};
use crate::clock::Clock;
use crate::config::Source;
use crate::folder::DataFolder;
use crate::import::{Import, Imported};
use crate::ndjson::Input;

/// Bad lines that are shown one by one.
const SHOWN: u64 = 20;

/// `hearken import`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Lines of JSON as of Waku's REST interface, plain or compressed with zstd; `-`: standard input.
    #[arg(default_value = dash().into_os_string())]
    file: PathBuf,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let config = load(&arguments.source)?;
    let mut input = Input::open(&arguments.file)?;
    let folder = DataFolder::open(&config, None)?;
    let start = Instant::now();
    let mut shown = 0;
    let report = |line: u64, reason: String| {
        shown += 1;
        if shown <= SHOWN {
            eprintln!("line {line}: {reason}");
        } else if shown == SHOWN + 1 {
            eprintln!("further bad lines are only counted");
        }
    };
    let mut import = Import::new(&*folder.archive, Clock::SYSTEM, report);
    let end = import.all(&mut input);
    let imported = import.finish();
    summarise(&imported, start.elapsed().as_secs_f64());
    end?;
    // So that the node that starts next need not.
    folder.archive.index_topics()?;
    Ok(if imported.bad == 0 { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) })
}

fn summarise(imported: &Imported, seconds: f64) {
    let Imported { stored, held, bad, too_old } = imported;
    eprintln!("{stored} messages stored, {held} were there already, {bad} lines were bad; {seconds:.1} s");
    if *too_old > 0 {
        eprintln!(
            "{too_old} of the bad ones are older than what is kept (setting archive.retention): to keep them, raise it, for \
             example with --archive-retention unlimited, here and where the node runs"
        );
    }
}
