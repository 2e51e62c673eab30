//! What is simulated: one TOML file, read strictly.
//!
//! A file is read ([`Scenario::load`]), changed from the command line (`overrides`), and checked (`check`) before anything runs.
//! Every complaint says where it is, what was expected and what came.

mod check;
mod event;
mod expect;
mod nodes;
mod overrides;
mod polling;
mod recorded;
pub(crate) mod shipped;
mod tables;
mod values;

use std::{fmt, path::Path, str::FromStr, sync::Arc, time::Duration};

use hearken_scheduler::Config;
use serde::{Deserialize, Serialize};

pub use event::{Archive, EventKind, TimedEvent};
pub use expect::Expect;
pub use nodes::Nodes;
pub use polling::{Baseline, Polling};
pub(crate) use recorded::Recorded;
pub use tables::{Gossipsub, Hostile, LatencyModel, Network, NodeSettings, Topology, Traffic};
pub use values::{Signed, Size};

/// A scenario: a network, what happens in it, and what is expected to come of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// A few words.
    pub title: String,
    /// A sentence or two: what it shows.
    pub description: String,
    /// Everything random comes from it.
    pub seed: u64,
    /// Virtual time to simulate.
    #[serde(with = "humantime_serde")]
    pub duration: Duration,
    /// What keeps stores equal.
    pub protocol: Protocol,
    /// How what Hearken is compared with polls.
    pub baseline: Baseline,
    /// Nodes and links.
    pub network: Network,
    /// The model of gossipsub, by the names that gossipsub gives its parameters.
    pub gossipsub: Gossipsub,
    /// The settings of every node's engine.
    pub sync: Config,
    /// What is published.
    pub traffic: Traffic,
    /// Nodes that differ from the others.
    #[serde(rename = "node")]
    pub nodes: Vec<NodeSettings>,
    /// What happens, and when.
    #[serde(rename = "event")]
    pub events: Vec<TimedEvent>,
    /// What has to come of it; the exit code says whether it did.
    pub expect: Expect,
    /// What `traffic.trace` holds.
    #[serde(skip)]
    pub(crate) recorded: Option<Arc<[Recorded]>>,
}

/// What keeps stores equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Hearken: the engine of a real node.
    #[default]
    Hearken,
    /// Nothing: relay only.
    None,
    /// All ids to one neighbour, each interval.
    FullIds,
    /// One neighbour each interval, with the `negentropy` crate.
    Negentropy,
    /// Range-based reconciliation with XOR fingerprints, as nwaku configures it.
    Nwaku,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Protocol; 5] =
        [Protocol::Hearken, Protocol::None, Protocol::FullIds, Protocol::Negentropy, Protocol::Nwaku];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Hearken => "hearken",
            Protocol::None => "none",
            Protocol::FullIds => "full_ids",
            Protocol::Negentropy => "negentropy",
            Protocol::Nwaku => "nwaku",
        }
    }

    /// For people.
    pub fn label(self) -> &'static str {
        match self {
            Protocol::Hearken => "Hearken",
            Protocol::None => "relay only",
            Protocol::FullIds => "full id exchange",
            Protocol::Negentropy => "negentropy polling",
            Protocol::Nwaku => "XOR ranges (nwaku)",
        }
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(name: &str) -> Result<Protocol, String> {
        Protocol::ALL.into_iter().find(|protocol| protocol.name() == name).ok_or_else(|| {
            let names = Protocol::ALL.map(Protocol::name).join(", ");
            format!("`{name}` is no protocol: expected one of {names}")
        })
    }
}

/// Where a setting lies in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(&'static str),
    Index(usize),
}

/// A scenario that cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// The file could not be read.
    #[error("cannot read the scenario {file}: {source}; `hearken-sim list` shows those that ship")]
    Read {
        /// Which file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is not a scenario.
    #[error("{file}: {message}")]
    Parse {
        /// Which file.
        file: String,
        /// What is wrong, with line and column.
        message: String,
    },
    /// A setting from the command line does not fit.
    #[error("--set {setting}: {message}")]
    Set {
        /// As it was given.
        setting: String,
        /// What is wrong.
        message: String,
    },
    /// It cannot be.
    #[error("{file}{}: `{key}`: {message}", Line(*line))]
    Impossible {
        /// Which file.
        file: String,
        /// Where it is, if it is in the file.
        line: Option<usize>,
        /// Which setting.
        key: String,
        /// What is wrong with it.
        message: String,
    },
}

struct Line(Option<usize>);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |line| write!(f, " line {line}"))
    }
}

fn merge(table: &mut toml::Table, changes: &toml::Table) {
    for (key, value) in changes {
        match (table.get_mut(key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(changes)) => merge(inner, changes),
            _ => {
                table.insert(key.clone(), value.clone());
            }
        }
    }
}

impl Default for Scenario {
    fn default() -> Scenario {
        Scenario {
            title: String::new(),
            description: String::new(),
            seed: 1,
            duration: Duration::from_secs(600),
            protocol: Protocol::default(),
            baseline: Baseline::default(),
            network: Network::default(),
            gossipsub: Gossipsub::default(),
            sync: Config::default(),
            traffic: Traffic::default(),
            nodes: Vec::new(),
            events: Vec::new(),
            expect: Expect::default(),
            recorded: None,
        }
    }
}

