//! The keys of a real trace.

use std::{error::Error, path::Path};

use hearken_archive::MessageFormat as _;
use hearken_tree::Key;
use hearken_waku::{WakuFormat, ndjson::Input};

/// The keys of all messages in a file, each once, in order.
pub fn keys(path: &Path) -> Result<Vec<Key>, Box<dyn Error>> {
    let mut input = Input::open(path)?;
    let mut keys = Vec::new();
    while let Some(line) = input.next_message()? {
        let message = line.map_err(|error| format!("{}: {error}", path.display()))?;
        let header = WakuFormat.header(&message.pubsub_topic, &message.body);
        let header =
            header.map_err(|error| format!("{}, line {}: {}", path.display(), input.lines_read(), error.reason))?;
        keys.push(header.key());
    }
    keys.sort_unstable();
    keys.dedup();
    if keys.is_empty() {
        return Err(format!("{} holds no message: expected a line of JSON for each", path.display()).into());
    }
    Ok(keys)
}
