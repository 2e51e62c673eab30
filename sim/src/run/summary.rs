//! What a run shows on a terminal.

use std::fmt::Write as _;

use super::outcome::{Outcome, bytes, grouped, time};
use crate::net::{real, whole};

/// Columns of the small chart.
const WIDTH: usize = 60;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What protocols are compared by.
pub(crate) const SIDE_BY_SIDE: [&str; 10] = [
    "",
    "missing in the end",
    "everywhere, p50",
    "everywhere, p99",
    "last node whole again",
    "repaired",
    "background B/s, p50 / p99",
    "bytes to find one",
    "received per repair",
    "round trips, p50 / p99",
];

impl Outcome {
    /// The verdict, a table, a small chart of what was missing, and what was expected.
    pub fn summary(&self) -> String {
        let mut text = format!("{}\n\n", self.sentence());
        for (name, value) in self.table() {
            let _ = writeln!(text, "  {name:<24} {value}");
        }
        let _ = writeln!(text, "\n  missing over time (most: {})", grouped(self.most_missing()));
        let _ = writeln!(text, "  {}", self.sparkline());
        let _ = writeln!(text, "  {}", self.marks());
        for happened in &self.timeline {
            let until = happened.until_s.map_or(String::new(), |until| format!(" to {}", time(until)));
            let _ = writeln!(text, "  ^ {}{until}: {}", time(happened.at_s), happened.what);
        }
        text += &self.side_by_side();
        text.push('\n');
        for check in &self.checks {
            let mark = if check.ok { "ok    " } else { "FAILED" };
            let _ = writeln!(text, "  {mark} {}: {} (expected: {})", check.name, check.found, check.expected);
        }
        text
    }

    fn side_by_side(&self) -> String {
        if self.against.is_empty() {
            return String::new();
        }
        let mut rows = vec![SIDE_BY_SIDE.map(str::to_owned).to_vec()];
        rows.extend(std::iter::once(self).chain(&self.against).map(|outcome| outcome.figures().to_vec()));
        // A terminal is high rather than wide: a column for each.
        let turned: Vec<Vec<String>> =
            (0..SIDE_BY_SIDE.len()).map(|row| rows.iter().map(|column| column[row].clone()).collect()).collect();
        format!("\n{}", super::columns(&turned))
    }

    /// What is put side by side, in the order of [`SIDE_BY_SIDE`].
    pub(crate) fn figures(&self) -> [String; SIDE_BY_SIDE.len()] {
        let per_second = self.background_bytes_per_s;
        let trips = self.round_trips;
        let some = self.repaired > 0;
        let known = |text: String| if some { text } else { "-".to_owned() };
        let whole = |q: &super::Quantiles, share: f64| {
            let value = if share < 1.0 { q.p99 } else { q.max };
            if self.staleness_s.is_some() { time(value) } else { "never".to_owned() }
        };
        let virtual_or_real = if self.mode == "real" { ", real nodes" } else { "" };
        [
            format!("{}{virtual_or_real}", self.protocol.label()),
            grouped(self.missing_at_end + self.expired_missing),
            if self.staleness_s.is_some() { time(self.completeness_s.p50) } else { "-".to_owned() },
            whole(&self.completeness_s, 0.99),
            if self.recovery_s.max > 0.0 { whole(&self.recovery_s, 1.0) } else { "-".to_owned() },
            grouped(self.repaired),
            format!("{:.0} / {:.0}", per_second.p50, per_second.p99),
            known(format!("{:.1}", self.bytes_per_repair)),
            known(format!("{:.2}", self.redundancy)),
            known(if self.mode == "real" { "-".to_owned() } else { format!("{:.0} / {:.0}", trips.p50, trips.p99) }),
        ]
    }

    fn table(&self) -> Vec<(&'static str, String)> {
        let spread = |p50: f64, p99: f64, max: f64, show: fn(f64) -> String| {
            format!("{} / {} / {}", show(p50), show(p99), show(max))
        };
        let times = |q: &super::Quantiles| spread(q.p50, q.p99, q.max, time);
        let ihaves = &self.ihaves_per_interval;
        let mut table = vec![
            ("nodes, messages", format!("{}, {}", grouped(self.nodes as u64), grouped(self.messages))),
            ("everywhere, p50/p99/max", times(&self.completeness_s)),
        ];
        if self.repaired > 0 {
            table.push(("repaired after", times(&self.repair_s)));
        }
        if self.recovery_s.max > 0.0 {
            table.push(("nodes whole again after", times(&self.recovery_s)));
        }
        let per_second = self.background_bytes_per_s;
        table.push((
            "background B/s a node",
            spread(per_second.p50, per_second.p99, per_second.max, |value| format!("{value:.0}")),
        ));
        let range = format!("{} to {}, {:.1} on average", ihaves.min, ihaves.max, ihaves.mean);
        table.push(("IHAVEs per interval", format!("{range} ({} each)", time(ihaves.interval_s))));
        table.push((
            "IHAVEs in all",
            format!("{} sent, {} suppressed", grouped(ihaves.sent), grouped(ihaves.suppressed)),
        ));
        if self.repaired > 0 {
            let trips = self.round_trips;
            if self.mode == "virtual" {
                table.push(("round trips", spread(trips.p50, trips.p99, trips.max, |value| format!("{value:.0}"))));
            }
            table.push(("bytes to find a message", format!("{:.1}", self.bytes_per_repair)));
            table.push(("received per repair", format!("{:.3}", self.redundancy)));
            table.push(("busiest provider", format!("{:.1} % of all served", 100.0 * self.providers.busiest_share)));
        }
        let kinds = self.bytes_per_node.by_kind.iter().filter(|(_, value)| **value >= 0.5);
        let kinds: Vec<String> = kinds.map(|(kind, value)| format!("{kind} {}", bytes(*value))).collect();
        table.push(("sent per node", kinds.join(", ")));
        let speed = grouped(whole(self.events_per_s));
        table.push(("simulated", format!("{} in {}, {speed} events/s", time(self.virtual_s), time(self.wall_s))));
        if self.mode == "virtual" {
            table.push(("seed, trace", format!("{}, {}", self.seed, self.trace_hash)));
        }
        table
    }

    fn most_missing(&self) -> u64 {
        self.series.missing.iter().copied().max().unwrap_or(0)
    }

    fn sparkline(&self) -> String {
        let (missing, most) = (&self.series.missing, self.most_missing());
        let column = |at: usize| {
            let (from, to) = (at * missing.len() / WIDTH, (at + 1) * missing.len() / WIDTH);
            let here = missing.get(from..to.max(from + 1)).and_then(|some| some.iter().max()).copied().unwrap_or(0);
            let height = (real(here) / real(most.max(1)) * 7.0).ceil();
            if here == 0 {
                '.'
            } else {
                usize::try_from(whole(height)).ok().and_then(|at| BARS.get(at)).copied().unwrap_or('█')
            }
        };
        (0..WIDTH).map(column).collect()
    }

    /// Where something happened.
    fn marks(&self) -> String {
        let mut marks = vec![' '; WIDTH];
        for happened in &self.timeline {
            let place = whole(happened.at_s / self.virtual_s * real(WIDTH as u64));
            if let Some(mark) = usize::try_from(place).ok().and_then(|place| marks.get_mut(place)) {
                *mark = '^';
            }
        }
        marks.into_iter().collect::<String>().trim_end().to_owned()
    }
}
