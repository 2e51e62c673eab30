//! The pinned counts.
use std::fmt::Write as _;

use crate::callgrind::Count;

/// By how many percent a count may grow.
pub(crate) const MOST_GROWTH: u64 = 5;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/pins.txt");

/// Counts by the name of the work.
#[derive(Debug, PartialEq)]
pub(crate) struct Pins(pub(crate) Vec<(String, Count)>);

impl Pins {
    pub(crate) fn read() -> Result<Pins, String> {
        let text = std::fs::read_to_string(FILE).map_err(|error| format!("{FILE}: {error}"))?;
        Pins::parse(&text)
    }

    fn parse(text: &str) -> Result<Pins, String> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let pin = |line: &str| {
            let mut words = line.split_whitespace();
            let name = words.next()?.to_string();
            let hashing = words.next()?.parse().ok()?;
            let other = words.next()?.parse().ok()?;
            Some((name, Count { hashing, other }))
        };
        let pins = lines
            .map(|line| pin(line).ok_or_else(|| format!("{FILE}: expected a name and two counts, found '{line}'")));
        Ok(Pins(pins.collect::<Result<_, _>>()?))
    }

    pub(crate) fn write(&self) -> Result<(), String> {
        std::fs::write(FILE, self.text(&compiler())).map_err(|error| format!("{FILE}: {error}"))
    }

    fn text(&self, compiler: &str) -> String {
        let mut text = format!(
            "# Instructions of the work in src/work.rs: by BLAKE3 (portable), and by all else but the C library.\n\
             # Written by: cargo run --release -p hearken-tree-counts --features portable -- --update\n\
             # {compiler}\n",
        );
        for (name, count) in &self.0 {
            let _ = writeln!(text, "{name:<20}{:>14}{:>14}", count.hashing, count.other);
        }
        text
    }

    /// A table of these pins beside what was counted, and whether each count is pinned and none has grown too much.
    pub(crate) fn compare(&self, counted: &Pins) -> (String, bool) {
        let mut table =
            format!("{:<20}{:>14}{:>8}{:>14}{:>8}\n", "instructions", "hashing", "pinned", "all else", "pinned");
        let mut fine = self.0.len() == counted.0.len();
        for (name, now) in &counted.0 {
            let pin = self.0.iter().find(|(pinned, _)| pinned == name).map(|(_, pin)| *pin);
            fine &= pin.is_some_and(|pin| !grew(pin.hashing, now.hashing) && !grew(pin.other, now.other));
            let pin = pin.unwrap_or_default();
            let (hashing, other) = (change(pin.hashing, now.hashing), change(pin.other, now.other));
            let _ = writeln!(table, "{name:<20}{:>14}{hashing:>8}{:>14}{other:>8}", now.hashing, now.other);
        }
        (table, fine)
    }
}

/// The compiler's version: another one may come to other counts.
pub(crate) fn compiler() -> String {
    let said = std::process::Command::new("rustc").arg("--version").output().ok();
    said.map_or("rustc is not found".into(), |said| String::from_utf8_lossy(&said.stdout).trim().to_string())
}

fn grew(pinned: u64, now: u64) -> bool {
    now * 100 > pinned * (100 + MOST_GROWTH)
}

/// By how much a count differs from the pinned one.
fn change(pinned: u64, now: u64) -> String {
    if pinned == 0 { "none".into() } else { format!("{:+.1} %", (now as f64 / pinned as f64 - 1.0) * 100.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pins(other: u64) -> Pins {
        Pins(vec![("append".into(), Count { hashing: 1000, other })])
    }

    #[test]
    fn more_than_five_percent_fail() {
        assert!(pins(1000).compare(&pins(1050)).1);
        assert!(pins(1000).compare(&pins(500)).1);
        assert!(!pins(1000).compare(&pins(1051)).1);
        assert!(!Pins(Vec::new()).compare(&pins(1)).1, "not pinned");
        assert!(!pins(1).compare(&Pins(Vec::new())).1, "pinned, but not counted any more");
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Pins::parse(&pins(77).text("rustc 1")), Ok(pins(77)));
        assert!(Pins::parse("append 12").is_err());
    }
}
