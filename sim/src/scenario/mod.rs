//! What is simulated: one TOML file, read strictly.
//!
//! A file is read ([`Scenario::load`]), changed from the command line (`overrides`), and checked (`check`) before anything runs.
//! Every complaint says where it is, what was expected and what came.

mod check;
mod event;
mod expect;
mod nodes;
mod overrides;
pub(crate) mod shipped;
mod tables;
mod values;

use std::{fmt, path::Path, time::Duration};

use hearken_scheduler::Config;
use serde::{Deserialize, Serialize};

pub use event::{Archive, EventKind, TimedEvent};
pub use expect::Expect;
pub use nodes::Nodes;
pub use tables::{Gossipsub, LatencyModel, Network, NodeSettings, Topology, Traffic};
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

impl Default for Scenario {
    fn default() -> Scenario {
        Scenario {
            title: String::new(),
            description: String::new(),
            seed: 1,
            duration: Duration::from_secs(600),
            protocol: Protocol::default(),
            network: Network::default(),
            gossipsub: Gossipsub::default(),
            sync: Config::default(),
            traffic: Traffic::default(),
            nodes: Vec::new(),
            events: Vec::new(),
            expect: Expect::default(),
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
        let failed =
            |error: toml::de::Error| ScenarioError::Parse { file: file.to_owned(), message: error.to_string() };
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
        Ok(scenario)
    }

    /// When traffic ends: early enough that the last message can be everywhere at the end.
    pub fn traffic_until(&self) -> Duration {
        let (least, most) = (self.sync.interval_min, self.sync.interval_max);
        let settle = self.sync.settle_delay + self.sync.horizon_grid + (3 * least).max(least + most);
        let default = self.duration.saturating_sub(settle).max(self.duration / 2);
        self.traffic.until.unwrap_or(default).min(self.duration)
    }
}
