//! Outcomes as tables for people.

use std::fmt::Write as _;

use super::{
    outcome::Outcome,
    runs::{Report, Row, Runs},
    workload::Shape,
};
use crate::run::grouped;

/// A table with a row for each system.
pub(super) fn render(report: &Report) -> String {
    let seeds = match report.seeds {
        1 => format!("seed {}", report.seed),
        many => format!("seeds {} to {}, medians", report.seed, report.seed + many - 1),
    };
    let (items, missing) = (grouped(report.items as u64), grouped(report.missing as u64));
    let mut text = format!("{items} messages, {missing} missing ({}), {seeds}\n\n", report.shape);
    let heads = ["system", "IHAVE", "request", "answer", "total", "+32 B ids", "framing", "trips", "CPU ms", "found"];
    let mut rows = vec![heads.map(str::to_owned)];
    for system in &report.systems {
        let bytes = &system.bytes;
        rows.push([
            system.name.to_owned(),
            grouped(bytes.ihave),
            grouped(bytes.request),
            grouped(bytes.answer),
            grouped(bytes.total),
            grouped(system.bytes_with_ids()),
            grouped(bytes.framing),
            system.round_trips.to_string(),
            format!("{:.2} + {:.2}", system.cpu_ms.requester, system.cpu_ms.provider),
            format!("{}{}", grouped(system.found), if system.exact { "" } else { " (WRONG)" }),
        ]);
    }
    let mut widths = [0; 10];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.len());
        }
    }
    for row in rows {
        let _ = writeln!(text, "{}", aligned(&row, &widths));
    }
    text
}

/// Columns of the whole table: what is missing; Hearken's bytes, round trips and CPU time.
const OWN: [(&str, usize); 6] =
    [("missing", 20), ("hearken B", 11), ("of it IWANT", 11), ("+32 B ids", 10), ("trips", 6), ("CPU ms", 8)];
/// Another system's after its bytes, whose column is as wide as its name.
const OTHERS: [(&str, usize); 2] = [("trips", 6), ("CPU ms", 8)];
const OTHERS_BYTES: usize = 11;

/// What the whole table begins with.
pub(super) fn head(runs: &Runs) -> String {
    let others = runs.against.iter().flat_map(|other| {
        let name = other.name();
        [(name, name.len().max(OTHERS_BYTES))].into_iter().chain(OTHERS)
    });
    let (heads, widths): (Vec<String>, Vec<usize>) =
        OWN.into_iter().chain(others).map(|(head, width)| (head.to_owned(), width)).unzip();
    format!(
        "{} messages, medians of {} seed{}; round trips as median/most where these differ\n\n{}\n",
        grouped(runs.items() as u64),
        runs.seeds,
        if runs.seeds == 1 { "" } else { "s" },
        aligned(&heads, &widths)
    )
}

/// One line of the whole table.
pub(super) fn line(runs: &Runs, row: &Row) -> String {
    let mut cells = vec![name(row)];
    let mut widths: Vec<usize> = OWN.iter().map(|(_, width)| *width).collect();
    for (at, outcomes) in row.systems.iter().enumerate() {
        if let Some(other) = at.checked_sub(1).and_then(|at| runs.against.get(at)) {
            widths.push(other.name().len().max(OTHERS_BYTES));
            widths.extend(OTHERS.map(|(_, width)| width));
        }
        let Some(median) = Outcome::median(outcomes) else {
            cells.extend(["-"; 3].map(str::to_owned));
            continue;
        };
        cells.push(grouped(median.bytes.total));
        if at == 0 {
            cells.extend([grouped(median.bytes.unicast()), grouped(median.bytes_with_ids())]);
        }
        let most = outcomes.iter().map(|run| run.round_trips).max().unwrap_or(0);
        let trips = median.round_trips;
        cells.push(if most == trips { trips.to_string() } else { format!("{trips}/{most}") });
        cells.push(format!("{:.1}", median.cpu_ms.total()));
    }
    let wrong = if row.exact() { "" } else { "  WRONG" };
    format!("{}{wrong}\n", aligned(&cells, &widths))
}

fn name(row: &Row) -> String {
    let missing = grouped(row.missing as u64);
    match row.shape {
        Shape::Scatter => format!("{missing} scattered"),
        Shape::GapNewest => format!("newest {missing}"),
        Shape::GapOldest => format!("oldest {missing}"),
        Shape::GapMiddle => format!("{missing} in the middle"),
        Shape::TwoWay => format!("{} on each side", grouped(row.missing as u64 / 2)),
        Shape::Empty => "everything".to_owned(),
    }
}

/// Cells beside each other, the first one left, the others right.
fn aligned(cells: &[String], widths: &[usize]) -> String {
    let mut text = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let _ = if column == 0 { write!(text, "{cell:<width$}") } else { write!(text, "  {cell:>width$}") };
    }
    text
}

/// Characters for a factor of ten.
const DECADE: f64 = 7.0;
/// What the bars of the systems are made of: Hearken's first.
const BARS: [char; 4] = ['█', '░', '▒', '▓'];

/// Bytes as bars, on a logarithmic scale.
pub(super) fn plot(rows: &[Row]) -> String {
    let mut text = format!("\nBytes in all; a factor of ten is {DECADE} characters\n\n");
    for row in rows {
        for (at, runs) in row.systems.iter().enumerate() {
            let Some(median) = Outcome::median(runs) else { continue };
            let label = if at == 0 { name(row) } else { String::new() };
            let bar = bar(median.bytes.total, BARS[at % BARS.len()]);
            let _ = writeln!(text, "{label:<20}  {bar} {} {}", median.name, grouped(median.bytes.total));
        }
    }
    text
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "0 to 140")]
fn bar(bytes: u64, filled: char) -> String {
    let length = ((bytes.max(1) as f64).log10() * DECADE).round() as usize;
    std::iter::repeat_n(filled, length).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn bars_are_logarithmic() {
        assert_eq!(super::bar(1, '#').len(), 0);
        assert_eq!(super::bar(1_000, '#').len(), 21);
    }
}
