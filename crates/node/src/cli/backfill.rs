use std::process::ExitCode;

use libp2p::Multiaddr;

use super::export::time;
use super::{Failure, INCOMPLETE, load, runtime};
use crate::backfill::{Backfill, Fetched};
use crate::config::Source;
use crate::config::text::parse;
use crate::diff::date;
use crate::folder::DataFolder;
use crate::remote::{BackfillRequest, Outcome, running};

/// `hearken backfill`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The history from this time on: RFC 3339 ("2025-01-31T12:00:00Z", "2025-01-31"), or nanoseconds since 1970.
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: u64,
    /// Up to this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: u64,
    /// The node to fetch it from. Without it, the peers of the settings, the first that has it.
    #[arg(long = "peer", value_name = "ADDRESS", value_parser = parse::<Multiaddr>)]
    peer: Option<Multiaddr>,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let config = load(&arguments.source)?;
    let peers: Vec<Multiaddr> = arguments.peer.map_or_else(|| config.peers.clone(), |peer| vec![peer]);
    if peers.is_empty() {
        return Err("no node to fetch from: give --peer, or set peers".into());
    }
    let backfill = |archive| Backfill::new(archive, &config, (arguments.from, arguments.to));
    let outcome = match DataFolder::open(&config, None) {
        Ok(folder) => Outcome::Fetched(runtime()?.block_on(backfill(folder.archive)?.fetch(&peers, report))?),
        Err(error) => {
            let peers = peers.iter().map(Multiaddr::to_string).collect();
            let request = BackfillRequest { from: arguments.from, to: arguments.to, peers };
            running(&config, error)?.backfill(&request, |line| eprintln!("{line}"))?
        }
    };
    let Outcome::Fetched(fetched) = outcome else { return Err("the node answered something else".into()) };
    Ok(summarise(&fetched))
}

/// One of several nodes could not be asked.
fn report(line: String) {
    eprintln!("{line}");
}

fn summarise(fetched: &Fetched) -> ExitCode {
    let Fetched { by_sync, by_store, refused, unasked } = fetched;
    eprintln!("{} messages stored: {by_sync} by sync, {by_store} by Store v3; {refused} refused", by_sync + by_store);
    let Some((from, to)) = unasked else { return ExitCode::SUCCESS };
    let [from, to] = [from, to].map(|time| date(*time));
    eprintln!(
        "{from} to {to} could not be asked for: the node keeps that neither equal nor in a store; ask another node"
    );
    ExitCode::from(INCOMPLETE)
}
