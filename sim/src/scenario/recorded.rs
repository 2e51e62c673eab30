//! Messages of the past, replayed: a file of Waku messages as JSON, one a line, compressed with zstd or not.

use std::{
    borrow::Cow,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;

use super::{Traffic, shipped};

/// A message of the past: when, since the first one, and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) at: Duration,
    pub(crate) size: u32,
}

/// `RelayWakuMessage` of Waku's REST interface. Other fields are of no interest here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(borrow, default)]
    content_topic: Cow<'a, str>,
    #[serde(borrow)]
    payload: Cow<'a, str>,
    timestamp: i64,
}

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A line of more is none.
const MAX_LINE: u64 = 8 << 20;
/// Tags, lengths and the timestamp of a Waku message.
const ENVELOPE: usize = 16;

/// Reads what is replayed within `duration`. `folder` is where a relative path begins.
pub(super) fn read(
    name: &str,
    folder: Option<&Path>,
    traffic: &Traffic,
    duration: Duration,
) -> Result<Arc<[Recorded]>, String> {
    let path = folder.map_or_else(|| Path::new(name).to_owned(), |folder| folder.join(name));
    let source: Box<dyn Read> = match shipped::trace(name) {
        Some(bytes) => Box::new(bytes),
        None => {
            Box::new(File::open(&path).map_err(|error| format!("cannot read the trace {}: {error}", path.display()))?)
        }
    };
    let room = duration.saturating_sub(traffic.from).mul_f64(traffic.speed);
    parse(source, room).map_err(|message| format!("the trace {name}: {message}")).map(|recorded| {
        let at = |recorded: Recorded| Recorded { at: traffic.from + recorded.at.div_f64(traffic.speed), ..recorded };
        recorded.into_iter().map(at).collect()
    })
}

fn parse(source: impl Read, room: Duration) -> Result<Vec<Recorded>, String> {
    let mut plain = BufReader::new(source);
    let compressed = plain.fill_buf().map_err(|error| error.to_string())?.starts_with(&ZSTD_MAGIC);
    let mut lines: Box<dyn BufRead> = if compressed {
        Box::new(BufReader::new(zstd::Decoder::with_buffer(plain).map_err(|error| error.to_string())?))
    } else {
        Box::new(plain)
    };
    let (mut recorded, mut first, mut number, mut line) = (Vec::new(), None, 0, Vec::new());
    loop {
        line.clear();
        number += 1;
        let many =
            (&mut lines).take(MAX_LINE).read_until(b'\n', &mut line).map_err(|e| format!("line {number}: {e}"))?;
        if many == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let expected = "expected {\"contentTopic\", \"payload\", \"timestamp\"}";
        let message: Line<'_> =
            serde_json::from_slice(line.trim_ascii()).map_err(|error| format!("line {number}: {expected}: {error}"))?;
        let timestamp = u64::try_from(message.timestamp)
            .map_err(|_| format!("line {number}: expected a timestamp in ns, found {}", message.timestamp))?;
        let at = Duration::from_nanos(timestamp.saturating_sub(*first.get_or_insert(timestamp)));
        // The file is in order of time: nothing of what follows comes earlier.
        if at > room {
            break;
        }
        let size = message.payload.len() / 4 * 3 + message.content_topic.len() + ENVELOPE;
        recorded.push(Recorded { at, size: u32::try_from(size).unwrap_or(u32::MAX) });
    }
    if recorded.is_empty() {
        return Err("expected messages, one a line, found none".to_owned());
    }
    recorded.sort_by_key(|message| message.at);
    Ok(recorded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: u64) -> String {
        format!("{{\"pubsubTopic\":\"p\",\"contentTopic\":\"/c\",\"payload\":\"aGVsbG8=\",\"timestamp\":{at}}}\n")
    }

    #[test]
    fn plain_and_compressed_lines_say_the_same() {
        let text = [line(1_000_000_000), line(3_000_000_000), "\n".to_owned(), line(90_000_000_000)].concat();
        let room = Duration::from_secs(60);
        let plain = parse(text.as_bytes(), room).expect("messages");
        let at = |seconds| Recorded { at: Duration::from_secs(seconds), size: 24 };
        assert_eq!(plain, [at(0), at(2)]);
        let squeezed = zstd::encode_all(text.as_bytes(), 3).expect("room");
        assert_eq!(parse(&squeezed[..], room), Ok(plain));
    }

    #[test]
    fn what_is_no_message_is_named_by_its_line() {
        let error = parse([line(5), "{}\n".to_owned()].concat().as_bytes(), Duration::MAX).expect_err("no message");
        assert!(error.contains("line 2") && error.contains("payload"), "{error}");
        assert!(parse(&b""[..], Duration::MAX).is_err());
    }
}
