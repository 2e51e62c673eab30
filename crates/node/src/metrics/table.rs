//! Every metric of the facade, with what it means: shown as HELP, and there from the start with the value 0, so that a rule or a panel
//! about what has not happened yet finds a series.

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};

/// A metric's kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    /// Of one value from the start.
    Gauge,
    /// Told when there is something to tell.
    Later,
    Histogram,
}

use Kind::{Counter, Gauge, Histogram, Later};

struct Row(Kind, &'static str, Option<(&'static str, &'static [&'static str])>, &'static str);

const REFUSALS: &[&str] = &["busy", "unsupported", "unknown_group", "too_costly", "rate_limited", "failed"];

/// The engine's table is in crates/scheduler/README.md.
const TABLE: &[Row] = &[
    Row(
        Counter,
        "hearken_announcements_total",
        Some(("outcome", &["sent", "suppressed"])),
        "Announcement timers that fired",
    ),
    Row(
        Counter,
        "hearken_announcements_heard_total",
        Some(("verdict", &["accept", "ignore", "reject"])),
        "Announcements (IHAVE) that came in",
    ),
    Row(
        Counter,
        "hearken_announcements_compared_total",
        Some(("equal", &["yes", "no"])),
        "Announcements compared with what is held",
    ),
    Row(
        Counter,
        "hearken_probes_total",
        Some((
            "trigger",
            &["periodic", "boot", "idle", "reconnect", "manual", "doubt", "suspect", "narrow", "follow_up"],
        )),
        "Probes sent",
    ),
    Row(Counter, "hearken_probes_equal_total", None, "Probes that found the neighbour equal"),
    Row(Counter, "hearken_requests_total", Some(("purpose", &["fetch", "probe", "ask_back"])), "Requests (IWANT) sent"),
    Row(
        Counter,
        "hearken_requests_finished_total",
        Some(("outcome", &["complete", "incomplete", "unanswered"])),
        "Requests that ended",
    ),
    Row(Counter, "hearken_requests_timed_out_total", None, "Requests given up for want of progress"),
    Row(Histogram, "hearken_request_round_trips", None, "Round trips of each fetch"),
    Row(
        Counter,
        "hearken_ranges_answered_total",
        Some(("verdict", &["outside", "equal", "finer", "deliver", "too_costly"])),
        "Verdicts received on ranges",
    ),
    Row(
        Histogram,
        "hearken_repair_bytes",
        None,
        "Bytes of each request that brought messages, about, by kind: request, answer, payload",
    ),
    Row(
        Counter,
        "hearken_differences_found_total",
        Some(("source", &["announcement", "neighbour"])),
        "Ranges that comparisons found to differ",
    ),
    Row(Counter, "hearken_differences_unconfirmed_total", None, "Differences that the asked peer did not show"),
    Row(Counter, "hearken_differences_dropped_total", None, "Differences given up since nobody showed them"),
    Row(Counter, "hearken_refusals_received_total", Some(("reason", REFUSALS)), "Requests that peers refused"),
    Row(Counter, "hearken_refusals_sent_total", Some(("reason", REFUSALS)), "Requests refused to peers"),
    Row(
        Counter,
        "hearken_messages_received_total",
        Some(("outcome", &["stored", "duplicate", "refused", "unasked", "failed"])),
        "Messages that peers delivered",
    ),
    Row(Counter, "hearken_served_total", Some(("outcome", &["complete", "stopped", "failed"])), "Deliveries to peers"),
    Row(Counter, "hearken_served_messages_total", None, "Messages delivered to peers"),
    Row(Counter, "hearken_served_bytes_total", None, "Bytes of messages delivered to peers"),
    Row(
        Counter,
        "hearken_offences_total",
        Some(("offence", &["garbage", "unasked", "broken_promise", "nonsense", "flood"])),
        "Breaches of the sync protocol by peers",
    ),
    Row(Counter, "hearken_peers_muted_total", None, "Peers muted for breaches"),
    Row(Later, "hearken_peer_penalty_points", None, "Penalty points of peers that committed breaches, by peer; 8 mute"),
    Row(
        Later,
        "hearken_staleness_seconds",
        None,
        "Age of the horizon up to which some neighbour was last known to hold the same, by group",
    ),
    Row(Later, "hearken_pursuit_ranges", None, "Ranges that differ and are being pursued, by group"),
    Row(Gauge, "hearken_unadmitted_bytes", None, "Bytes delivered and not yet stored"),
    Row(Gauge, "hearken_requests_under_way", None, "Requests to peers under way"),
    Row(Gauge, "hearken_serving", None, "Requests of peers being served"),
    Row(Gauge, "hearken_archive_writable", None, "1 if the archive's last write succeeded, else 0"),
    Row(Gauge, "hearken_archive_messages", None, "Messages stored"),
    Row(Gauge, "hearken_archive_bytes", None, "Bytes of messages stored"),
    Row(Histogram, "hearken_archive_commit_seconds", None, "Duration of durable writes"),
    Row(Counter, "hearken_archive_stored_total", None, "Messages stored, from whatever source"),
    Row(Counter, "hearken_archive_deleted_total", None, "Messages deleted by the operator"),
    Row(Counter, "hearken_archive_dropped_total", None, "Messages dropped for their age or for the archive's size"),
    Row(Counter, "hearken_archive_write_failures_total", None, "Durable writes that failed"),
    Row(Counter, "hearken_live_received_total", None, "Messages that came over the relay"),
    Row(
        Counter,
        "hearken_live_messages_total",
        Some(("outcome", &["stored", "refused", "lost"])),
        "What became of relayed and published messages",
    ),
    Row(
        Counter,
        "hearken_sync_sent_bytes_total",
        Some(("kind", &["ihave", "request", "answer", "payload"])),
        "Bytes sent by the sync protocol",
    ),
    Row(Counter, "hearken_repaired_total", None, "Messages that neighbours delivered and that were stored"),
    Row(Counter, "hearken_sync_dropped_total", None, "Announcements and streams dropped since too many came at once"),
    Row(Gauge, "hearken_peers", None, "Connected peers"),
    Row(Gauge, "hearken_sync_streams", None, "Open streams of the sync protocol"),
    Row(
        Gauge,
        "hearken_work_seconds",
        Some(("stage", &["tree", "sketch", "archive_read", "wire", "verify", "archive_write"])),
        "Time spent by stage, of all threads together, since the start",
    ),
    Row(Gauge, "hearken_uptime_seconds", None, "Time since the node was started"),
    Row(
        Counter,
        "hearken_api_requests_total",
        Some(("class", &["2xx", "3xx", "4xx", "5xx"])),
        "Requests to the HTTP interface, by class of the answer",
    ),
    Row(Gauge, "process_resident_memory_bytes", None, "Resident memory"),
    Row(Gauge, "process_open_fds", None, "Open file descriptors"),
    Row(Gauge, "process_cpu_seconds", None, "User and system CPU time spent"),
];

