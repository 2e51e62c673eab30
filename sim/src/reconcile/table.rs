//! The outcome as a table for people.

use std::fmt::Write as _;

use super::Report;

/// A table with a row for each system.
pub(super) fn render(report: &Report) -> String {
    let mut text = format!(
        "{} messages, {} missing ({}), seed {}\n\n",
        grouped(report.items as u64),
        grouped(report.missing as u64),
        report.shape,
        report.seed
    );
    let heads = ["system", "IHAVE", "request", "answer", "total", "+32 B ids", "framing", "trips", "CPU ms", "found"];
    let mut rows = vec![heads.map(str::to_owned)];
    for system in &report.systems {
        let bytes = &system.bytes;
        // Negentropy's answers name the ids already; ours travel inside the messages.
        let with_ids = bytes.total + if system.name == "hearken" { 32 * system.found } else { 0 };
        rows.push([
            system.name.to_owned(),
            grouped(bytes.ihave),
            grouped(bytes.request),
            grouped(bytes.answer),
            grouped(bytes.total),
            grouped(with_ids),
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
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let _ = if column == 0 { write!(text, "{cell:<width$}") } else { write!(text, "  {cell:>width$}") };
        }
        text.push('\n');
    }
    text
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(super::grouped(7), "7");
        assert_eq!(super::grouped(1_234), "1,234");
        assert_eq!(super::grouped(1_000_000), "1,000,000");
    }
}
