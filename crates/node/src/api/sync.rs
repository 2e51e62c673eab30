//! How things stand with what is kept equal.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use hearken::scheduler::{GroupStatus, PeerStatus};
use hearken::{GroupId, PROTOCOL, Report, Stage};
use hearken_archive::{Archive, Filter, ReadError};
use hearken_tree::{Key, KeyRange, PageError};
use libp2p::PeerId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ask::MaybeJson;
use super::refusal::{Refusal, quote};
use super::server::State;
use super::verdict::{Verdict, verdict};
use crate::node::{Neighbour, Running};

/// Spans that a group's window is shown in.
const SPANS: u64 = 60;

/// How a group stands, with what its archive holds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Group {
    pub(super) id: String,
    pub(super) pubsub_topic: String,
    content_topics: BTreeSet<String>,
    /// What is compared now.
    window: Times,
    /// Messages of the group, in the window or not.
    messages: u64,
    /// Messages in the window.
    pub(super) count: u64,
    /// Digest of the messages in the window.
    root: String,
    /// How long ago a neighbour was last known to hold the same.
    pub(super) last_equal_seconds: Option<f64>,
    /// Age of what was known to be equal then.
    staleness_seconds: Option<f64>,
    /// Ranges that differ and are being pursued.
    pub(super) differences: usize,
    /// Messages that may be missing in them.
    pub(super) missing: u64,
    repaired: u64,
    /// Time between announcements.
    pub(super) interval_seconds: f64,
    probes: Vec<Probes>,
    /// The window, cut into equal times, and last what is too young to be compared.
    spans: Vec<Span>,
    neighbours: Vec<Agreement>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Probes {
    trigger: &'static str,
    count: u64,
    seconds_ago: f64,
}

#[derive(Serialize)]
struct Times {
    from: String,
    to: String,
}

#[derive(Serialize)]
struct Span {
    #[serde(flatten)]
    times: Times,
    count: u64,
    /// Whether some difference here is being pursued.
    differs: bool,
}

/// What is known of a neighbour, span by span.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Agreement {
    peer: String,
    equal_seconds_ago: Option<f64>,
    /// Of each span `=` equal, `x` differs, `?` not known, `-` not held there, `~` too young to be compared.
    spans: String,
}

/// A part of the group's window, as keys.
struct Part {
    range: KeyRange,
    count: u64,
    settled: bool,
}

/// Everything, as JSON.
pub(super) async fn state(Extract(state): Extract<State>) -> Result<Json<Value>, Refusal> {
    overview(&state).await.map(Json)
}

/// The same as a value.
pub(super) async fn overview(state: &State) -> Result<Value, Refusal> {
    let node = state.node.running().ok_or_else(Refusal::stopped)?;
    let report = node.sync().report().await.ok_or_else(|| Refusal::unavailable("too many ask at once: try again"))?;
    let now = node.clock().now();
    let (groups, neighbours) = (groups(&node, &report, now).await?, node.neighbours());
    let Verdict { whole, sentence } = verdict(&state.settings.current(), &node, &groups, &neighbours);
    let (live, sync, stats, trouble) = (node.live(), node.sync().status(), node.stats(), node.trouble());
    Ok(json!({
        "whole": whole,
        "verdict": sentence,
        "now": time(now),
        "paused": state.settings.current().paused,
        "node": {
            "peerId": node.peer_id().to_string(),
            "version": env!("CARGO_PKG_VERSION"),
            "uptimeSeconds": node.started().elapsed().as_secs(),
            "listenAddresses": node.listening().iter().map(ToString::to_string).collect::<Vec<_>>(),
        },
        "archive": {
            "messages": stats.messages,
            "bytes": stats.bytes,
            "writable": trouble.is_none(),
            "trouble": trouble.map(|trouble| trouble.reason),
        },
        "live": {
            "received": live.received, "stored": live.stored, "refused": live.refused, "lost": live.lost,
            "last": node.seen().into_iter().map(|seen| json!({
                "time": time(seen.at),
                "pubsubTopic": seen.pubsub_topic,
                "contentTopic": seen.content_topic,
                "bytes": seen.size,
            })).collect::<Vec<_>>(),
        },
        "sync": {
            "repaired": sync.repaired, "refused": sync.refused, "duplicates": sync.duplicates, "failed": sync.failed,
            "served": sync.served, "exchanges": sync.exchanges,
            "announcements": sync.announcements, "heard": sync.heard,
            "sentBytes": {
                "ihave": sync.bytes.ihave, "request": sync.bytes.request,
                "answer": sync.bytes.answer, "payload": sync.bytes.payload,
            },
        },
        "work": work(&node),
        "groups": groups,
        "peers": peers(&neighbours, &report),
        "repairs": repairs(&node),
    }))
}

