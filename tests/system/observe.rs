//! What Prometheus reads, and the dashboard and alert rules that are made of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Http, Node, PATIENCE, Trace, import, turn};

const DASHBOARD: &str = include_str!("../../crates/node/ops/grafana.json");
const ALERTS: &str = include_str!("../../crates/node/ops/alerts.yaml");

/// Names of metrics in queries.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let prefixes = ["hearken_", "libp2p_", "gossipsub_", "process_"];
    words.filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix))).collect()
}

/// Names of the samples; checks that Prometheus can read all of it.
fn exported(text: &str) -> BTreeSet<&str> {
    let (mut names, mut types) = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.split(' ');
            if words.next() == Some("TYPE") {
                let name = words.next().unwrap();
                assert!(types.insert(name), "two types of {name}");
                let kind = words.next().unwrap();
                assert!(["counter", "gauge", "histogram", "summary", "untyped"].contains(&kind), "{line}");
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        names.insert(series.split('{').next().unwrap());
    }
    names
}

/// The value of a series, as it is written, if it is there.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// Reads the metrics until they show `what`.
fn until<T>(http: &Http, what: &str, shows: impl Fn(&str) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = http.get("/metrics").expect(200).body;
        if let Some(shown) = shows(&text) {
            return shown;
        }
        assert!(Instant::now() < deadline, "no sign of {what} in\n{text}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn every_metric_of_the_dashboard_and_the_rules_is_exported() {
    let _turn = turn();
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let trace = Trace::generate(40, 300);
    import(there.path(), &trace);
    let other = Node::start(there.path(), &[]);
    let node = Node::start(here.path(), &[other.address()]);
    node.repairs(trace.len());
    let http = node.http();
    let speaks = |json: &serde_json::Value| json[0]["protocols"].as_array().map(drop);
    http.until("/admin/v1/peers", "a peer", speaks);
    // The relay counts what it relays.
    let mesh = "gossipsub_mesh_peer_counts{supports_partial=\"false\",topic_hash=\"/waku/2/rs/66/0\"}";
    until(&other.http(), "the relay's mesh", |text| (value(text, mesh) == Some(1.0)).then_some(()));
    let live = json!({ "payload": "aGVsbG8=", "contentTopic": "/toy-chat/2/huilong/proto" });
    other.http().post("/relay/v1/messages/%2Fwaku%2F2%2Frs%2F66%2F0", &live).expect(200);
    until(&http, "the live message", |text| (value(text, "hearken_archive_messages") == Some(301.0)).then_some(()));
    // Some are told only once the group's next announcement is due.
    let wanted: BTreeSet<&str> = named(DASHBOARD).into_iter().chain(named(ALERTS)).collect();
    assert!(wanted.len() > 30, "{wanted:?}");
    let text = until(&http, "every metric", |text| {
        let exported = exported(text);
        wanted.iter().all(|name| exported.contains(name)).then(|| text.to_owned())
    });

    let value = |series: &str| value(&text, series).unwrap_or_else(|| panic!("no {series} in\n{text}"));
    assert!(value("hearken_repaired_total") >= 300.0);
    assert_eq!(value("hearken_archive_writable"), 1.0);
    assert_eq!(value("hearken_peers"), 1.0);
    assert!(value("hearken_work_seconds{stage=\"archive_write\"}") > 0.0);
    assert!(text.contains("libp2p_bandwidth_bytes_total{protocols=\"/ip4/tcp"), "{text}");
    assert!(value("process_resident_memory_bytes") > 1e6);
    serde_json::from_str::<serde_json::Value>(DASHBOARD).unwrap();
}
