//! What cannot be, found before anything runs.

use toml::de::{DeTable, DeValue};

use super::{EventKind, Hostile, LatencyModel, Nodes, Protocol, Scenario, Step, TimedEvent};
use crate::net::regions;

/// What is wrong, and where.
pub(super) struct Problem {
    path: Vec<Step>,
    pub(super) message: String,
}

type Checked = Result<(), Problem>;

impl Problem {
    fn at(path: &[Step], message: impl Into<String>) -> Problem {
        Problem { path: path.to_vec(), message: message.into() }
    }

    pub(super) fn of(table: &'static str, key: &'static str, message: impl Into<String>) -> Problem {
        Problem::at(&[Step::Key(table), Step::Key(key)], message)
    }

    /// As one would write it after `--set`.
    pub(super) fn key(&self) -> String {
        let steps = self.path.iter().map(|step| match step {
            Step::Key(key) => (*key).to_owned(),
            Step::Index(index) => index.to_string(),
        });
        steps.collect::<Vec<_>>().join(".")
    }

    /// The line of the last part of the path that is in the text.
    pub(super) fn line(&self, text: &str) -> Option<usize> {
        let table = DeTable::parse(text).ok()?;
        let mut place = &DeValue::Table(table.into_inner());
        let mut line = None;
        for step in &self.path {
            let next = match (step, place) {
                (Step::Key(key), DeValue::Table(table)) => {
                    let found = table.iter().find(|(name, _)| name.get_ref() == key);
                    found.map(|(name, value)| (name.span().start, value))
                }
                (Step::Index(index), DeValue::Array(items)) => items.get(*index).map(|item| (item.span().start, item)),
                _ => None,
            };
            let Some((start, value)) = next else { break };
            line = text.get(..start).map(|before| before.matches('\n').count() + 1);
            place = value.get_ref();
        }
        line
    }
}

impl Scenario {
    /// Refuses what cannot be run.
    pub(super) fn check(&self) -> Checked {
        if self.duration.is_zero() {
            return Err(Problem::at(&[Step::Key("duration")], "must be more than zero"));
        }
        self.check_network()?;
        self.check_gossipsub()?;
        self.check_sync()?;
        self.check_traffic()?;
        self.check_baseline()?;
        for (index, node) in self.nodes.iter().enumerate() {
            let path = [Step::Key("node"), Step::Index(index), Step::Key("nodes")];
            self.check_nodes(&node.nodes, &path)?;
            self.check_node(index)?;
        }
        for (index, event) in self.events.iter().enumerate() {
            self.check_event(index, event)?;
        }
        Ok(())
    }

    fn check_network(&self) -> Checked {
        let network = &self.network;
        if !(2..=1_000_000).contains(&network.nodes) {
            let message = format!("expected 2 to 1,000,000 nodes, not {}", network.nodes);
            return Err(Problem::of("network", "nodes", message));
        }
        if network.degree < 2 && network.topology == super::Topology::Random {
            return Err(Problem::of("network", "degree", "a random network of one piece needs a degree of at least 2"));
        }
        let full = network.topology == super::Topology::Full || network.degree + 1 >= network.nodes;
        if full && network.nodes > 2_000 {
            let message = "everyone with everyone is for 2,000 nodes at most: their connections would not fit";
            return Err(Problem::of("network", "topology", message));
        }
        share(network.loss, "network", "loss")?;
        if network.latency_model == LatencyModel::Regions {
            self.check_regions()?;
        }
        Ok(())
    }

    fn check_regions(&self) -> Checked {
        let network = &self.network;
        let (rows, named) = (network.round_trips_ms.len(), network.regions.len());
        let square = network.round_trips_ms.iter().all(|row| row.len() == rows);
        let positive = network.round_trips_ms.iter().flatten().all(|time| (0.0..=60_000.0).contains(time));
        if rows != named || !square || !positive {
            let message =
                format!("expected {named} rows of {named} times from 0 to 60,000 ms, one for each of `regions`");
            return Err(Problem::of("network", "round_trips_ms", message));
        }
        for (index, node) in self.nodes.iter().enumerate() {
            if let Some(region) = &node.region
                && self.region(region).is_none()
            {
                let path = [Step::Key("node"), Step::Index(index), Step::Key("region")];
                let message = format!("`{region}` is none of {}", self.region_names().join(", "));
                return Err(Problem::at(&path, message));
            }
        }
        Ok(())
    }

