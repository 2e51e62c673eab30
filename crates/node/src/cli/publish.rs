use std::collections::BTreeSet;
use std::io::Read as _;
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hearken_tree::Id;
use hearken_waku::store::StoreQuery;
use hearken_waku::{ContentTopic, WakuMessage, autoshard, message_hash};
use libp2p::Multiaddr;
use prost::Message as _;
use tokio::time::{Instant, sleep};

use super::{Failure, INCOMPLETE, log_to_stderr, runtime};
use crate::clock::Clock;
use crate::config::text::parse;
use crate::config::{Config, MessagesConfig};
use crate::network::{Client, ClientError};

/// How long the node may take to store the message.
const STORED: Duration = Duration::from_secs(5);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// How long a connection is kept with a node that cannot be asked, so that the message gets through.
const UNASKED: Duration = Duration::from_secs(2);

/// `hearken publish`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The node's address, such as /ip4/192.0.2.1/tcp/60000 or /dns4/example.org/tcp/8000/ws.
    #[arg(value_parser = parse::<Multiaddr>)]
    address: Multiaddr,
    /// The payload, as text; `-`: standard input, as it is.
    payload: String,
    /// The content topic: /<application>/<version>/<name>/<encoding>.
    #[arg(long, value_name = "TOPIC")]
    content_topic: String,
    /// The pubsub topic. Without it, that of the content topic's shard (autosharding).
    #[arg(long, value_name = "TOPIC")]
    pubsub_topic: Option<String>,
    /// For autosharding: the network.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    cluster: u16,
    /// For autosharding: how many shards the network has.
    #[arg(long, value_name = "NUMBER", default_value_t = 8)]
    shards: u16,
    /// The payload is base64.
    #[arg(long)]
    base64: bool,
    /// Ask stores not to keep it.
    #[arg(long)]
    ephemeral: bool,
    /// What is logged, on standard error.
    #[arg(long, env = "HEARKEN_LOG", value_name = "FILTER", default_value = "warn")]
    log: String,
}

/// What became of the message.
enum Outcome {
    /// The node's store has it.
    Stored,
    /// The node has no store to ask.
    Sent,
    /// It has one, without the message.
    Missing,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    drop(log_to_stderr(&arguments.log)?);
    let topic = pubsub_topic(&arguments)?;
    let message = WakuMessage {
        payload: payload(&arguments)?,
        content_topic: arguments.content_topic.clone(),
        timestamp: Some(Clock::SYSTEM.now().cast_signed()),
        ephemeral: arguments.ephemeral.then_some(true),
        ..WakuMessage::default()
    };
    let (id, body) = (message_hash(&topic, &message), message.encode_to_vec());
    let max = MessagesConfig::default().max_size;
    if body.len() > max.as_usize() {
        return Err(format!("the message has {} bytes: expected at most {}", body.len(), max.0).into());
    }
    let outcome = runtime()?.block_on(publish(&arguments, &topic, id, body.into()))?;
    println!("{id}");
    match outcome {
        Outcome::Stored => eprintln!("published on {topic}; the node has stored it"),
        Outcome::Sent => eprintln!("published on {topic}; whether the node keeps it cannot be seen"),
        Outcome::Missing => {
            eprintln!("published on {topic}, but the node has not stored it: it may not keep this topic, or refuse it");
            return Ok(ExitCode::from(INCOMPLETE));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn pubsub_topic(arguments: &Arguments) -> Result<String, Failure> {
    if let Some(topic) = &arguments.pubsub_topic {
        return Ok(topic.clone());
    }
    let content_topic: ContentTopic = arguments.content_topic.parse()?;
    Ok(autoshard(&content_topic, arguments.cluster, arguments.shards)?.to_string())
}

fn payload(arguments: &Arguments) -> Result<Bytes, Failure> {
    let mut payload = arguments.payload.clone().into_bytes();
    if payload == b"-" {
        payload.clear();
        std::io::stdin().lock().take(Config::default().messages.max_size.0 * 2).read_to_end(&mut payload)?;
    }
    if arguments.base64 {
        payload = BASE64_STANDARD
            .decode(payload.trim_ascii())
            .map_err(|error| format!("expected a payload in base64: {error}"))?;
    }
    Ok(payload.into())
}

async fn publish(arguments: &Arguments, topic: &str, id: Id, body: Bytes) -> Result<Outcome, ClientError> {
    let mut client = Client::plain(&arguments.address, MessagesConfig::default().max_size).await?;
    client.publish(topic, body).await?;
    if arguments.ephemeral || !client.has_store() {
        sleep(UNASKED).await;
        return Ok(Outcome::Sent);
    }
    let deadline = Instant::now() + STORED;
    loop {
        let query = StoreQuery { include_data: false, ids: Some(BTreeSet::from([id])), ..StoreQuery::default() };
        let mut found = false;
        client
            .query(query, |page| {
                Ok::<bool, ClientError>({
                    found |= !page.is_empty();
                    false
                })
            })
            .await?;
        if found {
            return Ok(Outcome::Stored);
        }
        if Instant::now() >= deadline {
            return Ok(Outcome::Missing);
        }
        sleep(ASK_EVERY).await;
    }
}