/// Tells the recorder of all of them.
pub(super) fn register() {
    for Row(kind, name, label, help) in TABLE {
        let series: Vec<Vec<(&'static str, &'static str)>> = match label {
            None => vec![Vec::new()],
            Some((label, values)) => values.iter().map(|value| vec![(*label, *value)]).collect(),
        };
        match kind {
            Counter => describe_counter!(*name, *help),
            Gauge | Later => describe_gauge!(*name, *help),
            Histogram => describe_histogram!(*name, *help),
        }
        for labels in series {
            match kind {
                Counter => counter!(*name, &labels).increment(0),
                Gauge => gauge!(*name, &labels).set(0.0),
                Later | Histogram => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the engine's README is this one's first part.
    #[test]
    fn every_metric_of_the_engine_is_here() {
        let readme = include_str!("../../../scheduler/README.md");
        let (_, section) = readme.split_once("## Metrics").unwrap_or_default();
        let (section, _) = section.split_once("## Figures").unwrap_or_default();
        let named = section.split('`').filter(|word| word.starts_with("hearken_"));
        let missing: Vec<&str> = named.filter(|name| !TABLE.iter().any(|row| row.1 == *name)).collect();
        assert!(section.contains("hearken_") && missing.is_empty(), "not in the table: {missing:?}");
    }
}
