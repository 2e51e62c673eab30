use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use hearken::Status;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::Settings;
use super::plan::{Plan, Role};
use crate::config::Config;
use crate::config::text::Text;
use crate::node::Node;
use crate::trace::Trace;

/// How often progress is printed where there is no terminal to redraw.
const PRINT: Duration = Duration::from_secs(2);

/// Where the demonstration tells what happens: standard output, or standard error if that is for JSON alone.
pub struct Screen {
    json: bool,
}

/// One node's line.
pub(super) struct NodeLine {
    held: u64,
    status: Status,
}

impl NodeLine {
    pub(super) fn new(held: u64, node: &Node) -> NodeLine {
        NodeLine { held, status: node.sync().status() }
    }
}

impl Screen {
    /// A screen; with `json` nothing goes to standard output.
    pub fn new(json: bool) -> Screen {
        Screen { json }
    }

    /// Prints a line.
    pub fn say(&self, line: &str) {
        if self.json { eprintln!("{line}") } else { println!("{line}") }
    }

    /// Prints a line about something that is wrong.
    pub fn warn(&self, line: &str) {
        eprintln!("{line}");
    }

    pub(super) fn introduce(&self, settings: &Settings, trace: &Trace, config: &Config, plan: &Plan) {
        let (count, nodes, loss) = (trace.messages.len(), settings.nodes, settings.loss * 100.0);
        let of = settings.trace.as_ref().map_or_else(|| "made up".to_owned(), |path| format!("of {}", path.display()));
        let [first, last] = [trace.bounds().0, trace.bounds().1].map(day);
        self.say(&format!(
            "{nodes} nodes on this machine; history: {} messages {of}, {first} to {last}.",
            grouped(count as u64)
        ));
        self.say(&format!(
            "The nodes live by a clock in which the trace has just ended, with a window ({}) that covers it.",
            config.sync.window.format()
        ));
        let [settle, grid, min, max] =
            [config.sync.settle_delay, config.sync.horizon_grid, config.sync.interval_min, config.sync.interval_max]
                .map(|duration| duration.format());
        self.say(&format!(
            "Short times for a demonstration: messages settle in {settle}, grid {grid}, announcements every {min} to {max}."
        ));
        self.say(&format!(
            "Then {} live messages, {} a second; each delivery is lost with a chance of {loss} % (seed {}).",
            settings.live, settings.rate, settings.seed
        ));
        for node in 0..nodes {
            let lacks = match Role::of(node, nodes) {
                Role::Holes => format!("lacks {loss} %"),
                Role::Behind => format!("lacks {loss} % and the newest 30 %"),
                Role::Empty => "has nothing".to_owned(),
            };
            self.say(&format!("  node {node} starts with {:>9} messages: {lacks}", grouped(plan.count(node) as u64)));
        }
    }

    pub(super) fn progress(&self, nodes: usize, total: u64) -> Progress {
        let bars = io::stderr().is_terminal().then(|| bars(nodes, total));
        Progress { json: self.json, total, bars, start: Instant::now(), printed: None }
    }
}

/// One line a node, redrawn on a terminal, else printed now and then.
pub(super) struct Progress {
    json: bool,
    total: u64,
    bars: Option<Vec<ProgressBar>>,
    start: Instant,
    printed: Option<Instant>,
}

impl Progress {
    pub(super) fn show(&mut self, lines: impl Iterator<Item = NodeLine>) {
        if let Some(bars) = &self.bars {
            for (bar, line) in bars.iter().zip(lines) {
                bar.set_position(line.held);
                bar.set_message(self.text(&line));
            }
            return;
        }
        if self.printed.is_some_and(|printed| printed.elapsed() < PRINT) {
            return;
        }
        self.printed = Some(Instant::now());
        let screen = Screen { json: self.json };
        screen.say(&format!("after {:.1} s", self.start.elapsed().as_secs_f64()));
        for (node, line) in lines.enumerate() {
            screen.say(&format!("  node {node}  {:>9} held  {}", grouped(line.held), self.text(&line)));
        }
    }

    fn text(&self, line: &NodeLine) -> String {
        let missing = self.total.saturating_sub(line.held);
        let bytes = line.status.bytes;
        let [ihave, request, answer, payload] = [bytes.ihave, bytes.request, bytes.answer, bytes.payload].map(size);
        format!(
            "{:>9} missing; sent: ihave {ihave:>9}, request {request:>9}, answer {answer:>9}, payload {payload:>9}",
            grouped(missing)
        )
    }

    pub(super) fn finish(self) {
        for bar in self.bars.into_iter().flatten() {
            bar.abandon();
        }
    }
}

fn bars(nodes: usize, total: u64) -> Vec<ProgressBar> {
    let all = MultiProgress::new();
    let style = ProgressStyle::with_template("{prefix} {bar:20} {pos:>8} held {msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = |node| {
        let bar = all.add(ProgressBar::new(total).with_style(style.clone()));
        bar.with_prefix(format!("node {node:<2}"))
    };
    (0..nodes).map(bar).collect()
}

/// A number with its thousands set apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of bytes, to about three digits.
pub(super) fn size(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss)] // for people
    let bytes = bytes as f64;
    match bytes {
        _ if bytes < 1e3 => format!("{bytes} B"),
        _ if bytes < 1e6 => format!("{:.1} kB", bytes / 1e3),
        _ => format!("{:.1} MB", bytes / 1e6),
    }
}

fn day(nanos: u64) -> String {
    let time = std::time::UNIX_EPOCH + Duration::from_nanos(nanos);
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1_000, 198_449, 1_000_000].map(grouped), ["0", "999", "1,000", "198,449", "1,000,000"]);
        assert_eq!([0, 999, 1_000, 12_345_678].map(size), ["0 B", "999 B", "1.0 kB", "12.3 MB"]);
    }
}
