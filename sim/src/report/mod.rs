//! The page: one file, nothing from elsewhere, to be read on a screen, a phone or paper.

mod charts;
mod compare;
mod svg;
mod sweep;

use std::fmt::Write as _;

use crate::{
    run::{Outcome, Quantiles, grouped, show_bytes, show_time},
    scenario::{LatencyModel, Protocol, Scenario, Topology},
};
use svg::escape;
pub(crate) use sweep::page as sweep_page;

const STYLE: &str = include_str!("style.css");

/// One self-contained page. It carries the JSON of the outcome, so that what is drawn can be checked and drawn anew.
pub(crate) fn page(scenario: &Scenario, outcome: &Outcome, replay: &str) -> String {
    let json = serde_json::to_string(outcome).unwrap_or_default().replace("</", "<\\/");
    let title = escape(&scenario.title);
    let mut body = String::new();
    head(&mut body, scenario, outcome);
    facts(&mut body, outcome);
    charts::all(&mut body, outcome);
    compare::section(&mut body, outcome);
    checks(&mut body, outcome);
    figures(&mut body, outcome);
    setting(&mut body, scenario, outcome);
    let _ = write!(body, "<h2>The same run again</h2><pre>{}</pre>", escape(replay));
    let _ = write!(
        body,
        "<p class=\"soft\">hearken-sim {}, seed {}{}; {} events in {} of wall time.</p>",
        env!("CARGO_PKG_VERSION"),
        outcome.seed,
        // Real nodes never do quite the same again.
        if outcome.mode == "real" { String::new() } else { format!(", trace {}", outcome.trace_hash) },
        grouped(outcome.events),
        show_time(outcome.wall_s)
    );
    nodes(&mut body, outcome);
    whole_scenario(&mut body, scenario);
    document(&title, &body, "outcome", &json)
}

/// A whole file. It carries what it shows as JSON.
fn document(title: &str, body: &str, id: &str, json: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <link rel=\"icon\" href=\"data:,\"><title>{title}</title><style>{STYLE}</style></head>\
         <body><main>{body}</main><script type=\"application/json\" id=\"{id}\">{json}</script></body></html>\n"
    )
}

fn head(body: &mut String, scenario: &Scenario, outcome: &Outcome) {
    let bad = if outcome.passed { "" } else { " bad" };
    let (title, about) = (escape(&scenario.title), with_code(&escape(&scenario.description)));
    let _ = write!(body, "<h1>{title}</h1><p class=\"soft\">{about}</p>");
    let _ = write!(body, "<p class=\"verdict{bad}\">{}</p>", escape(&outcome.sentence()));
}

/// What stands between backticks is code.
fn with_code(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }).collect()
}

fn facts(body: &mut String, outcome: &Outcome) {
    let mut facts = vec![
        (grouped(outcome.nodes as u64), "nodes"),
        (grouped(outcome.messages), "messages"),
        (grouped(outcome.repaired), "copies repaired"),
        (grouped(outcome.missing_at_end), "missing at the end"),
        (show_time(outcome.completeness_s.p99), "to be everywhere, p99"),
        (format!("{:.0} B/s", outcome.background_bytes_per_s.p50), "background a node, p50"),
        (format!("{:.1}", outcome.ihaves_per_interval.mean), "IHAVEs an interval"),
    ];
    if outcome.repaired > 0 && outcome.mode == "virtual" {
        facts.push((format!("{:.0}", outcome.round_trips.p50), "round trips, p50"));
    }
    body.push_str("<div class=\"facts\">");
    for (value, name) in facts {
        let _ = write!(body, "<div class=\"fact\"><b>{value}</b><span>{name}</span></div>");
    }
    body.push_str("</div>");
}

fn checks(body: &mut String, outcome: &Outcome) {
    body.push_str("<h2>What was expected</h2><div class=\"scroll\"><table class=\"text\"><tr><th>expectation</th><th>expected</th><th>found</th><th></th></tr>");
    for check in &outcome.checks {
        let (class, mark) = if check.ok { ("ok", "met") } else { ("failed", "not met") };
        let (name, expected, found) = (check.name, escape(&check.expected), escape(&check.found));
        let _ = write!(
            body,
            "<tr><td>{name}</td><td>{expected}</td><td>{found}</td><td class=\"{class}\">{mark}</td></tr>"
        );
    }
    body.push_str("</table></div>");
}

