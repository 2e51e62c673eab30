//! What the scenario was compared with, side by side.

use std::fmt::Write as _;

use super::{
    charts::{BROAD, SMALL, clock, count, figure},
    svg::{Axis, Chart, escape, lying_bars},
};
use crate::{
    net::real,
    run::{Outcome, SIDE_BY_SIDE, show_bytes, show_time},
};

/// Nothing if it was compared with nothing.
pub(super) fn section(body: &mut String, outcome: &Outcome) {
    if outcome.against.is_empty() {
        return;
    }
    let all: Vec<&Outcome> = std::iter::once(outcome).chain(&outcome.against).collect();
    body.push_str("<h2>Side by side</h2>");
    table(body, &all);
    body.push_str("<div class=\"charts\">");
    missing(body, &all);
    completeness(body, &all);
    background(body, &all);
    body.push_str("</div>");
}

fn table(body: &mut String, all: &[&Outcome]) {
    let columns: Vec<_> = all.iter().map(|outcome| outcome.figures()).collect();
    body.push_str("<div class=\"scroll\"><table class=\"first\">");
    for (row, name) in SIDE_BY_SIDE.iter().enumerate() {
        let cell = if row == 0 { "th" } else { "td" };
        let _ = write!(body, "<tr><{cell}>{name}</{cell}>");
        for column in &columns {
            let _ = write!(body, "<{cell}>{}</{cell}>", escape(&column[row]));
        }
        body.push_str("</tr>");
    }
    body.push_str("</table></div>");
}

fn name(outcome: &Outcome) -> String {
    format!("{}{}", outcome.protocol.label(), if outcome.mode == "real" { ", real nodes" } else { "" })
}

/// Which line is whose.
pub(super) fn key(names: &[String]) -> String {
    let mut text = "<ul class=\"legend\">".to_owned();
    for (number, name) in names.iter().enumerate() {
        let _ = write!(
            text,
            "<li><svg class=\"key\" viewBox=\"0 0 30 10\" aria-hidden=\"true\"><path class=\"curve c{number}\" d=\"M0 5L30 5\"/></svg>{}</li>",
            escape(name)
        );
    }
    text + "</ul>"
}

fn keys(all: &[&Outcome]) -> String {
    key(&all.iter().map(|outcome| name(outcome)).collect::<Vec<_>>())
}

fn missing(body: &mut String, all: &[&Outcome]) {
    let curves: Vec<Vec<(f64, f64)>> = all
        .iter()
        .map(|outcome| {
            outcome.series.at_s.iter().copied().zip(outcome.series.missing.iter().copied().map(real)).collect()
        })
        .collect();
    let most = curves.iter().flatten().map(|(_, missing)| *missing).fold(1.0, f64::max);
    let least = 0.8;
    let end = all.iter().map(|outcome| outcome.virtual_s).fold(0.0, f64::max);
    let draw = |size, class| {
        let y = Axis::logarithmic("", least, most, |many| if many < 1.0 { "none".to_owned() } else { count(many) });
        let mut chart = Chart::new("Missing copies over time, side by side", size, Axis::clock(end, clock), y);
        curves.iter().enumerate().for_each(|(number, curve)| chart.one_of(number, curve, true));
        chart.draw(class)
    };
    let caption = format!("<b>Missing copies</b> of settled messages, logarithmic; the floor is none.{}", keys(all));
    figure(body, "wide", &(draw(BROAD, "broad") + &draw(SMALL, "narrow")), &caption);
}

fn completeness(body: &mut String, all: &[&Outcome]) {
    let published = all.iter().any(|outcome| !outcome.completeness_cdf.is_empty());
    let points = |outcome: &Outcome| {
        if published { outcome.completeness_cdf.clone() } else { outcome.recovery_cdf.clone() }
    };
    let curves: Vec<Vec<(f64, f64)>> = all.iter().map(|outcome| points(outcome)).collect();
    let first = curves.iter().filter_map(|curve| curve.first()).map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
    let last = curves.iter().filter_map(|curve| curve.last()).map(|(x, _)| *x).fold(0.01, f64::max);
    let x = Axis::logarithmic("time, logarithmic", if first.is_finite() { first } else { 0.01 }, last, show_time);
    let y = Axis::exactly("", 1.0, |share| format!("{:.0} %", share * 100.0));
    let mut chart = Chart::new("Time to completeness, side by side", SMALL, x, y);
    curves.iter().enumerate().for_each(|(number, curve)| chart.one_of(number, curve, true));
    let what = if published { "messages that were everywhere" } else { "nodes that were whole again" };
    let caption = format!("<b>Time to completeness</b>: share of {what}, by time.");
    figure(body, "", &chart.draw(""), &caption);
}

fn background(body: &mut String, all: &[&Outcome]) {
    let names: Vec<String> = all.iter().map(|outcome| short(outcome)).collect();
    let values: Vec<(&str, f64)> =
        names.iter().zip(all).map(|(name, outcome)| (name.as_str(), outcome.bytes_per_node.p50)).collect();
    let drawing = lying_bars("Background bytes, side by side", &values, show_bytes);
    let caption =
        "<b>Background bytes</b> that a node sends in the whole run, p50: what it costs beside the messages it brings.";
    figure(body, "", &drawing, caption);
}

/// As it is written in a scenario: that fits beside a bar.
fn short(outcome: &Outcome) -> String {
    format!("{}{}", outcome.protocol.name(), if outcome.mode == "real" { " (real)" } else { "" })
}