/// What the time went to: seconds of each stage, and its share of all.
fn work(node: &Running) -> Value {
    let work = node.work();
    let all: f64 = work.iter().map(|(_, spent)| spent.as_secs_f64()).sum();
    let stage = |(stage, spent): (Stage, Duration)| {
        let seconds = spent.as_secs_f64();
        (stage.name().to_owned(), json!({ "seconds": seconds, "share": if all > 0.0 { seconds / all } else { 0.0 } }))
    };
    Value::Object(work.into_iter().map(stage).collect())
}

/// The last repairs, newest first.
fn repairs(node: &Running) -> Vec<Value> {
    let repair = |repair: crate::node::Repair| {
        let admitted = repair.admitted;
        json!({
            "time": time(repair.at),
            "group": repair.group.to_string(),
            "stored": admitted.stored,
            "duplicates": admitted.duplicates,
            "refused": admitted.refused,
            "unasked": admitted.unasked,
            "failed": admitted.failed,
        })
    };
    node.repairs().into_iter().map(repair).collect()
}

/// Peers that are connected, or have something on record.
fn peers(neighbours: &[Neighbour], report: &Report) -> Vec<Value> {
    let mut ids: BTreeSet<PeerId> = neighbours.iter().map(|neighbour| neighbour.peer).collect();
    ids.extend(report.peers.iter().map(|status| status.peer));
    let peer = |id: PeerId| {
        let neighbour = neighbours.iter().find(|neighbour| neighbour.peer == id);
        let status = report.peers.iter().find(|status| status.peer == id);
        json!({
            "peer": id.to_string(),
            "connected": neighbour.is_some(),
            "address": neighbour.map(|neighbour| neighbour.address.to_string()),
            "agent": neighbour.map(|neighbour| neighbour.agent.clone()),
            "dialled": neighbour.map(|neighbour| neighbour.dialled),
            "connectedSeconds": neighbour.map(|neighbour| neighbour.since.elapsed().as_secs()),
            "synchronises": neighbour.map(synchronises),
            "penaltyPoints": status.map_or(0, |status| status.points),
            "mutedSeconds": status.and_then(|status| status.muted_for).map(|muted| muted.as_secs()),
            "asking": status.map_or(0, |status| status.asking),
            "serving": status.map_or(0, |status| status.serving),
            "groups": status.map(announced).unwrap_or_default(),
        })
    };
    ids.into_iter().map(peer).collect()
}

/// Whether the peer says that it speaks the sync protocol.
pub(super) fn synchronises(neighbour: &Neighbour) -> bool {
    neighbour.protocols.iter().any(|protocol| protocol == PROTOCOL)
}

/// What a peer announced of each group.
fn announced(status: &PeerStatus<PeerId>) -> Vec<Value> {
    let group = |group: &hearken::scheduler::PeerGroupStatus| {
        json!({
            "group": group.id.to_string(),
            "holds": group.holds.map(|holds| Times { from: time(holds.from), to: time(holds.to) }),
            "equalSecondsAgo": group.equal.map(|(_, ago)| ago.as_secs_f64()),
            "differences": group.differs.len(),
        })
    };
    status.groups.iter().map(group).collect()
}

async fn groups(node: &Running, report: &Report, now: u64) -> Result<Vec<Group>, Refusal> {
    let (archive, report) = (node.archive().clone(), report.clone());
    let work = move || {
        let filters = archive.groups().into_iter();
        let known = filters.filter_map(|filter| {
            let status = report.groups.iter().find(|status| status.id == filter.group())?;
            Some(group(&*archive, filter, status, &report.peers, now))
        });
        known.collect::<Result<Vec<_>, _>>()
    };
    tokio::task::spawn_blocking(work).await.map_err(Refusal::failed)?.map_err(Refusal::failed)
}

