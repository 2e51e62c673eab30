use std::process::ExitCode;

use libp2p::Multiaddr;

use super::export::time;
use super::{Failure, INCOMPLETE, load, runtime};
use crate::backfill::{Backfill, Fetched};
use crate::clock::Clock;
use crate::config::text::{Text as _, parse};
use crate::config::{Config, Source};
use crate::folder::DataFolder;

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
    let now = || Clock::SYSTEM.now();
    if arguments.to <= arguments.from || arguments.to > now() {
        return Err("expected --from to be before --to, and --to not to lie in the future".into());
    }
    let peers: Vec<Multiaddr> = arguments.peer.map_or_else(|| config.peers.clone(), |peer| vec![peer]);
    if peers.is_empty() {
        return Err("no node to fetch from: give --peer, or set peers".into());
    }
    let folder = DataFolder::open(&config, None)?;
    check_retention(&config, arguments.from, now())?;
    let backfill = Backfill {
        archive: folder.archive,
        from: arguments.from,
        to: arguments.to,
        sync: config.sync.clone(),
        limits: config.resources.clone(),
        max_size: config.messages.max_size,
        now,
    };
    let fetched = runtime()?.block_on(fetch(&backfill, &peers));
    Ok(summarise(&fetched?))
}

/// What would be dropped at once is not fetched.
fn check_retention(config: &Config, from: u64, now: u64) -> Result<(), Failure> {
    let Some(retention) = config.archive.retention.at_most() else { return Ok(()) };
    if u128::from(now - from) <= retention.as_nanos() {
        return Ok(());
    }
    let found = retention.format();
    let reason = format!(
        "--from lies further back than messages are kept (archive.retention is {found}): raise it, here and where the node \
         runs, for example with --archive-retention unlimited"
    );
    Err(reason.into())
}

/// From the first node that can be asked.
async fn fetch(backfill: &Backfill, peers: &[Multiaddr]) -> Result<Fetched, Failure> {
    let mut failure: Option<Failure> = None;
    for peer in peers {
        match Box::pin(backfill.from(peer)).await {
            Ok(fetched) => return Ok(fetched),
            Err(error) => {
                let error: Failure = error.into();
                if peers.len() > 1 {
                    eprintln!("{peer}: {error}");
                }
                failure = Some(error);
            }
        }
    }
    Err(failure.unwrap_or_else(|| "no node to fetch from".into()))
}

fn summarise(fetched: &Fetched) -> ExitCode {
    let Fetched { by_sync, by_store, refused, unasked } = fetched;
    eprintln!("{} messages stored: {by_sync} by sync, {by_store} by Store v3; {refused} refused", by_sync + by_store);
    let Some((from, to)) = unasked else { return ExitCode::SUCCESS };
    let [from, to] = [from, to].map(|time| super::diff::date(*time));
    eprintln!(
        "{from} to {to} could not be asked for: the node keeps that neither equal nor in a store; ask another node"
    );
    ExitCode::from(INCOMPLETE)
}
