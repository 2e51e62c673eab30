use std::collections::BTreeSet;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::hearken;

/// The pubsub topic of every message here: the program's default group.
pub const TOPIC: &str = "/waku/2/rs/66/0";

/// Messages in the order in which they were sent, in the program's interchange form: one JSON object a line.
#[derive(Clone, Debug)]
pub struct Trace(Vec<Value>);

impl Trace {
    /// Makes `count` messages of some hundred bytes, sent between 50 and 10 minutes ago.
    pub fn generate(seed: u64, count: usize) -> Trace {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
        let (minute, span) = (60_000_000_000, 40 * 60_000_000_000);
        let start = u64::try_from(now).expect("before 2554") - 50 * minute;
        let message = |index: usize| {
            let mut payload = vec![0; random.random_range(50..500)];
            random.fill(payload.as_mut_slice());
            json!({
                "pubsubTopic": TOPIC,
                "contentTopic": format!("/hearken/1/room-{}/proto", random.random_range(0..5)),
                "payload": BASE64_STANDARD.encode(payload),
                "timestamp": start + span / count as u64 * index as u64,
            })
        };
        Trace((0..count).map(message).collect())
    }

    /// The same, all of them with this content topic.
    pub fn in_one_room(seed: u64, count: usize, content_topic: &str) -> Trace {
        let mut trace = Trace::generate(seed, count);
        trace.0.iter_mut().for_each(|message| message["contentTopic"] = content_topic.into());
        trace
    }

    /// Those of the messages whose place `keep` likes.
    pub fn pick(&self, keep: impl FnMut(usize) -> bool) -> Trace {
        let mut keep = keep;
        Trace(self.0.iter().enumerate().filter(|(index, _)| keep(*index)).map(|(_, line)| line.clone()).collect())
    }

    /// How many messages.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// As a file for `hearken import`.
    pub fn text(&self) -> String {
        self.0.iter().map(|line| format!("{line}\n")).collect()
    }

    /// As a set.
    pub fn messages(&self) -> Messages {
        self.0.iter().map(canonical).collect()
    }
}

/// A set of messages, to compare.
pub type Messages = BTreeSet<String>;

/// Stores the trace in the archive of a node that is not running, and expects that each message is admitted.
#[track_caller]
pub fn import(data: &Path, trace: &Trace) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(&file, trace.text()).expect("a temporary file can be written");
    hearken([Path::new("import"), Path::new("--data-dir"), data, file.path()]).success();
}

/// What the archive of a node that is not running holds.
#[track_caller]
pub fn export(data: &Path) -> Messages {
    let exported = hearken([Path::new("export"), Path::new("--data-dir"), data]).success();
    let lines = exported.stdout.lines().filter(|line| !line.is_empty());
    lines.map(|line| canonical(&serde_json::from_str(line).expect("exported lines are JSON"))).collect()
}

/// A message as text that is equal for equal messages: fields that hold their default are left out.
fn canonical(message: &Value) -> String {
    let default =
        |value: &Value| matches!(value, Value::Null | Value::Bool(false)) || *value == json!(0) || *value == json!("");
    let fields = message.as_object().expect("a message is an object").iter();
    Value::Object(fields.filter(|(_, value)| !default(value)).map(|(k, v)| (k.clone(), v.clone())).collect())
        .to_string()
}
