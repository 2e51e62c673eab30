//! OpenMetrics, as libp2p's registry writes it, in the older text format that every Prometheus reads.

/// Appends what is the same in both, and changes what is not.
pub(super) fn append(out: &mut String, openmetrics: &str) {
    for line in openmetrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            // The end of one part is not the end of all of it, and units are a comment there.
            (Some("#"), Some("EOF" | "UNIT"), ..) => continue,
            (Some("#"), Some("TYPE"), Some(name), Some("unknown" | "info" | "stateset")) => {
                out.push_str(&format!("# TYPE {name} untyped"));
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_the_older_format_lacks_are_untyped() {
        let mut out = String::new();
        append(
            &mut out,
            "# HELP a Some.\n# TYPE a unknown\n# UNIT a seconds\na 1\n# TYPE b counter\nb_total 2\n# EOF\n",
        );
        assert_eq!(out, "# HELP a Some.\n# TYPE a untyped\na 1\n# TYPE b counter\nb_total 2\n");
    }
}
