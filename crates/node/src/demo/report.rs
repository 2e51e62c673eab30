use std::time::Duration;

use hearken::{Status, Traffic};
use libp2p::PeerId;
use serde::Serialize;

use super::Settings;
use super::plan::{Plan, Role};
use super::screen::{Screen, grouped, size};
use super::verify::Verdict;
use super::watch::Watched;
use crate::node::LiveStatus;

/// What came of a demonstration. As JSON, for programs; [`Report::print`] tells people, and more.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How many nodes.
    pub nodes: usize,
    /// Messages of the history and live ones.
    pub messages: u64,
    /// Whether every archive holds exactly these messages, and nothing came that the admission predicate refuses.
    pub converged: bool,
    /// How long it took.
    pub seconds: Seconds,
    /// Messages that neighbours delivered and that were stored.
    pub repaired: u64,
    /// Messages that neighbours delivered although they were held.
    pub duplicates: u64,
    /// What the nodes sent each other for it.
    pub bytes: Bytes,
    /// Requests sent.
    pub exchanges: u64,
    /// Node by node.
    pub per_node: Vec<NodeReport>,
    /// What is only told to people.
    #[serde(skip)]
    details: Details,
}

/// How long it took, in seconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Seconds {
    /// Until the history was stored durably in all archives.
    pub load: f64,
    /// From going online until every node held all of the history; while live messages were flowing.
    pub repair: f64,
    /// All in all.
    pub total: f64,
}

/// Bytes sent, by kind.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Bytes {
    /// Announcements, once each.
    pub ihave: u64,
    /// Requests.
    pub request: u64,
    /// Answers.
    pub answer: u64,
    /// Messages.
    pub payload: u64,
}

/// A node at the end.
#[derive(Clone, Debug, Serialize)]
pub struct NodeReport {
    /// Digest of all its messages.
    pub root: String,
    /// How many.
    pub count: u64,
    /// How many of them neighbours delivered.
    pub repaired: u64,
}

#[derive(Clone, Debug)]
struct Details {
    nodes: Vec<NodeDetails>,
    history: Option<Duration>,
    after_live: Option<Duration>,
    live: usize,
    refused: u64,
    memory: Option<u64>,
}

#[derive(Clone, Debug)]
struct NodeDetails {
    peer: PeerId,
    start: String,
    live: LiveStatus,
    verdict: Verdict,
    sent: Traffic,
}

impl Report {
    pub(super) fn new(
        settings: &Settings,
        plan: &Plan,
        statuses: &[(PeerId, Status, LiveStatus)],
        verdicts: Vec<Verdict>,
        watched: &Watched,
        [load, total]: [Duration; 2],
    ) -> Report {
        let sum = |count: fn(&Status) -> u64| statuses.iter().map(|(_, status, _)| count(status)).sum();
        let refused = sum(|status| status.refused + status.unasked);
        let history: u64 = (0..settings.nodes).map(|node| plan.count(node) as u64).max().unwrap_or_default();
        let messages = verdicts.iter().map(|verdict| verdict.count + verdict.missing - verdict.extra).max();
        let same_root = verdicts.windows(2).all(|pair| pair.first().map(|v| v.root) == pair.last().map(|v| v.root));
        let all_sent = watched.published.len() == settings.live;
        let per_node = statuses.iter().zip(&verdicts).map(|((_, status, _), verdict)| NodeReport {
            root: hex(&verdict.root.digest.0),
            count: verdict.count,
            repaired: status.repaired,
        });
        let details =
            statuses.iter().zip(&verdicts).enumerate().map(|(node, ((peer, status, live), verdict))| NodeDetails {
                peer: *peer,
                start: match Role::of(node, settings.nodes) {
                    Role::Empty => "nothing".to_owned(),
                    _ => grouped(plan.count(node) as u64),
                },
                live: *live,
                verdict: verdict.clone(),
                sent: status.bytes,
            });
        Report {
            nodes: settings.nodes,
            messages: messages.unwrap_or(history),
            converged: verdicts.iter().all(Verdict::is_exact) && same_root && all_sent && refused == 0,
            seconds: Seconds {
                load: load.as_secs_f64(),
                repair: watched.history.unwrap_or(settings.timeout).as_secs_f64(),
                total: total.as_secs_f64(),
            },
            repaired: sum(|status| status.repaired),
            duplicates: sum(|status| status.duplicates),
            bytes: Bytes {
                ihave: sum(|status| status.bytes.ihave),
                request: sum(|status| status.bytes.request),
                answer: sum(|status| status.bytes.answer),
                payload: sum(|status| status.bytes.payload),
            },
            exchanges: sum(|status| status.exchanges),
            per_node: per_node.collect(),
            details: Details {
                nodes: details.collect(),
                history: watched.history,
                after_live: watched.after_live,
                live: watched.published.len(),
                refused,
                memory: peak_memory(),
            },
        }
    }

