//! Everything that is counted, through the `metrics` facade. The crate's README.md has the table.
use std::{fmt::Debug, time::Duration};

use hearken_tree::GroupId;
use hearken_wire::{RefusalReason, Verdict};
use metrics::{counter, gauge, histogram};

use crate::{
    Admitted, GossipVerdict, Offence, ServeOutcome, Trigger,
    exchange::{Exchange, Purpose},
};

pub(crate) fn announcement(outcome: &'static str) {
    counter!("hearken_announcements_total", "outcome" => outcome).increment(1);
}

pub(crate) fn heard(verdict: GossipVerdict) {
    let verdict = match verdict {
        GossipVerdict::Accept => "accept",
        GossipVerdict::Ignore => "ignore",
        GossipVerdict::Reject => "reject",
    };
    counter!("hearken_announcements_heard_total", "verdict" => verdict).increment(1);
}

pub(crate) fn compared(equal: bool) {
    counter!("hearken_announcements_compared_total", "equal" => if equal { "yes" } else { "no" }).increment(1);
}

pub(crate) fn probe(trigger: Trigger) {
    counter!("hearken_probes_total", "trigger" => trigger.name()).increment(1);
}

pub(crate) fn probe_equal() {
    counter!("hearken_probes_equal_total").increment(1);
}

pub(crate) fn request(purpose: Purpose) {
    let purpose = match purpose {
        Purpose::Fetch => "fetch",
        Purpose::Probe(_) => "probe",
        Purpose::AskBack => "ask_back",
    };
    counter!("hearken_requests_total", "purpose" => purpose).increment(1);
}

#[expect(clippy::cast_precision_loss, reason = "histograms need no precision")]
pub(crate) fn finished<P>(exchange: &Exchange<P>) {
    let outcome = match (exchange.answered, exchange.incomplete) {
        (true, false) => "complete",
        (true, true) => "incomplete",
        (false, _) => "unanswered",
    };
    counter!("hearken_requests_finished_total", "outcome" => outcome).increment(1);
    if exchange.purpose == Purpose::Fetch {
        histogram!("hearken_request_round_trips").record(f64::from(exchange.depth + 1));
    }
    if exchange.received > 0 {
        let [request, answer, payload] = exchange.bytes;
        for (kind, bytes) in [("request", request), ("answer", answer), ("payload", payload)] {
            histogram!("hearken_repair_bytes", "kind" => kind).record(bytes as f64);
        }
    }
}

pub(crate) fn verdict(verdict: &Verdict) {
    let name = match verdict {
        Verdict::Outside => "outside",
        Verdict::Equal => "equal",
        Verdict::Finer(_) => "finer",
        Verdict::Deliver { .. } => "deliver",
        Verdict::TooCostly => "too_costly",
    };
    counter!("hearken_ranges_answered_total", "verdict" => name).increment(1);
}

/// What was found to differ, by a rumour or a neighbour's own word.
pub(crate) fn found(source: &'static str, ranges: usize) {
    counter!("hearken_differences_found_total", "source" => source).increment(ranges as u64);
}

pub(crate) fn unconfirmed() {
    counter!("hearken_differences_unconfirmed_total").increment(1);
}

pub(crate) fn dropped() {
    counter!("hearken_differences_dropped_total").increment(1);
}

pub(crate) fn timeout() {
    counter!("hearken_requests_timed_out_total").increment(1);
}

pub(crate) fn refused(reason: RefusalReason) {
    counter!("hearken_refusals_received_total", "reason" => reason_name(reason)).increment(1);
}

pub(crate) fn refusing(reason: RefusalReason) {
    counter!("hearken_refusals_sent_total", "reason" => reason_name(reason)).increment(1);
}

pub(crate) fn admitted(outcome: &Admitted) {
    let Admitted { stored, duplicates, refused, unasked, failed } = *outcome;
    let counts =
        [("stored", stored), ("duplicate", duplicates), ("refused", refused), ("unasked", unasked), ("failed", failed)];
    for (outcome, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        counter!("hearken_messages_received_total", "outcome" => outcome).increment(count);
    }
}

pub(crate) fn served(outcome: &ServeOutcome) {
    let (outcome, messages, bytes) = match *outcome {
        ServeOutcome::Complete { messages, bytes } => ("complete", messages, bytes),
        ServeOutcome::Stopped { messages, bytes } => ("stopped", messages, bytes),
        ServeOutcome::Failed => ("failed", 0, 0),
    };
    counter!("hearken_served_total", "outcome" => outcome).increment(1);
    counter!("hearken_served_messages_total").increment(messages);
    counter!("hearken_served_bytes_total").increment(bytes);
}

pub(crate) fn offence(offence: Offence, muted: bool) {
    let name = match offence {
        Offence::Garbage => "garbage",
        Offence::Unasked => "unasked",
        Offence::BrokenPromise => "broken_promise",
        Offence::Nonsense => "nonsense",
        Offence::Flood => "flood",
    };
    counter!("hearken_offences_total", "offence" => name).increment(1);
    counter!("hearken_peers_muted_total").increment(u64::from(muted));
}

/// What a peer's breaches have cost it. Only who has committed some is told of, so that there are few.
pub(crate) fn penalty(peer: &impl Debug, points: u32) {
    gauge!("hearken_peer_penalty_points", "peer" => format!("{peer:?}")).set(f64::from(points));
}

/// A group's state.
#[expect(clippy::cast_precision_loss, reason = "gauges need no precision")]
pub(crate) fn group(id: GroupId, staleness: Option<Duration>, ranges: usize) {
    let id = id.to_string();
    gauge!("hearken_pursuit_ranges", "group" => id.clone()).set(ranges as f64);
    if let Some(staleness) = staleness {
        gauge!("hearken_staleness_seconds", "group" => id).set(staleness.as_secs_f64());
    }
}

/// How much is under way.
#[expect(clippy::cast_precision_loss, reason = "gauges need no precision")]
pub(crate) fn load(unadmitted: usize, requests: usize, serving: usize) {
    gauge!("hearken_unadmitted_bytes").set(unadmitted as f64);
    gauge!("hearken_requests_under_way").set(requests as f64);
    gauge!("hearken_serving").set(serving as f64);
}

fn reason_name(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::Busy => "busy",
        RefusalReason::Unsupported => "unsupported",
        RefusalReason::UnknownGroup => "unknown_group",
        RefusalReason::TooCostly => "too_costly",
        RefusalReason::RateLimited => "rate_limited",
        _ => "failed",
    }
}