/// Reads what the archive holds of the group. A few index pages for each span.
fn group(
    archive: &dyn Archive,
    filter: Filter,
    status: &GroupStatus,
    peers: &[PeerStatus<PeerId>],
    now: u64,
) -> Result<Group, ReadError> {
    let kept = archive.view(&status.id)?.kept;
    let window = status.window;
    let fingerprint = kept.fingerprint(&window.keys())?;
    let parts = parts(window.from, window.to, now, |range| kept.count(range))?;
    let overlaps = |ranges: &[KeyRange], part: &Part| ranges.iter().any(|r| r.intersection(&part.range).is_some());
    let span = |part: &Part| Span {
        times: Times { from: time(part.range.start().timestamp()), to: time(part.range.end().timestamp()) },
        count: part.count,
        differs: overlaps(&status.differing, part),
    };
    let told = |trigger: &(&'static str, u64, Duration)| Probes {
        trigger: trigger.0,
        count: trigger.1,
        seconds_ago: trigger.2.as_secs_f64(),
    };
    Ok(Group {
        id: status.id.to_string(),
        pubsub_topic: filter.pubsub_topic,
        content_topics: filter.content_topics,
        window: Times { from: time(window.from), to: time(window.to) },
        messages: kept.len(),
        count: fingerprint.count,
        root: fingerprint.digest.to_string(),
        last_equal_seconds: status.equal_ago.map(|ago| ago.as_secs_f64()),
        staleness_seconds: status.staleness.map(|staleness| staleness.as_secs_f64()),
        differences: status.differences,
        missing: status.missing,
        repaired: status.repaired,
        interval_seconds: status.interval.as_secs_f64(),
        probes: status.probes.iter().map(told).collect(),
        spans: parts.iter().map(span).collect(),
        neighbours: peers.iter().filter_map(|peer| agreement(peer, status.id, &parts)).collect(),
    })
}

/// The window in equal times, and what is younger.
fn parts(
    from: u64,
    to: u64,
    now: u64,
    count: impl Fn(&KeyRange) -> Result<u64, PageError>,
) -> Result<Vec<Part>, PageError> {
    let part = |from: u64, to: u64, settled: bool| {
        let range = KeyRange::between(from, to);
        Ok(Part { range, count: count(&range)?, settled })
    };
    let step = ((to - from) / SPANS).max(1);
    let cut = |place: u64| if place == SPANS { to } else { (from + step * place).min(to) };
    let mut parts = (0..SPANS).map(|place| part(cut(place), cut(place + 1), true)).collect::<Result<Vec<_>, _>>()?;
    if now > to {
        parts.push(part(to, now, false)?);
    }
    Ok(parts)
}

/// What a peer said of the group; `None` if it said nothing.
fn agreement(status: &PeerStatus<PeerId>, id: GroupId, parts: &[Part]) -> Option<Agreement> {
    let group = status.groups.iter().find(|group| group.id == id).filter(|_| status.connected)?;
    let held = group.holds.map(|holds| holds.keys());
    let state = |part: &Part| {
        let meets = |range: &KeyRange| range.intersection(&part.range).is_some();
        if !part.settled {
            '~'
        } else if group.differs.iter().any(meets) {
            'x'
        } else if group.equal.as_ref().is_some_and(|(equal, _)| covers(equal, &part.range)) {
            '='
        } else if held.as_ref().is_some_and(|held| !meets(held)) {
            '-'
        } else {
            '?'
        }
    };
    Some(Agreement {
        peer: status.peer.to_string(),
        equal_seconds_ago: group.equal.map(|(_, ago)| ago.as_secs_f64()),
        spans: parts.iter().map(state).collect(),
    })
}

/// Whether what was found equal reaches over the part, but for its first moments: windows move on.
fn covers(equal: &KeyRange, part: &KeyRange) -> bool {
    let middle = part.start().timestamp().midpoint(part.end().timestamp());
    equal.start() <= Key::at(middle) && part.end() <= equal.end()
}

/// RFC 3339, to the millisecond.
pub(super) fn time(unix_nanos: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(unix_nanos);
    humantime::format_rfc3339_millis(time).to_string()
}

/// Which group is to be compared now.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Now {
    /// A group's name or its pubsub topic; left out: all of them.
    group: Option<String>,
}

/// Asks a neighbour at once whether it holds the same.
pub(super) async fn now(
    Extract(state): Extract<State>,
    MaybeJson(body): MaybeJson<Now>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let node = state.node.running().ok_or_else(Refusal::stopped)?;
    let wanted = body.and_then(|body| body.group);
    let filters = node.archive().groups().into_iter();
    let is_wanted = |filter: &Filter| {
        wanted.as_ref().is_none_or(|wanted| *wanted == filter.pubsub_topic || *wanted == filter.group().to_string())
    };
    let groups: Vec<GroupId> = filters.filter(is_wanted).map(|filter| filter.group()).collect();
    if let (true, Some(wanted)) = (groups.is_empty(), wanted) {
        let message = "expected in the field group the name or the pubsub topic of a group that is kept here, found";
        return Err(Refusal::missing(format!("{message} {}", quote(&wanted))));
    }
    groups.iter().for_each(|group| node.sync().sync_now(*group));
    let named: Vec<String> = groups.iter().map(ToString::to_string).collect();
    Ok((StatusCode::ACCEPTED, Json(json!({ "groups": named }))))
}