    /// Tells people.
    pub fn print(&self, screen: &Screen) {
        screen.say("");
        screen.say(
            "node  peer          at start   by relay   repaired       held  root      sent       against the trace",
        );
        for (node, (report, details)) in self.per_node.iter().zip(&self.details.nodes).enumerate() {
            let (peer, root) = (details.peer.to_string(), &report.root);
            screen.say(&format!(
                "{node:>4}  ..{}  {:>9}  {:>9}  {:>9}  {:>9}  {}  {:>9}  {}",
                tail(&peer, 8),
                details.start,
                grouped(details.live.stored),
                grouped(report.repaired),
                grouped(report.count),
                root.get(..8).unwrap_or(root),
                size(details.sent.total()),
                against(&details.verdict)
            ));
        }
        screen.say("");
        self.print_summary(screen);
    }

    fn print_summary(&self, screen: &Screen) {
        let Seconds { load, repair, total } = self.seconds;
        let Details { history, after_live, live, refused, memory, .. } = &self.details;
        let not = |done: bool| if done { "" } else { "NOT " };
        screen.say(&format!(
            "history  loaded durably in {load:.1} s, {}repaired in {repair:.1} s",
            not(history.is_some())
        ));
        screen.say(&match after_live {
            Some(after) => {
                let after = after.as_secs_f64();
                format!("live     {live} messages sent; all nodes held all of them {after:.1} s after the last one")
            }
            None => format!("live     {live} messages sent; NOT all nodes hold all of them"),
        });
        screen.say(&format!(
            "repair   {} messages in {} exchanges; {} received twice ({:.2} %), {refused} refused",
            grouped(self.repaired),
            grouped(self.exchanges),
            grouped(self.duplicates),
            percent(self.duplicates, self.repaired)
        ));
        let Bytes { ihave, request, answer, payload } = self.bytes;
        let [ihave, request, answer, payload] = [ihave, request, answer, payload].map(size);
        screen.say(&format!("sent     ihave {ihave}, request {request}, answer {answer}, payload {payload}"));
        if let Some(memory) = memory {
            screen.say(&format!("memory   {} at most, all nodes together", size(*memory)));
        }
        screen.say(&format!("total    {total:.1} s"));
        screen.say("");
        let (nodes, messages) = (self.nodes, grouped(self.messages));
        screen.say(&match self.converged {
            true => format!("All {nodes} nodes hold exactly the same {messages} messages, checked key by key."),
            false => format!("The {nodes} nodes did NOT become equal."),
        });
    }
}

fn against(verdict: &Verdict) -> String {
    let Verdict { missing, extra, damaged, .. } = verdict;
    match verdict.is_exact() {
        true => "exact".to_owned(),
        false => format!("{missing} missing, {extra} extra, {damaged} damaged"),
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    #[allow(clippy::cast_precision_loss)] // for people
    let share = part as f64 / whole.max(1) as f64;
    share * 100.0
}

fn tail(text: &str, length: usize) -> &str {
    text.get(text.len().saturating_sub(length)..).unwrap_or(text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The most memory that this process has used, in bytes, where the system tells (Linux).
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}
