use std::path::{Path, PathBuf};
use std::time::Duration;

use hearken_scheduler::InvalidConfig;
use toml::{Table, Value};

use super::Config;
use super::text::Text;

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {} cannot be read: {error}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file holds what is no setting. The error shows the line.
    #[error("the configuration file {} is not valid: {}", .path.display(), with_example(&.error.to_string()))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where and why.
        error: Box<toml::de::Error>,
    },
    /// A flag or an environment variable holds what is no setting.
    #[error("{origin}, the setting {key}: {reason}")]
    Override {
        /// The flag or variable.
        origin: String,
        /// The setting.
        key: String,
        /// What was expected and what came.
        reason: String,
    },
    /// A setting that is readable, but cannot be used.
    #[error("{origin}: {key} {flaw}")]
    Unusable {
        /// The file, or where else the settings come from.
        origin: String,
        /// The setting.
        key: &'static str,
        /// What it is, and what was expected.
        flaw: String,
    },
    /// The settings cannot be written as TOML.
    #[error("the settings cannot be written as TOML: {0}")]
    Unwritable(#[from] toml::ser::Error),
}

/// Durations of the engine's settings are read by a library that names no example.
fn with_example(error: &str) -> String {
    let error = error.trim_end();
    let example =
        if error.ends_with("expected a duration") { r#" such as "500ms", "30s", "30m" or "1h 30m""# } else { "" };
    format!("{error}{example}")
}

/// A setting as it was given to the program.
pub(super) struct Override {
    /// The setting's place in the file: `["sync", "window"]`.
    pub(super) path: Vec<String>,
    /// The flag or variable.
    pub(super) origin: String,
    /// The values given; several where a flag is repeated.
    pub(super) values: Vec<String>,
}

type Flaw = (&'static str, String);

impl Config {
    /// The settings in a file, with defaults for those it leaves out; not yet [checked](Config::check).
    pub(super) fn read(path: &Path) -> Result<Config, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?;
        toml::from_str(&text).map_err(|error| ConfigError::Invalid { path: path.to_owned(), error: Box::new(error) })
    }

    /// These settings with one of them overridden.
    pub(super) fn with(&self, given: Override) -> Result<Config, ConfigError> {
        let mut table = Table::try_from(self)?;
        let apply = || {
            let setting = find(&mut table, &given.path).ok_or("no such setting")?;
            *setting = value_like(setting, &given.values)?;
            table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())
        };
        apply().map_err(|reason| ConfigError::Override { origin: given.origin, key: given.path.join("."), reason })
    }

    /// Checks what no single value shows. `origin` says where the settings come from.
    pub fn check(&self, origin: &str) -> Result<(), ConfigError> {
        let flaw = self.group_flaw().or_else(|| self.value_flaw()).or_else(|| self.sync_flaw());
        match flaw {
            None => Ok(()),
            Some((key, flaw)) => Err(ConfigError::Unusable { origin: origin.to_owned(), key, flaw }),
        }
    }

    fn group_flaw(&self) -> Option<Flaw> {
        if self.groups.is_empty() {
            return Some(("groups", "is empty: expected at least one group, or there is nothing to keep".to_owned()));
        }
        for (index, group) in self.groups.iter().enumerate() {
            let mut topics = std::iter::once(&group.pubsub_topic).chain(&group.content_topics);
            if let Some(topic) = topics.find(|topic| !topic.starts_with('/')) {
                return Some(("groups", format!("holds the topic {topic:?}: expected one that begins with \"/\"")));
            }
            if self.groups.iter().take(index).any(|other| other.filter() == group.filter()) {
                return Some(("groups", format!("holds the group of {:?} twice", group.pubsub_topic)));
            }
        }
        None
    }

    fn value_flaw(&self) -> Option<Flaw> {
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.log) {
            return Some((
                "log",
                format!("is {:?}: expected levels such as \"warn,hearken=debug\": {error}", self.log),
            ));
        }
        if self.messages.max_size.0 == 0 || self.messages.max_size.0 > 4 << 20 {
            let found = self.messages.max_size.format();
            return Some(("messages.max_size", format!("is {found}: expected between 1B and 4MiB")));
        }
        if self.api.rate == 0 {
            return Some((
                "api.rate",
                "is 0: expected at least 1; to have no interface, set api.listen to \"off\"".to_owned(),
            ));
        }
        if self.max_connections == 0 {
            return Some(("max_connections", "is 0: expected at least 1".to_owned()));
        }
        None
    }

    fn sync_flaw(&self) -> Option<Flaw> {
        if let Err(error) = self.sync.validate() {
            return Some(("sync:", error.to_string()));
        }
        let retention = self.archive.retention.at_most()?;
        for filter in self.filters() {
            let mut group = self.sync.group(filter.group());
            group.retention = retention;
            match self.sync.validate_group(&group) {
                Ok(()) => {}
                Err(InvalidConfig::Retention { needed, .. }) => return Some(self.retention_flaw(retention, needed)),
                Err(error) => return Some(("sync:", error.to_string())),
            }
        }
        None
    }

    /// A window must not reach beyond what is kept: nodes would ask each other for what they have just dropped.
    fn retention_flaw(&self, retention: Duration, needed: Duration) -> Flaw {
        let sync = &self.sync;
        let [found, needed, window, settle, interval, grid] =
            [retention, needed, sync.window, sync.settle_delay, sync.interval_max, sync.horizon_grid]
                .map(|duration| duration.format());
        let flaw = format!(
            "is {found}: expected at least {needed}, so that nothing is dropped while it is still being compared: sync.window \
             ({window}), sync.settle_delay ({settle}), sync.interval_max ({interval}) and twice sync.horizon_grid ({grid})"
        );
        ("archive.retention", flaw)
    }
}

fn find<'a>(table: &'a mut Table, path: &[String]) -> Option<&'a mut Value> {
    let (last, sections) = path.split_last()?;
    let section = sections.iter().try_fold(table, |table, name| table.get_mut(name)?.as_table_mut())?;
    section.get_mut(last)
}

/// The text of a flag or variable as a value of the same kind as the one it overrides.
fn value_like(setting: &Value, given: &[String]) -> Result<Value, String> {
    let text = given.join(",");
    let expected = |what: &str| format!("expected {what}, found {text:?}");
    match setting {
        Value::Integer(_) => text.parse().map(Value::Integer).map_err(|_| expected("a whole number")),
        Value::Boolean(_) => text.parse().map(Value::Boolean).map_err(|_| expected("true or false")),
        Value::Array(_) if text.starts_with('[') => {
            let written: Table =
                toml::from_str(&format!("list = {text}")).map_err(|error| error.message().to_owned())?;
            written.get("list").cloned().ok_or_else(|| expected("a list"))
        }
        Value::Array(_) => {
            let values = text.split(',').map(str::trim).filter(|value| !value.is_empty());
            Ok(Value::Array(values.map(|value| Value::String(value.to_owned())).collect()))
        }
        _ => Ok(Value::String(text)),
    }
}
