use std::io::Write;
use std::process::ExitCode;

use super::Failure;
use crate::config::{Source, print};

/// `hearken config`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let text = print(&arguments.source.load()?)?;
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