fn figures(body: &mut String, outcome: &Outcome) {
    let times = |q: Quantiles| [q.p50, q.p99, q.max].map(show_time);
    let numbers = |q: Quantiles| [q.p50, q.p99, q.max].map(|value| format!("{value:.0}"));
    let rows = [
        ("message everywhere after", times(outcome.completeness_s)),
        ("copy brought by gossip after", times(outcome.live_s)),
        ("copy repaired after", times(outcome.repair_s)),
        ("node whole again after", times(outcome.recovery_s)),
        ("background bytes a node and second", numbers(outcome.background_bytes_per_s)),
        ("round trips of a repair", numbers(outcome.round_trips)),
    ];
    // Real nodes do not say which request led to which; where nobody had to become whole, nobody did.
    let told = |name: &str| match name {
        "round trips of a repair" => outcome.mode != "real",
        "node whole again after" => outcome.recovery_s.max > 0.0,
        _ => true,
    };
    let rows = rows.into_iter().filter(|(name, _)| told(name));
    body.push_str(
        "<h2>Figures</h2><div class=\"scroll\"><table><tr><th></th><th>p50</th><th>p99</th><th>max</th></tr>",
    );
    for (name, [p50, p99, max]) in rows {
        let _ = write!(body, "<tr><td>{name}</td><td>{p50}</td><td>{p99}</td><td>{max}</td></tr>");
    }
    for (kind, sent) in &outcome.bytes_per_node.spread_by_kind {
        let [p50, p99, max] = [sent.p50, sent.p99, sent.max].map(show_bytes);
        let kind = charts::name_of(kind);
        let _ = write!(body, "<tr><td>a node sent: {kind}</td><td>{p50}</td><td>{p99}</td><td>{max}</td></tr>");
    }
    body.push_str("</table></div>");
    let _ = write!(
        body,
        "<p class=\"soft\">Finding a missing message took {:.1} bytes of requests and answers. Each repaired message was \
         received {:.3} times, each live one {:.2} times. The busiest provider served {:.1} % of what was served.</p>",
        outcome.bytes_per_repair,
        outcome.redundancy,
        outcome.relay_redundancy,
        100.0 * outcome.providers.busiest_share
    );
}

/// The network and the settings that matter most.
fn setting(body: &mut String, scenario: &Scenario, outcome: &Outcome) {
    let (network, sync, gossip) = (&scenario.network, &scenario.sync, &scenario.gossipsub);
    let show = |time| humantime::format_duration(time).to_string();
    let latency = match network.latency_model {
        LatencyModel::Regions => {
            let source = if network.round_trips_ms.is_empty() { "assumed, not measured" } else { "from the scenario" };
            format!("by region ({}), {source}", scenario.region_names().join(", "))
        }
        model => format!("{}, {}", format!("{model:?}").to_lowercase(), show(network.latency)),
    };
    let upload = if network.upload.0 == 0 { "without bound".to_owned() } else { format!("{}/s", network.upload) };
    let traffic = format!(
        "{} messages/s of {} to {}, {} in the stores at the beginning",
        scenario.traffic.rate,
        scenario.traffic.size,
        scenario.traffic.size_max.unwrap_or(scenario.traffic.size),
        grouped(scenario.traffic.stored)
    );
    let kept = match outcome.protocol {
        Protocol::Hearken | Protocol::None => outcome.protocol.label().to_owned(),
        protocol => format!("{}, every {}", protocol.label(), show(scenario.polling().interval)),
    };
    let topology = match network.topology {
        Topology::Random => format!("{} nodes, random, degree {}", network.nodes, network.degree),
        topology => format!("{} nodes, {}", network.nodes, format!("{topology:?}").to_lowercase()),
    };
    let rows = [
        ("stores kept equal by", format!("{kept}, {} nodes", outcome.mode)),
        ("network", topology),
        ("latency, one way", latency),
        ("upload of a node", upload),
        (
            "live deliveries lost",
            format!("{} % for good, {} % of transmissions", gossip.delivery_loss * 100.0, network.loss * 100.0),
        ),
        ("gossipsub", format!("mesh_n {}, {} to {}", gossip.mesh_n, gossip.mesh_n_low, gossip.mesh_n_high)),
        ("traffic", traffic),
        ("events", format!("{}", scenario.events.len())),
        ("intervals", format!("{} to {}", show(sync.interval_min), show(sync.interval_max))),
        ("settle delay, window", format!("{}, {}", show(sync.settle_delay), show(sync.window))),
        ("redundancy", format!("{} equal, {} of any", sync.redundancy, sync.redundancy_any)),
        (if outcome.mode == "real" { "time" } else { "virtual time" }, show(scenario.duration)),
    ];
    body.push_str("<h2>Network and settings</h2><div class=\"scroll\"><table class=\"text\">");
    for (name, value) in rows {
        let _ = write!(body, "<tr><td>{name}</td><td>{}</td></tr>", escape(&value));
    }
    body.push_str("</table></div>");
}

fn nodes(body: &mut String, outcome: &Outcome) {
    let some = if outcome.node_table.len() < outcome.nodes { ", those that served and repaired most" } else { "" };
    let _ = write!(
        body,
        "<details><summary>{} nodes{some}</summary><div class=\"scroll\"><table>",
        outcome.node_table.len()
    );
    body.push_str("<tr><th>node</th><th>up</th><th>live</th><th>repaired</th><th>served</th><th>IHAVEs</th><th>background</th><th>sent</th></tr>");
    for row in &outcome.node_table {
        let cells = [grouped(row.live), grouped(row.repaired), grouped(row.served), grouped(row.announced)];
        let bytes = [row.background, row.sent].map(|bytes| show_bytes(crate::net::real(bytes)));
        let up = if row.up { "yes" } else { "no" };
        let _ = write!(body, "<tr><td>{}</td><td>{up}</td>", row.node);
        for cell in cells.iter().chain(&bytes) {
            let _ = write!(body, "<td>{cell}</td>");
        }
        body.push_str("</tr>");
    }
    body.push_str("</table></div></details>");
}

fn whole_scenario(body: &mut String, scenario: &Scenario) {
    let text = toml::to_string(scenario).unwrap_or_else(|error| format!("the scenario cannot be written: {error}"));
    let _ = write!(
        body,
        "<details><summary>The whole scenario, with every default</summary><pre>{}</pre></details>",
        escape(&text)
    );
}
