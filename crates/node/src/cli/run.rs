use std::process::ExitCode;
use std::sync::Arc;

use hearken_archive::Validator;

use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, Signals, log_to_stderr, runtime};
use crate::api::{Api, Listening};
use crate::clock::Clock;
use crate::config::{Changed, Config, Settings, Source};
use crate::faults::{Faults, RefuseSome};
use crate::folder::{DataFolder, counts};
use crate::metrics;
use crate::node::{Node, NodeOptions};

/// `hearken run`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    testing: Testing,
}

/// For tests of whole systems; hidden from the help.
#[derive(Debug, clap::Args)]
struct Testing {
    /// For testing: the validator refuses this share of all messages (0 to 1), always the same ones.
    #[arg(long, hide = true, value_name = "SHARE", default_value_t = 0.0)]
    test_refuse: f64,
    /// For testing: this share of live deliveries is lost before the node sees it (0 to 1).
    #[arg(long, hide = true, value_name = "SHARE", default_value_t = 0.0)]
    test_drop_live: f64,
    /// For testing: makes nodes lose different messages.
    #[arg(long, hide = true, value_name = "NUMBER", default_value_t = 0)]
    test_seed: u64,
    /// For testing: the node's clock shows this time at its start (RFC 3339).
    #[arg(long, hide = true, value_name = "TIME", value_parser = super::export::time)]
    test_clock: Option<u64>,
    /// For testing: the node's clock jumps by as many seconds as this file says.
    #[arg(long, hide = true, value_name = "FILE")]
    test_clock_file: Option<std::path::PathBuf>,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let config = arguments.source.load()?;
    let set_log = log_to_stderr(&config.log)?;
    let settings = Arc::new(Settings::new(arguments.source, config, set_log));
    let testing = arguments.testing;
    let validator =
        (testing.test_refuse > 0.0).then(|| Arc::new(RefuseSome(testing.test_refuse)) as Arc<dyn Validator>);
    let clock = testing.test_clock.map_or(Clock::SYSTEM, Clock::showing);
    let options = NodeOptions {
        clock: match testing.test_clock_file {
            Some(file) => clock.jumping(file),
            None => clock,
        },
        faults: Faults { drop_live: testing.test_drop_live, seed: testing.test_seed },
        // First of all: what is counted before is lost.
        metrics: Some(metrics::install()),
    };
    runtime()?.block_on(serve(settings, validator, options))
}

async fn serve(
    settings: Arc<Settings>,
    validator: Option<Arc<dyn Validator>>,
    options: NodeOptions,
) -> Result<ExitCode, Failure> {
    let config = settings.current();
    let (mut signals, mut hangups) = (Signals::new()?, signal(SignalKind::hangup())?);
    let folder = DataFolder::open(&config, validator)?;
    let listening = Listening::bind(&config)?;
    let node = Node::start(folder, &config, options).await?;
    let api = match listening {
        Some(listening) => Some(Api::start(listening, node.handle(), metrics::install(), settings.clone())?),
        None => None,
    };
    announce(&config, &node, api.as_ref())?;
    let name = loop {
        tokio::select! {
            name = signals.next() => break name,
            _ = hangups.recv() => reload(&settings, &node),
        }
    };
    tracing::info!("{name}: stopping");
    let stop = async {
        if let Some(api) = api {
            api.stop().await;
        }
        node.stop().await;
    };
    tokio::select! {
        () = stop => {
            tracing::info!("stopped");
            Ok(ExitCode::SUCCESS)
        }
        name = signals.next() => Err(format!("{name} again: stopped at once; what was stored is safe").into()),
    }
}

/// Reads the settings again. What cannot be used, or not now, is said and changes nothing.
fn reload(settings: &Settings, node: &Node) {
    match settings.reload(node.sync()) {
        Ok(Changed { changed, restart }) => {
            let names = if changed.is_empty() { "none".to_owned() } else { changed.join(", ") };
            tracing::info!("SIGHUP: settings changed: {names}");
            if !restart.is_empty() {
                tracing::warn!("SIGHUP: these settings take a restart to change: {}", restart.join(", "));
            }
        }
        Err(error) => tracing::error!("SIGHUP: the settings stay as they were: {error}"),
    }
}

fn announce(config: &Config, node: &Node, api: Option<&Api>) -> Result<(), Failure> {
    tracing::info!("hearken {} as {}", env!("CARGO_PKG_VERSION"), node.peer_id());
    for address in node.listening() {
        tracing::info!("listening on {address}/p2p/{}", node.peer_id());
    }
    if let Some(api) = api {
        tracing::info!("status page and HTTP interface at http://{}/", api.address());
    }
    tracing::info!("data folder {}", config.data_dir.display());
    for (topic, messages) in counts(&**node.archive())? {
        tracing::info!("keeping {topic}: {messages} messages");
    }
    Ok(())
}
