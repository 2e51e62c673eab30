//! Is this node whole? The answer as a sentence, for people.

use std::time::Duration;

use serde::Serialize;

use super::sync::{Group, synchronises};
use crate::config::Config;
use crate::node::{Neighbour, Running};

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Whole {
    Yes,
    No,
    Unknown,
}

/// The answer, and why.
pub(super) struct Verdict {
    pub(super) whole: Whole,
    pub(super) sentence: String,
}

/// What makes the answer worst comes first.
pub(super) fn verdict(config: &Config, node: &Running, groups: &[Group], neighbours: &[Neighbour]) -> Verdict {
    let verdict = |whole, sentence| Verdict { whole, sentence };
    if let Some(trouble) = node.trouble() {
        let sentence = format!("No: messages cannot be stored. {}", capitalised(&trouble.reason));
        return verdict(Whole::No, sentence);
    }
    let missing: u64 = groups.iter().map(|group| group.missing).sum();
    let ranges: usize = groups.iter().map(|group| group.differences).sum();
    if missing > 0 {
        let sentence = format!("Not yet: about {} missing and being fetched.", messages(missing));
        return verdict(Whole::No, sentence);
    }
    if ranges > 0 {
        return verdict(Whole::No, format!("Not yet: {ranges} stretches of time differ from a neighbour's."));
    }
    if config.paused {
        let sentence = "Not known: anti-entropy is paused (setting paused), so nobody is compared with.";
        return verdict(Whole::Unknown, sentence.to_owned());
    }
    let partners = neighbours.iter().filter(|neighbour| synchronises(neighbour)).count();
    if partners == 0 {
        let found = match neighbours.len() {
            0 => "no peer is connected".to_owned(),
            1 => "the one connected peer does not synchronise".to_owned(),
            peers => format!("none of the {peers} connected peers synchronises"),
        };
        return verdict(Whole::Unknown, format!("Not known: {found}, so there is nobody to compare with."));
    }
    // Each node asks or hears somebody once an interval; three in a row without a word are no accident.
    let patience = config.sync.interval_max * 3;
    let silent = |group: &&Group| group.last_equal_seconds.is_none_or(|ago| ago > patience.as_secs_f64());
    if let Some(group) = groups.iter().find(silent) {
        let topic: String = group.pubsub_topic.chars().take(80).collect();
        let sentence = match group.last_equal_seconds {
            None => format!("Not known yet: no neighbour has been compared with on {topic}."),
            Some(ago) => format!("Not known: no neighbour was found equal on {topic} for {}.", rough(ago)),
        };
        return verdict(Whole::Unknown, sentence);
    }
    let oldest = groups.iter().filter_map(|group| group.last_equal_seconds).fold(0.0, f64::max);
    let count = groups.iter().map(|group| group.count).sum();
    let window = humantime::format_duration(config.sync.window);
    let when = if oldest < 2.0 { "just now".to_owned() } else { format!("{} ago", rough(oldest)) };
    let sentence =
        format!("Yes, this node is whole: a neighbour held the same {} of the last {window}, {when}.", messages(count));
    verdict(Whole::Yes, sentence)
}

fn messages(count: u64) -> String {
    if count == 1 { "1 message".to_owned() } else { format!("{} messages", grouped(count)) }
}

/// A number with commas between thousands.
fn grouped(number: u64) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", grouped(number / 1000), number % 1000),
    }
}

/// A duration in its largest unit.
fn rough(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    match whole {
        0..=119 => format!("{whole} s"),
        120..=7199 => format!("{} min", whole / 60),
        _ => format!("{} h", whole / 3600),
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let written = [0, 7, 999, 1000, 54_007, 10_000_000].map(grouped);
        assert_eq!(written, ["0", "7", "999", "1,000", "54,007", "10,000,000"]);
    }
}
