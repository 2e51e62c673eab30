//! Settings that change while a node runs: which ones differ, and which of them need a restart.

use std::sync::{Mutex, PoisonError};

use toml::{Table, Value};

use super::load::Override;
use super::{Config, ConfigError, Source};

/// Takes a filter of what is logged from now on.
pub type SetLog = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// The settings of a running node, and where they came from.
pub struct Settings {
    source: Source,
    current: Mutex<Config>,
    set_log: SetLog,
}

/// What came of new settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Changed {
    /// Settings that are in force now.
    pub changed: Vec<String>,
    /// Settings that differ, and are in force only after a restart.
    pub restart: Vec<String>,
}

/// New settings were not taken; the old ones are in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// They cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// They cannot change while the node runs.
    #[error("{0} cannot change while the node runs: set it in the configuration file and restart the node")]
    Restart(String),
    /// The part of the node that they are for refuses them.
    #[error("{0}")]
    Refused(String),
}

/// Settings that a running node takes; of a section, all but those of [`FIXED`].
const LIVE: [&str; 3] = ["log", "paused", "sync."];
const FIXED: [&str; 2] = ["sync.window", "sync.limits.unadmitted_bytes"];

impl Settings {
    /// Those that a node starts with.
    pub fn new(source: Source, current: Config, set_log: SetLog) -> Settings {
        Settings { source, current: Mutex::new(current), set_log }
    }

    /// Those in force.
    pub fn current(&self) -> Config {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads file, environment and flags again, and takes what a running node can; what it cannot is named.
    pub fn reload(&self, sync: &hearken::AntiEntropy) -> Result<Changed, ChangeError> {
        let wanted = self.source.load()?;
        let (current, differing) = self.differing(&wanted)?;
        let (changed, restart) = differing.into_iter().partition(|name| is_live(name));
        let taken = keep_fixed(&current, wanted);
        self.take(&current, taken, sync)?;
        Ok(Changed { changed, restart })
    }

    /// Takes single settings by name; all of them, or none. They hold until the node is restarted, or reads its file again.
    pub fn change(&self, given: &[(String, String)], sync: &hearken::AntiEntropy) -> Result<Changed, ChangeError> {
        let mut wanted = self.current();
        for (name, value) in given {
            let path = name.split('.').map(str::to_owned).collect();
            let origin = "the settings given".to_owned();
            wanted = wanted.with(Override { path, origin, values: vec![value.clone()] })?;
        }
        wanted.check("the settings given")?;
        let (current, differing) = self.differing(&wanted)?;
        if let Some(fixed) = differing.iter().find(|name| !is_live(name)) {
            return Err(ChangeError::Restart(fixed.clone()));
        }
        self.take(&current, wanted, sync)?;
        Ok(Changed { changed: differing, restart: Vec::new() })
    }

    fn differing(&self, wanted: &Config) -> Result<(Config, Vec<String>), ChangeError> {
        let current = self.current();
        let [old, new] = [Table::try_from(&current), Table::try_from(wanted)];
        let mut names = Vec::new();
        compare("", &old.map_err(ConfigError::from)?, &new.map_err(ConfigError::from)?, &mut names);
        Ok((current, names))
    }

    fn take(&self, current: &Config, wanted: Config, sync: &hearken::AntiEntropy) -> Result<(), ChangeError> {
        if wanted.sync != current.sync {
            sync.reconfigure(wanted.sync.clone()).map_err(|error| ChangeError::Refused(format!("sync: {error}")))?;
        }
        if wanted.log != current.log {
            (self.set_log)(&wanted.log).map_err(ChangeError::Refused)?;
        }
        match (current.paused, wanted.paused) {
            (false, true) => sync.pause(),
            (true, false) => sync.resume(),
            _ => {}
        }
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
        Ok(())
    }
}

/// `wanted`, but for what needs a restart.
fn keep_fixed(current: &Config, wanted: Config) -> Config {
    let Config { log, paused, mut sync, .. } = wanted;
    sync.window = current.sync.window;
    sync.limits.unadmitted_bytes = current.sync.limits.unadmitted_bytes;
    Config { log, paused, sync, ..current.clone() }
}

fn is_live(name: &str) -> bool {
    LIVE.iter().any(|live| name == *live || (live.ends_with('.') && name.starts_with(live))) && !FIXED.contains(&name)
}

/// The names of settings that differ.
fn compare(prefix: &str, old: &Table, new: &Table, names: &mut Vec<String>) {
    for (key, value) in new {
        let name = format!("{prefix}{key}");
        match (old.get(key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => compare(&format!("{name}."), old, new, names),
            (old, new) if old != Some(new) => names.push(name),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;

    #[test]
    fn what_differs_is_named_and_what_is_fixed_is_kept() {
        let (old, mut new) = (Config::default(), Config::default());
        new.log = "debug".to_owned();
        new.sync.interval_min = Duration::from_secs(10);
        new.sync.window = Duration::from_secs(7200);
        new.sync.limits.serving = 3;
        new.max_connections = 5;
        let mut names = Vec::new();
        compare("", &Table::try_from(&old).unwrap(), &Table::try_from(&new).unwrap(), &mut names);
        names.sort();
        assert_eq!(names, ["log", "max_connections", "sync.interval_min", "sync.limits.serving", "sync.window"]);
        let live: Vec<&String> = names.iter().filter(|name| is_live(name)).collect();
        assert_eq!(live, ["log", "sync.interval_min", "sync.limits.serving"]);
        let taken = keep_fixed(&old, new);
        assert_eq!((taken.sync.window, taken.max_connections), (old.sync.window, old.max_connections));
        assert_eq!((taken.sync.limits.serving, taken.log.as_str()), (3, "debug"));
    }
}