    fn check_gossipsub(&self) -> Checked {
        let gossipsub = &self.gossipsub;
        share(gossipsub.delivery_loss, "gossipsub", "delivery_loss")?;
        share(gossipsub.gossip_factor, "gossipsub", "gossip_factor")?;
        if !(gossipsub.mesh_n_low <= gossipsub.mesh_n && gossipsub.mesh_n <= gossipsub.mesh_n_high) {
            let message = format!(
                "expected mesh_n_low ({}) <= mesh_n ({}) <= mesh_n_high ({})",
                gossipsub.mesh_n_low, gossipsub.mesh_n, gossipsub.mesh_n_high
            );
            return Err(Problem::of("gossipsub", "mesh_n", message));
        }
        if gossipsub.mesh_outbound_min > gossipsub.mesh_n_low || gossipsub.mesh_outbound_min * 2 > gossipsub.mesh_n {
            let message = format!(
                "expected at most mesh_n_low ({}) and half of mesh_n ({})",
                gossipsub.mesh_n_low, gossipsub.mesh_n
            );
            return Err(Problem::of("gossipsub", "mesh_outbound_min", message));
        }
        if gossipsub.history_gossip > gossipsub.history_length {
            let message = format!("must not be more than history_length ({})", gossipsub.history_length);
            return Err(Problem::of("gossipsub", "history_gossip", message));
        }
        if gossipsub.heartbeat_interval.is_zero() {
            return Err(Problem::of("gossipsub", "heartbeat_interval", "must be more than zero"));
        }
        Ok(())
    }

    fn check_sync(&self) -> Checked {
        let windows = self.nodes.iter().filter_map(|node| node.window).chain([self.sync.window]);
        for window in windows {
            let config = hearken_scheduler::Config { window, ..self.sync.clone() };
            config.validate().map_err(|error| Problem::at(&[Step::Key("sync")], error.to_string()))?;
        }
        Ok(())
    }

    fn check_baseline(&self) -> Checked {
        let given = &self.baseline;
        for (key, value) in [("interval", given.interval), ("window", given.window)] {
            if value.is_some_and(|value| value.is_zero()) {
                return Err(Problem::of("baseline", key, "must be more than zero"));
            }
        }
        if given.partitions.is_some_and(|partitions| partitions < 2) {
            return Err(Problem::of("baseline", "partitions", "a range is cut into at least 2 parts"));
        }
        Ok(())
    }

    fn check_traffic(&self) -> Checked {
        let traffic = &self.traffic;
        if !(1e-6..=1e6).contains(&traffic.speed) {
            let message = format!("expected 0.000001 to 1,000,000 times as fast, not {}", traffic.speed);
            return Err(Problem::of("traffic", "speed", message));
        }
        if traffic.speed != 1.0 && traffic.trace.is_none() {
            return Err(Problem::of("traffic", "speed", "means nothing without `trace`"));
        }
        if !(0.0..=1e6).contains(&traffic.rate) {
            return Err(Problem::of(
                "traffic",
                "rate",
                format!("expected 0 to 1,000,000 messages a second, not {}", traffic.rate),
            ));
        }
        if traffic.burst == 0 {
            return Err(Problem::of("traffic", "burst", "at least 1 message comes at a time"));
        }
        if traffic.size_max.is_some_and(|max| max.0 < traffic.size.0) {
            return Err(Problem::of("traffic", "size_max", format!("must not be less than size ({})", traffic.size)));
        }
        let largest = traffic.size_max.unwrap_or(traffic.size).0;
        if !(1..=1_000_000).contains(&largest) {
            return Err(Problem::of("traffic", "size", "expected 1 B to 1 MB: a frame holds no more"));
        }
        if traffic.until.is_some_and(|until| until > self.duration) {
            return Err(Problem::of("traffic", "until", "must not lie behind the end of the run"));
        }
        if traffic.stored > 0 && traffic.stored_over.is_zero() {
            return Err(Problem::of("traffic", "stored_over", "must be more than zero"));
        }
        self.check_nodes(&traffic.publishers, &[Step::Key("traffic"), Step::Key("publishers")])
    }

