//! What happens, and when.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Hostile, Nodes, Signed, Size};

/// One thing that happens. Which keys belong to which kind, `check` knows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimedEvent {
    /// When, since the beginning.
    #[serde(with = "humantime_serde")]
    pub at: Duration,
    /// What.
    pub kind: EventKind,
    /// Whom it befalls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Nodes>,
    /// `partition`: the parts; nodes in none form one more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Nodes>,
    /// How long it lasts; without it, until something else ends it.
    #[serde(with = "humantime_serde", rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
    /// `join`, `crash`: what is left of their archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<Archive>,
    /// `loss`: share of transmissions lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// `loss`: share of live deliveries that fail for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_loss: Option<f64>,
    /// `skew`: ahead, or behind if negative.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Signed>,
    /// `slow`: bytes a second that they can send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload: Option<Size>,
    /// `slow`: everything to and from them takes so much longer.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub latency: Option<Duration>,
    /// `crash`: what was stored so short before is lost: it was not durable yet.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub undurable: Option<Duration>,
    /// `settings`: what changes in `[sync]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<toml::Table>,
    /// `burst`: how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<u64>,
    /// `hostile`: what they do to harm the others. Several are dealt out in turn.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hostile: Vec<Hostile>,
}

/// Kinds of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Nodes start. Those that join before they do anything else are not there at the beginning.
    #[default]
    Join,
    /// Nodes go, saying so.
    Leave,
    /// Nodes are gone without a word; with `for`, they start again after that.
    Crash,
    /// The network falls apart; with `for`, it heals after that.
    Partition,
    /// All parts are one again.
    Heal,
    /// Transmissions, or live deliveries, are lost.
    Loss,
    /// Clocks are wrong from now on.
    Skew,
    /// Nodes get slow.
    Slow,
    /// Many messages at once.
    Burst,
    /// Nothing more can be stored.
    DiskFull,
    /// The operator changes settings of nodes that run; with `for`, they are taken back after that.
    Settings,
    /// Nodes turn against the others; with `for`, they are honest again after that. Nobody owes them anything meanwhile.
    Hostile,
}

/// What is left of a node's archive when it starts again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Archive {
    /// Everything.
    #[default]
    Kept,
    /// Nothing.
    Lost,
}

impl EventKind {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Join => "join",
            EventKind::Leave => "leave",
            EventKind::Crash => "crash",
            EventKind::Partition => "partition",
            EventKind::Heal => "heal",
            EventKind::Loss => "loss",
            EventKind::Skew => "skew",
            EventKind::Slow => "slow",
            EventKind::Burst => "burst",
            EventKind::DiskFull => "disk_full",
            EventKind::Settings => "settings",
            EventKind::Hostile => "hostile",
        }
    }

    /// Keys beside `at` and `kind` that it needs, and further ones that it takes.
    pub(crate) fn keys(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            EventKind::Join => (&["nodes"], &["archive"]),
            EventKind::Leave => (&["nodes"], &[]),
            EventKind::Crash => (&["nodes"], &["for", "archive", "undurable"]),
            EventKind::Partition => (&["parts"], &["for"]),
            EventKind::Heal => (&[], &[]),
            EventKind::Loss => (&[], &["loss", "delivery_loss", "for"]),
            EventKind::Skew => (&["nodes", "by"], &["for"]),
            EventKind::Slow => (&["nodes"], &["upload", "latency", "for"]),
            EventKind::Burst => (&["messages"], &["nodes"]),
            EventKind::DiskFull => (&["nodes"], &["for"]),
            EventKind::Settings => (&["sync"], &["nodes", "for"]),
            EventKind::Hostile => (&["nodes", "hostile"], &["for"]),
        }
    }
}

impl TimedEvent {
    /// The keys beside `at` and `kind` that are there.
    pub(crate) fn given(&self) -> Vec<&'static str> {
        let keys = [
            ("nodes", self.nodes.is_some()),
            ("parts", !self.parts.is_empty()),
            ("for", self.lasts.is_some()),
            ("archive", self.archive.is_some()),
            ("loss", self.loss.is_some()),
            ("delivery_loss", self.delivery_loss.is_some()),
            ("by", self.by.is_some()),
            ("upload", self.upload.is_some()),
            ("latency", self.latency.is_some()),
            ("messages", self.messages.is_some()),
            ("undurable", self.undurable.is_some()),
            ("sync", self.sync.is_some()),
            ("hostile", !self.hostile.is_empty()),
        ];
        keys.into_iter().filter(|(_, given)| *given).map(|(key, _)| key).collect()
    }

    /// Whom it befalls; settings that name nobody are everybody's.
    pub(crate) fn whom(&self) -> Option<&Nodes> {
        self.nodes.as_ref().or((self.kind == EventKind::Settings).then_some(&Nodes::All))
    }

    /// What the nodes that it befalls do to harm others, in turn.
    pub(crate) fn harms(&self) -> impl Iterator<Item = Hostile> {
        self.hostile.iter().copied().cycle()
    }

    /// For people.
    pub fn label(&self) -> String {
        let many = self.messages.map_or(String::new(), |messages| format!(" of {messages} messages"));
        let whom = self.nodes.as_ref().map_or(String::new(), |nodes| match nodes {
            Nodes::One(node) => format!(" at node {node}"),
            nodes => format!(" at nodes {nodes}"),
        });
        let parts: Vec<String> = self.parts.iter().map(Nodes::to_string).collect();
        let parts =
            if parts.is_empty() { String::new() } else { format!(" of nodes {} from the rest", parts.join(" | ")) };
        let changes = self.sync.as_ref().map_or(String::new(), |sync| {
            let changes: Vec<String> = sync.iter().map(|(key, value)| format!("{key} = {value}")).collect();
            format!(": {}", changes.join(", "))
        });
        format!("{}{many}{whom}{parts}{changes}", self.kind.name().replace('_', " "))
    }
}
