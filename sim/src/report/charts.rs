//! What is drawn.

use std::fmt::Write as _;

use super::svg::{Axis, Chart, escape, lying_bars};
use crate::{
    net::{real, whole},
    run::{Outcome, grouped, show_bytes, show_time},
};

pub(super) const SMALL: (f64, f64) = (420.0, 220.0);
pub(super) const BROAD: (f64, f64) = (920.0, 250.0);
/// Kinds of background traffic, as they are called on the page.
const KINDS: [(&str, &str); 5] =
    [("ihave", "IHAVE"), ("probe", "probes"), ("request", "requests"), ("answer", "answers"), ("framing", "framing")];

/// A kind of bytes, for people.
pub(super) fn name_of(kind: &str) -> &str {
    let others = [("relay", "live messages"), ("relay_control", "gossip about them"), ("repair", "repaired messages")];
    KINDS.into_iter().chain(others).find(|(key, _)| *key == kind).map_or(kind, |(_, name)| name)
}

/// All charts.
pub(super) fn all(body: &mut String, outcome: &Outcome) {
    body.push_str("<div class=\"charts\">");
    missing(body, outcome);
    completeness(body, outcome);
    repairs(body, outcome);
    background(body, outcome);
    kinds(body, outcome);
    ihaves(body, outcome);
    providers(body, outcome);
    body.push_str("</div>");
}

pub(super) fn figure(body: &mut String, class: &str, drawing: &str, caption: &str) {
    let _ = write!(body, "<figure class=\"{class}\">{drawing}<figcaption>{caption}</figcaption></figure>");
}

/// Twice: broad for a screen, narrow for a phone, so that text keeps its size.
fn missing(body: &mut String, outcome: &Outcome) {
    let series = &outcome.series;
    let points: Vec<(f64, f64)> = series.at_s.iter().copied().zip(series.missing.iter().copied().map(real)).collect();
    let most = points.iter().map(|(_, missing)| *missing).fold(1.0, f64::max);
    let draw = |size, class| {
        let x = Axis::clock(outcome.virtual_s, clock);
        let mut chart = Chart::new("Missing copies over time", size, x, Axis::up_to("", most, count));
        for (number, happened) in (1..).zip(&outcome.timeline) {
            chart.mark(number, happened.at_s, happened.until_s);
        }
        chart.curve(&points, true, true);
        chart.draw(class)
    };
    let mut caption = "<b>Missing copies</b> of settled messages, in the whole network.".to_owned();
    if !outcome.timeline.is_empty() {
        caption += "<ul class=\"legend\">";
        for (number, happened) in (1..).zip(&outcome.timeline) {
            let until = happened.until_s.map_or(String::new(), |until| format!(" to {}", clock(until)));
            let what = escape(&happened.what);
            let _ = write!(caption, "<li><b>{number}</b>{what}, {}{until}</li>", clock(happened.at_s));
        }
        caption += "</ul>";
    }
    figure(body, "wide", &(draw(BROAD, "broad") + &draw(SMALL, "narrow")), &caption);
}

fn completeness(body: &mut String, outcome: &Outcome) {
    let recovering = outcome.completeness_cdf.is_empty() || outcome.completeness_s.max == 0.0;
    let (points, what) = if recovering {
        (&outcome.recovery_cdf, "Nodes whole again, by the time since they started or the network healed.")
    } else {
        (&outcome.completeness_cdf, "Messages that were everywhere, by the time since they were published.")
    };
    let first = points.first().map_or(0.01, |(seconds, _)| *seconds);
    let last = points.last().map_or(1.0, |(seconds, _)| *seconds);
    let x = if last > 20.0 * first {
        Axis::logarithmic("time, logarithmic", first, last, show_time)
    } else {
        Axis::up_to("time", last, show_time)
    };
    let mut chart = Chart::new(what, SMALL, x, Axis::exactly("", 1.0, |share| format!("{:.0} %", share * 100.0)));
    chart.curve(points, true, false);
    let caption = if points.is_empty() { "Nothing was published and nothing was missing." } else { what };
    figure(body, "", &chart.draw(""), &format!("<b>Time to completeness.</b> {caption}"));
}

fn repairs(body: &mut String, outcome: &Outcome) {
    let series = &outcome.series;
    let mut sum = 0;
    let so_far = series.at_s.iter().zip(&series.repaired).map(|(at, repaired)| {
        sum += repaired;
        (*at, real(sum))
    });
    let points: Vec<(f64, f64)> = so_far.collect();
    let (x, y) = (Axis::clock(outcome.virtual_s, clock), Axis::up_to("", real(outcome.repaired).max(1.0), count));
    let mut chart = Chart::new("Copies repaired so far", SMALL, x, y);
    chart.curve(&points, true, true);
    let trips = outcome.round_trips;
    let trips = if outcome.mode == "real" {
        String::new()
    } else {
        format!(" Round trips: {:.0} for half of them, {:.0} or less for 99 %.", trips.p50, trips.p99)
    };
    let caption = format!("<b>Copies repaired so far.</b>{trips}");
    figure(body, "", &chart.draw(""), &caption);
}