    fn check_node(&self, index: usize) -> Checked {
        let node = &self.nodes[index];
        let path = |key| [Step::Key("node"), Step::Index(index), Step::Key(key)];
        for (key, value) in [("missing", node.missing), ("refuses", node.refuses)] {
            if value.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
                return Err(Problem::at(&path(key), "expected a share from 0.0 to 1.0"));
            }
        }
        self.check_hostile(&node.hostile, &path("hostile"))?;
        match node.gap {
            Some([from, to]) if !(0.0 <= from && from <= to && to <= 1.0) => {
                Err(Problem::at(&path("gap"), "expected two shares, like [0.5, 1.0] for the newer half"))
            }
            _ => Ok(()),
        }
    }

    fn check_hostile(&self, hostile: &[Hostile], path: &[Step]) -> Checked {
        if hostile.is_empty() || matches!(self.protocol, Protocol::Hearken | Protocol::None) {
            return Ok(());
        }
        let message = format!("nodes can be hostile to `hearken`, not to `{}`", self.protocol.name());
        Err(Problem::at(path, message))
    }

    fn check_nodes(&self, nodes: &Nodes, path: &[Step]) -> Checked {
        match nodes.highest() {
            Some(highest) if highest as usize >= self.network.nodes => {
                let last = self.network.nodes - 1;
                let message = format!("there is no node {highest}: the {} nodes are 0 to {last}", self.network.nodes);
                Err(Problem::at(path, message))
            }
            _ => Ok(()),
        }
    }

    fn check_event(&self, index: usize, event: &TimedEvent) -> Checked {
        let path = |key| [Step::Key("event"), Step::Index(index), Step::Key(key)];
        let (needed, allowed) = event.kind.keys();
        let given = event.given();
        let name = event.kind.name();
        if let Some(key) = needed.iter().find(|key| !given.contains(key)) {
            return Err(Problem::at(&path("kind"), format!("an event of kind `{name}` needs `{key}`")));
        }
        if let Some(key) = given.iter().find(|key| !needed.contains(key) && !allowed.contains(key)) {
            let takes = [needed, allowed].concat().join("`, `");
            let message = format!("means nothing to an event of kind `{name}`, which takes `{takes}`");
            return Err(Problem::at(&path(key), message));
        }
        if event.at > self.duration {
            let (at, end) = (humantime::format_duration(event.at), humantime::format_duration(self.duration));
            return Err(Problem::at(&path("at"), format!("{at} lies behind the end of the run at {end}")));
        }
        if let Some(nodes) = &event.nodes {
            self.check_nodes(nodes, &path("nodes"))?;
        }
        for part in &event.parts {
            self.check_nodes(part, &path("parts"))?;
        }
        for (key, value) in [("loss", event.loss), ("delivery_loss", event.delivery_loss)] {
            if value.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
                return Err(Problem::at(&path(key), "expected a share from 0.0 to 1.0"));
            }
        }
        if event.undurable.is_some() && event.archive == Some(super::Archive::Lost) {
            return Err(Problem::at(&path("undurable"), "means nothing where the whole archive is lost"));
        }
        self.check_hostile(&event.hostile, &path("hostile"))?;
        if let Some(sync) = &event.sync {
            self.changed(sync).map_err(|message| Problem::at(&path("sync"), message))?;
        }
        if event.kind == EventKind::Loss && event.loss.is_none() && event.delivery_loss.is_none() {
            return Err(Problem::at(&path("kind"), "an event of kind `loss` needs `loss` or `delivery_loss`"));
        }
        Ok(())
    }

    /// The names that nodes' regions can have.
    pub(crate) fn region_names(&self) -> Vec<&str> {
        if self.network.round_trips_ms.is_empty() {
            return regions::NAMES.to_vec();
        }
        self.network.regions.iter().map(String::as_str).collect()
    }

    /// A region's place in the table.
    pub(crate) fn region(&self, name: &str) -> Option<usize> {
        self.region_names().iter().position(|other| *other == name)
    }
}

fn share(value: f64, table: &'static str, key: &'static str) -> Checked {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(Problem::of(table, key, "expected a share from 0.0 to 1.0")) }
}
