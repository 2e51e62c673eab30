//! The page of a sweep: what each combination costs and brings, and which to choose.

use std::fmt::Write as _;

use super::{
    charts::{BROAD, SMALL, count, figure},
    compare::key,
    document,
    svg::{Axis, Chart, escape},
};
use crate::run::{
    show_time,
    sweep::{Point, Sweep},
};

/// One self-contained page.
pub(crate) fn page(sweep: &Sweep, replay: &str) -> String {
    let json = serde_json::to_string(sweep).unwrap_or_default().replace("</", "<\\/");
    let title = escape(&sweep.title);
    let mut body = format!("<h1>{title}</h1>");
    let over: Vec<String> = sweep.over.iter().map(|o| format!("{} = {}", o.key, o.values.join(", "))).collect();
    let _ = write!(
        body,
        "<p class=\"soft\">{} combinations of {}; {} seeds each.</p>",
        sweep.points.len(),
        escape(&over.join(" and ")),
        sweep.seeds
    );
    let bad = if sweep.recommended.is_some() { "" } else { " bad" };
    let _ = write!(body, "<p class=\"verdict{bad}\">{}</p>", escape(&sweep.recommendation));
    body.push_str("<div class=\"charts\">");
    trade(&mut body, sweep);
    body.push_str("</div>");
    table(&mut body, sweep);
    let _ = write!(body, "<h2>The same again</h2><pre>{}</pre>", escape(replay));
    let _ = write!(body, "<p class=\"soft\">hearken-sim {}</p>", env!("CARGO_PKG_VERSION"));
    document(&title, &body, "sweep", &json)
}

/// Combinations that differ in the first setting only make a line.
fn lines(sweep: &Sweep) -> Vec<(String, Vec<&Point>)> {
    let mut lines: Vec<(String, Vec<&Point>)> = Vec::new();
    for point in &sweep.points {
        let rest: Vec<String> = sweep
            .over
            .iter()
            .zip(&point.values)
            .skip(1)
            .map(|(over, value)| format!("{} = {value}", over.key))
            .collect();
        let name = rest.join(", ");
        match lines.iter_mut().find(|(other, _)| *other == name) {
            Some((_, points)) => points.push(point),
            None => lines.push((name, vec![point])),
        }
    }
    lines
}

fn trade(body: &mut String, sweep: &Sweep) {
    let lines = lines(sweep);
    let whole: Vec<(f64, f64)> =
        sweep.points.iter().filter_map(|point| Some((point.background, point.staleness_s?))).collect();
    let range = |get: fn(&(f64, f64)) -> f64| {
        let values = whole.iter().map(get);
        (values.clone().fold(f64::INFINITY, f64::min), values.fold(0.0, f64::max))
    };
    let ((least, most), (_, stale)) = (range(|point| point.0), range(|point| point.1));
    let draw = |size, class| {
        let x = if most > 8.0 * least && least.is_finite() {
            Axis::logarithmic("background bytes a second and node, logarithmic", least, most, count)
        } else {
            Axis::up_to("background bytes a second and node", most, count)
        };
        let mut chart = Chart::new("Staleness against bytes", size, x, Axis::up_to("", stale, show_time));
        for (number, (_, points)) in lines.iter().enumerate() {
            let mut at: Vec<(f64, f64)> =
                points.iter().filter_map(|point| Some((point.background, point.staleness_s?))).collect();
            at.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            chart.one_of(number, &at, false);
            for point in points {
                let Some(staleness) = point.staleness_s else { continue };
                let place = (point.background, staleness);
                let tip =
                    format!("{}: {} at {:.0} B/s", point.values.join(", "), show_time(staleness), point.background);
                chart.dot(number, place, &tip, best(sweep, point));
                // One line is named; those beside it have their points in the same order.
                if number == 0 || lines.len() <= 2 {
                    chart.word(place, point.values.first().map_or("", String::as_str), number == 0);
                }
            }
        }
        chart.draw(class)
    };
    let names: Vec<String> = lines.iter().map(|(name, _)| name.clone()).collect();
    let legend = if names.len() > 1 { key(&names) } else { String::new() };
    let first = sweep.over.first().map_or("", |over| over.key.as_str());
    let caption = format!(
        "<b>Staleness against bytes</b>: within how long 99 % of the messages were everywhere, and what that cost. Lines go along \
         {}; a ring is what is recommended. Left and low is good.{legend}",
        escape(first)
    );
    figure(body, "wide", &(draw(BROAD, "broad") + &draw(SMALL, "narrow")), &caption);
}

fn best(sweep: &Sweep, point: &Point) -> bool {
    let Some(recommended) = &sweep.recommended else { return false };
    let chosen = sweep.over.iter().zip(&point.values).filter(|(over, _)| Sweep::can_choose(&over.key));
    chosen.map(|(_, value)| value).eq(recommended)
}

fn table(body: &mut String, sweep: &Sweep) {
    body.push_str("<h2>Figures</h2><div class=\"scroll\"><table><tr>");
    for over in &sweep.over {
        let _ = write!(body, "<th>{}</th>", escape(&over.key));
    }
    body.push_str(
        "<th>99 % everywhere, median</th><th>worst seed</th><th>B/s a node</th><th>IHAVEs an interval</th>\
         <th>bytes to find one</th><th>repaired</th><th>whole</th></tr>",
    );
    let time = |time: Option<f64>| time.map_or("never".to_owned(), show_time);
    for point in &sweep.points {
        body.push_str("<tr>");
        for value in &point.values {
            let mark = if best(sweep, point) { " class=\"ok\"" } else { "" };
            let _ = write!(body, "<td{mark}>{}</td>", escape(value));
        }
        let _ = write!(
            body,
            "<td>{}</td><td>{}</td><td>{:.0}</td><td>{:.1}</td><td>{:.1}</td><td>{:.0}</td><td>{} of {}</td></tr>",
            time(point.staleness_s),
            time(point.staleness_worst_s),
            point.background,
            point.ihaves,
            point.bytes_per_repair,
            point.repaired,
            point.converged,
            sweep.seeds
        );
    }
    body.push_str("</table></div>");
}