impl Scenario {
    /// Reads a scenario that ships, or a file, and changes what `settings` (`key=value`) say.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn load(name: &str, settings: &[String]) -> Result<Scenario, ScenarioError> {
        if let Some(shipped) = shipped::find(name) {
            return Scenario::parse(&format!("scenario `{name}`"), shipped.text, settings);
        }
        let read = std::fs::read_to_string(Path::new(name));
        let text = read.map_err(|source| ScenarioError::Read { file: name.to_owned(), source })?;
        Scenario::parse(name, &text, settings)
    }

    /// The scenario in `text`; `file` is for complaints.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(file: &str, text: &str, settings: &[String]) -> Result<Scenario, ScenarioError> {
        let failed = |error: toml::de::Error| {
            // What programs call their numbers is nothing to people.
            let whole = |text: String, name| text.replace(&format!("expected {name}"), "expected a whole number");
            let message = ["usize", "u64", "u32"].into_iter().fold(error.to_string(), whole);
            let message = message.replace("expected f64", "expected a number");
            ScenarioError::Parse { file: file.to_owned(), message }
        };
        let mut scenario: Scenario = toml::from_str(text).map_err(failed)?;
        if !settings.is_empty() {
            scenario = overrides::apply(text.parse().map_err(failed)?, settings)?;
        }
        scenario.check().map_err(|problem| ScenarioError::Impossible {
            file: file.to_owned(),
            line: problem.line(text),
            key: problem.key(),
            message: problem.message,
        })?;
        scenario.read_trace(file, text)?;
        Ok(scenario)
    }

    /// Whether it can be run.
    pub(crate) fn is_possible(&self) -> bool {
        self.check().is_ok()
    }

    /// Reads the messages that are replayed.
    fn read_trace(&mut self, file: &str, text: &str) -> Result<(), ScenarioError> {
        let Some(trace) = &self.traffic.trace.clone() else { return Ok(()) };
        let recorded = recorded::read(trace, Path::new(file).parent(), &self.traffic, self.duration);
        let problem = |message| check::Problem::of("traffic", "trace", message);
        if shipped::trace(trace).is_none() {
            // So that it is found from wherever the scenario is run again.
            let path = Path::new(file).parent().map_or_else(|| trace.into(), |folder| folder.join(trace));
            self.traffic.trace = Some(path.canonicalize().unwrap_or(path).display().to_string());
        }
        self.recorded = Some(recorded.map_err(|message| {
            let problem = problem(message);
            let (line, key) = (problem.line(text), problem.key());
            ScenarioError::Impossible { file: file.to_owned(), line, key, message: problem.message }
        })?);
        Ok(())
    }

    /// The settings of `[sync]` with these changes.
    pub(crate) fn changed(&self, changes: &toml::Table) -> Result<Config, String> {
        let mut table = toml::Table::try_from(&self.sync).map_err(|error| error.to_string())?;
        merge(&mut table, changes);
        let config: Config = table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
        config.validate().map_err(|error| error.to_string())?;
        if config.window != self.sync.window {
            return Err("`window` stays what it is: what has to be equal cannot change in a run".to_owned());
        }
        if config.limits.unadmitted_bytes != self.sync.limits.unadmitted_bytes {
            return Err("`limits.unadmitted_bytes` cannot change while a node runs".to_owned());
        }
        Ok(config)
    }

    /// The settings of the nodes that an event befalls, from when it begins or ends. The scenario was checked: they are sound.
    pub(crate) fn settings_from(&self, event: &TimedEvent, begins: bool) -> Config {
        let changes = event.sync.as_ref().filter(|_| begins);
        changes.and_then(|changes| self.changed(changes).ok()).unwrap_or_else(|| self.sync.clone())
    }

    /// How far back archives have to keep messages, whatever settings change to.
    pub(crate) fn retention(&self, window: Duration) -> Duration {
        let changed = self.events.iter().filter_map(|event| self.changed(event.sync.as_ref()?).ok());
        let longest = changed.map(|config| config.retention_for(window)).max().unwrap_or_default();
        longest.max(self.sync.retention_for(window))
    }

    /// The same with another protocol.
    ///
    /// # Errors
    /// The scenario has what the protocol cannot do.
    pub fn with_protocol(&self, protocol: Protocol) -> Result<Scenario, ScenarioError> {
        let scenario = Scenario { protocol, ..self.clone() };
        scenario.check().map_err(|problem| ScenarioError::Impossible {
            file: format!("protocol {}", protocol.name()),
            line: None,
            key: problem.key(),
            message: problem.message,
        })?;
        Ok(scenario)
    }

    /// The same with nobody hostile and all clocks right.
    pub(crate) fn honest(&self) -> Scenario {
        let mut scenario = self.clone();
        for some in &mut scenario.nodes {
            some.hostile.clear();
            some.skew = None;
        }
        scenario
    }

    /// When traffic ends: early enough that the last message can be everywhere at the end.
    pub fn traffic_until(&self) -> Duration {
        let (least, most) = (self.sync.interval_min, self.sync.interval_max);
        let settle = self.sync.settle_delay + self.sync.horizon_grid + (3 * least).max(least + most);
        let default = self.duration.saturating_sub(settle).max(self.duration / 2);
        self.traffic.until.unwrap_or(default).min(self.duration)
    }
}
