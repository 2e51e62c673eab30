use std::path::PathBuf;
use std::process::ExitCode;

use super::{Failure, dash, open_existing};
use crate::config::Source;
use crate::export::{Selection, export};
use crate::ndjson::Output;

/// `hearken export`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where to; compressed with zstd if the name ends in `.zst`; `-`: standard output.
    #[arg(default_value = dash().into_os_string())]
    file: PathBuf,
    /// Only messages sent at or after this time: RFC 3339 ("2025-01-31T12:00:00Z", "2025-01-31"), or nanoseconds since 1970.
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<u64>,
    /// Only messages sent before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<u64>,
    /// Only messages of this pubsub topic or content topic. May be repeated.
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let folder = open_existing(&arguments.source)?;
    let target = arguments.file.display().to_string();
    let unwritable = |error| format!("{target} cannot be written: {error}");
    let mut output = Output::create(&arguments.file).map_err(unwritable)?;
    let selection = Selection { from: arguments.from, to: arguments.to, topics: arguments.topics };
    let written = export(&*folder.archive, &selection, &mut output)?;
    output.finish().map_err(unwritable)?;
    eprintln!("{written} messages written");
    Ok(ExitCode::SUCCESS)
}

/// A time as nanoseconds since the Unix epoch.
pub(super) fn time(text: &str) -> Result<u64, String> {
    if let Ok(nanos) = text.parse() {
        return Ok(nanos);
    }
    let day_only = format!("{text}T00:00:00Z");
    let time = humantime::parse_rfc3339_weak(text).or_else(|_| humantime::parse_rfc3339_weak(&day_only));
    let since = time.ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    since.and_then(|since| u64::try_from(since.as_nanos()).ok()).ok_or_else(|| {
        format!(
            "expected a time such as \"2025-01-31T12:00:00Z\", \"2025-01-31\" or nanoseconds since 1970, found {text:?}"
        )
    })
}
