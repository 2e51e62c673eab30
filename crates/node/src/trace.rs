//! Traces: messages of the past, read from a file or made up.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use hearken_archive::MessageFormat;
use hearken_tree::Key;
use hearken_waku::{WakuFormat, WakuMessage};
use prost::Message;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::ndjson::{Input, InputError, TopicMessage};

/// A message of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceMessage {
    /// Its place in the order of all messages.
    pub key: Key,
    /// The message as protobuf.
    pub body: Bytes,
}

/// Distinct messages on one pubsub topic, in the order of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The pubsub topic of all of them.
    pub pubsub_topic: String,
    /// The messages.
    pub messages: Vec<TraceMessage>,
}

/// A trace could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The file cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// No line of it is a message.
    #[error("the trace {0} holds no message")]
    Empty(String),
}

impl Trace {
    /// Reads at most `limit` messages of a file. Lines that are no messages, or are on another pubsub topic than the first
    /// one, are left out; `report` hears of each.
    pub fn read(path: &Path, limit: usize, mut report: impl FnMut(String)) -> Result<Trace, TraceError> {
        let mut input = Input::open(path)?;
        let mut trace = Trace { pubsub_topic: String::new(), messages: Vec::new() };
        while trace.messages.len() < limit
            && let Some(line) = input.next_message()?
        {
            let added = line.map_err(|error| error.to_string()).and_then(|message| {
                trace.add(message).map_err(|reason| format!("line {}: {reason}", input.lines_read()))
            });
            if let Err(reason) = added {
                report(reason);
            }
        }
        if trace.messages.is_empty() {
            return Err(TraceError::Empty(path.display().to_string()));
        }
        trace.sort();
        Ok(trace)
    }

    fn add(&mut self, message: TopicMessage) -> Result<(), String> {
        let header = WakuFormat.header(&message.pubsub_topic, &message.body).map_err(|error| error.reason)?;
        if header.ephemeral {
            return Err("ephemeral: nodes do not store it".to_owned());
        }
        if self.messages.is_empty() {
            self.pubsub_topic = message.pubsub_topic;
        } else if self.pubsub_topic != message.pubsub_topic {
            let (expected, found) = (&self.pubsub_topic, message.pubsub_topic);
            return Err(format!("expected all messages on the first one's pubsub topic {expected}, found {found}"));
        }
        self.messages.push(TraceMessage { key: header.key(), body: message.body });
        Ok(())
    }

    /// The same message may have been written twice.
    fn sort(&mut self) {
        self.messages.sort_unstable_by_key(|message| message.key);
        self.messages.dedup_by_key(|message| message.key);
    }

    /// The oldest and the newest timestamp, in nanoseconds since the Unix epoch.
    pub fn bounds(&self) -> (u64, u64) {
        let timestamp = |message: Option<&TraceMessage>| message.map_or(0, |message| message.key.timestamp());
        (timestamp(self.messages.first()), timestamp(self.messages.last()))
    }

    /// Makes a trace of `count` messages up in the shape of real chats: conversations come in bursts, evenings are busier
    /// than nights, one channel has half of the traffic, timestamps have a resolution of a second and so are often shared.
    /// The same seed makes the same trace.
    pub fn generate(count: usize, seed: u64) -> Trace {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let pubsub_topic = "/waku/2/rs/66/0".to_owned();
        let mut messages = BTreeMap::new();
        let mut second = GENERATED_START;
        while messages.len() < count {
            second += pause(&mut rng, second);
            let channel = channel(&mut rng);
            let mut talk = second;
            for _ in 0..=geometric(&mut rng, 12) {
                talk += geometric(&mut rng, 2);
                let message = encode(&pubsub_topic, channel, talk * 1_000_000_000, text(&mut rng));
                messages.insert(message.key, message);
            }
        }
        Trace { pubsub_topic, messages: messages.into_values().take(count).collect() }
    }

    /// A message as the trace's own users might send it now.
    pub fn live_message(&self, rng: &mut impl Rng, timestamp: u64) -> TraceMessage {
        encode(&self.pubsub_topic, channel(rng), timestamp, text(rng))
    }
}

/// 2025-01-01 00:00:00 UTC, in seconds.
const GENERATED_START: u64 = 1_735_689_600;

/// With their shares of the traffic in percent.
const CHANNELS: [(&str, u32); 6] =
    [("lobby", 56), ("help", 16), ("design", 12), ("releases", 9), ("events", 5), ("meta", 2)];

const WORDS: [&str; 32] = [
    "the", "a", "store", "node", "message", "is", "it", "late", "again", "who", "has", "seen", "this", "one", "no",
    "yes", "please", "try", "now", "works", "here", "not", "yet", "maybe", "tomorrow", "thanks", "see", "you", "why",
    "does", "topic", "window",
];

/// Seconds until the next conversation: 30 on average by day, four times that at night.
fn pause(rng: &mut impl Rng, second: u64) -> u64 {
    let hour = (second / 3600) % 24;
    geometric(rng, if hour < 8 { 120 } else { 30 })
}

fn channel(rng: &mut impl Rng) -> &'static str {
    let mut left = rng.random_range(0..100);
    for (name, share) in CHANNELS {
        if left < share {
            return name;
        }
        left -= share;
    }
    CHANNELS[0].0
}

/// Somebody's few words, as real traces have them: author, tab, text.
fn text(rng: &mut impl Rng) -> String {
    let author: u32 = rng.random_range(0..2_000);
    let words: Vec<&str> = (0..=geometric(rng, 9)).map(|_| WORDS[rng.random_range(0..WORDS.len())]).collect();
    format!("u{author}\t{}", words.join(" "))
}

/// How often a coin falls on the same side that does so `mean` times on average: what waiting times look like, in whole
/// numbers, so that a seed gives the same trace on every machine.
fn geometric(rng: &mut impl Rng, mean: u32) -> u64 {
    let mut count = 0;
    while rng.random_ratio(mean, mean + 1) {
        count += 1;
    }
    count
}

fn encode(pubsub_topic: &str, channel: &str, timestamp: u64, text: String) -> TraceMessage {
    let message = WakuMessage {
        payload: text.into(),
        content_topic: format!("/chat/1/{channel}/proto"),
        timestamp: i64::try_from(timestamp).ok(),
        ..WakuMessage::default()
    };
    let key = Key::new(timestamp, hearken_waku::message_hash(pubsub_topic, &message));
    TraceMessage { key, body: message.encode_to_vec().into() }
}
