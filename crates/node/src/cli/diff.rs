use std::process::ExitCode;

use libp2p::Multiaddr;

use super::export::time;
use super::{Failure, INCOMPLETE, expect_archive, load, runtime};
use crate::config::Source;
use crate::config::text::parse;
use crate::diff::{Diff, date};
use crate::folder::DataFolder;
use crate::remote::{DiffRequest, Outcome, running};

/// `hearken diff`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The other node's address, such as /ip4/192.0.2.1/tcp/60000: any node that answers Store v3.
    #[arg(value_parser = parse::<Multiaddr>)]
    address: Multiaddr,
    /// Compare from this time on: RFC 3339, or nanoseconds since 1970. Without it, from the start of the sync window.
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<u64>,
    /// Compare up to this time. Without it, up to now.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<u64>,
    /// Show at most so many messages of each range.
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    show: usize,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let config = load(&arguments.source)?;
    expect_archive(&config)?;
    let Arguments { address, from, to, show, .. } = arguments;
    let outcome = match DataFolder::open(&config, None) {
        Ok(folder) => {
            let diff = Diff::new(folder.archive, &config, (from, to), show)?;
            let count = runtime()?.block_on(diff.with(&address, &mut |line| println!("{line}")))?;
            Outcome::Differences { count, from: diff.from, to: diff.to }
        }
        Err(error) => {
            let request = DiffRequest { peer: address.to_string(), from, to, show };
            running(&config, error)?.diff(&request, |line| println!("{line}"))?
        }
    };
    let Outcome::Differences { count, from, to } = outcome else {
        return Err("the node answered something else".into());
    };
    println!("{count} messages differ from {} to {}", date(from), date(to));
    Ok(if count == 0 { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) })
}