fn background(body: &mut String, outcome: &Outcome) {
    let series = &outcome.series;
    // What one sample shows jumps; a dozen shows what goes on.
    let smooth = |at: usize| {
        let some = &series.background[at.saturating_sub(5)..(at + 6).min(series.background.len())];
        some.iter().sum::<f64>() / real(some.len() as u64)
    };
    let points: Vec<(f64, f64)> = series.at_s.iter().enumerate().map(|(at, time)| (*time, smooth(at))).collect();
    let most = points.iter().map(|(_, rate)| *rate).fold(1.0, f64::max);
    let x = Axis::clock(outcome.virtual_s, clock);
    let mut chart = Chart::new("Background bytes over time", SMALL, x, Axis::up_to("", most, count));
    chart.curve(&points, false, true);
    figure(body, "", &chart.draw(""), "<b>Background bytes</b> that a node sends in a second, on average, smoothed.");
}

fn kinds(body: &mut String, outcome: &Outcome) {
    let kind = |name: &str| outcome.bytes_per_node.by_kind.get(name).copied().unwrap_or(0.0);
    let values: Vec<(&str, f64)> = KINDS.iter().map(|(key, name)| (*name, kind(key))).collect();
    let caption = format!(
        "<b>Background bytes by kind</b>, sent by a node in the whole run, on average; p99 of all together: {}. Beside them: live \
         messages {}, gossip about them {}, repaired messages {}.",
        show_bytes(outcome.bytes_per_node.p99),
        show_bytes(kind("relay")),
        show_bytes(kind("relay_control")),
        show_bytes(kind("repair"))
    );
    figure(body, "", &lying_bars("Background bytes by kind", &values, show_bytes), &caption);
}

fn ihaves(body: &mut String, outcome: &Outcome) {
    let ihaves = &outcome.ihaves_per_interval;
    let most = real(ihaves.counts.iter().copied().max().unwrap_or(1).max(4));
    let x = Axis::clock(ihaves.interval_s * real(ihaves.counts.len().max(1) as u64), clock);
    let mut chart = Chart::new("IHAVEs per interval", SMALL, x, Axis::up_to("", most, count));
    chart.bars(&ihaves.counts, |at, many| format!("{many} from {}", clock(ihaves.interval_s * real(at as u64))));
    let caption = format!(
        "<b>IHAVEs</b> published in the whole network, in each interval of {}. {} in the whole run; {} were suppressed, for \
         others had said the same.",
        show_time(ihaves.interval_s),
        grouped(ihaves.sent),
        grouped(ihaves.suppressed)
    );
    figure(body, "", &chart.draw(""), &caption);
}

fn providers(body: &mut String, outcome: &Outcome) {
    let providers = &outcome.providers;
    let most = real(providers.curve.first().copied().unwrap_or(1));
    let many = real(providers.serving.max(1));
    let mut chart = Chart::new(
        "Load of providers",
        SMALL,
        Axis::exactly("nodes that served, busiest first", many, count),
        Axis::up_to("", most, count),
    );
    chart.bars(&providers.curve, |_, served| format!("{} messages", grouped(served)));
    if providers.served > 0 {
        let mean = real(providers.served) / many;
        chart.level(mean, "mean");
    }
    let caption = format!(
        "<b>Messages served</b> to others that asked: {} by {} nodes.",
        grouped(providers.served),
        grouped(providers.serving)
    );
    figure(body, "", &chart.draw(""), &caption);
}

/// A moment of a run.
pub(super) fn clock(seconds: f64) -> String {
    let whole = whole(seconds);
    match whole {
        0..3_600 => format!("{}:{:02}", whole / 60, whole % 60),
        _ => format!("{}:{:02}:{:02}", whole / 3_600, whole / 60 % 60, whole % 60),
    }
}

/// A number that fits beside an axis.
pub(super) fn count(value: f64) -> String {
    match value {
        v if v >= 10_000_000.0 => format!("{:.0}M", v / 1e6),
        v if v >= 1_000_000.0 => format!("{:.1}M", v / 1e6),
        v if v >= 10_000.0 => format!("{:.0}k", v / 1e3),
        v if v < 10.0 && v.fract() != 0.0 => format!("{v:.1}"),
        v => grouped(whole(v)),
    }
}
