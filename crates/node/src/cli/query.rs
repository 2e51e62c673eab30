use std::path::PathBuf;
use std::process::ExitCode;

use hearken_tree::Id;
use hearken_waku::store::{Entry, MAX_PAGE, StoreQuery};
use libp2p::Multiaddr;

use super::export::time;
use super::{Failure, dash, log_to_stderr, runtime};
use crate::config::MessagesConfig;
use crate::config::text::parse;
use crate::ndjson::{Output, format_line};
use crate::network::Client;

/// `hearken query`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The node's address, such as /ip4/192.0.2.1/tcp/60000 or /dns4/example.org/tcp/8000/ws.
    #[arg(value_parser = parse::<Multiaddr>)]
    address: Multiaddr,
    /// Only messages of this pubsub topic.
    #[arg(long, value_name = "TOPIC")]
    pubsub_topic: Option<String>,
    /// Only messages of this content topic. May be repeated.
    #[arg(long = "content-topic", value_name = "TOPIC")]
    content_topics: Vec<String>,
    /// Only messages sent at or after this time: RFC 3339 ("2025-01-31T12:00:00Z", "2025-01-31"), or nanoseconds since 1970.
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<u64>,
    /// Only messages sent before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<u64>,
    /// Only the message with this hash (64 hexadecimal digits). May be repeated.
    #[arg(long = "hash", value_name = "HASH", value_parser = id)]
    hashes: Vec<Id>,
    /// Go on behind the message with this hash.
    #[arg(long, value_name = "HASH", value_parser = id)]
    cursor: Option<Id>,
    /// The newest pages first; within a page, messages ascend all the same.
    #[arg(long)]
    newest_first: bool,
    /// At most so many messages.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
    /// Print hashes only, one a line.
    #[arg(long)]
    hashes_only: bool,
    /// Where to write the messages, as lines of JSON that `hearken import` reads; `-`: standard output.
    #[arg(long, value_name = "FILE", default_value = dash().into_os_string())]
    output: PathBuf,
    /// What is logged, on standard error.
    #[arg(long, env = "HEARKEN_LOG", value_name = "FILTER", default_value = "warn")]
    log: String,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    drop(log_to_stderr(&arguments.log)?);
    let query = query(&arguments)?;
    let target = arguments.output.display().to_string();
    let unwritable = |error: std::io::Error| Failure::from(format!("{target} cannot be written: {error}"));
    let mut output = Output::create(&arguments.output).map_err(unwritable)?;
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    let mut written = 0u64;
    runtime()?.block_on(async {
        let mut client = Client::plain(&arguments.address, MessagesConfig::default().max_size).await?;
        let page = |entries: Vec<Entry>| {
            for entry in entries.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
                output.write(&line(&entry, arguments.hashes_only)?).map_err(unwritable)?;
                (left, written) = (left - 1, written + 1);
            }
            Ok::<bool, Failure>(left > 0)
        };
        client.query(query, page).await
    })?;
    output.finish().map_err(unwritable)?;
    eprintln!("{written} messages found");
    Ok(ExitCode::SUCCESS)
}

fn query(arguments: &Arguments) -> Result<StoreQuery, Failure> {
    let no_topics = arguments.pubsub_topic.is_none() && arguments.content_topics.is_empty();
    if no_topics && arguments.hashes.is_empty() && arguments.from.is_none() && arguments.to.is_none() {
        return Err(
            "expected --pubsub-topic, --content-topic, --from, --to or --hash: no node gives out everything".into()
        );
    }
    let limit = arguments.limit.and_then(|limit| usize::try_from(limit).ok());
    Ok(StoreQuery {
        include_data: !arguments.hashes_only,
        pubsub_topic: arguments.pubsub_topic.clone(),
        content_topics: arguments.content_topics.iter().cloned().collect(),
        from: arguments.from.unwrap_or(0),
        to: arguments.to.unwrap_or(u64::MAX),
        ids: (!arguments.hashes.is_empty()).then(|| arguments.hashes.iter().copied().collect()),
        cursor: arguments.cursor,
        forward: !arguments.newest_first,
        limit: limit.unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE),
    })
}

fn line(entry: &Entry, hash_only: bool) -> Result<Vec<u8>, Failure> {
    if hash_only {
        let hash: Vec<String> = entry.message_hash.iter().flatten().map(|byte| format!("{byte:02x}")).collect();
        return Ok(format!("{}\n", hash.concat()).into_bytes());
    }
    let message = entry.read().ok_or("the node sent a hash without its message, or one that is none")?;
    Ok(format_line(entry.pubsub_topic.as_deref().unwrap_or_default(), &message)?)
}

/// A message's hash, with or without 0x.
pub(super) fn id(text: &str) -> Result<Id, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok();
    let id = bytes.and_then(|bytes| bytes.try_into().ok()).map(Id);
    id.ok_or_else(|| format!("expected a hash of 64 hexadecimal digits, found {text:?}"))
}
