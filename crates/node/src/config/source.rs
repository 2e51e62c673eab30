use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};

use super::load::Override;
use super::print::{Line, lines};
use super::{Config, ConfigError};

/// Where settings come from: a file, and flags or environment variables that override it.
///
/// The flags are made from the commented defaults, so that every setting has one, with the comment as its help.
#[derive(Clone, Debug, Default)]
pub struct Source {
    file: Option<PathBuf>,
    /// What was given for which setting, under which name.
    overrides: Vec<(Vec<String>, String, Vec<String>)>,
}

impl Source {
    /// The settings in a file.
    pub fn file(path: impl Into<PathBuf>) -> Source {
        Source { file: Some(path.into()), overrides: Vec::new() }
    }

    /// The effective settings, checked.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let mut config = self.file.as_deref().map_or_else(|| Ok(Config::default()), Config::read)?;
        for (path, origin, values) in self.overrides.clone() {
            config = config.with(Override { path, origin, values })?;
        }
        config.check(&self.origin())?;
        Ok(config)
    }

    fn origin(&self) -> String {
        let names: Vec<&str> = self.overrides.iter().map(|(_, name, _)| name.as_str()).collect();
        match (&self.file, names.is_empty()) {
            (Some(path), true) => format!("the configuration file {}", path.display()),
            (Some(path), false) => format!("the configuration file {} with {}", path.display(), names.join(", ")),
            (None, true) => "the default settings".to_owned(),
            (None, false) => names.join(", "),
        }
    }
}

/// Each setting with its help.
fn settings() -> impl Iterator<Item = (Vec<String>, String)> {
    lines().filter_map(|line| match line {
        Line::Setting(path, comment, default) => Some((path, format!("{comment} [default: {default}]"))),
        Line::Other(_) => None,
    })
}

fn flag(path: &[String]) -> String {
    path.join("-").replace('_', "-")
}

fn variable(path: &[String]) -> String {
    format!("HEARKEN_{}", path.join("_").to_uppercase())
}

impl clap::Args for Source {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .short('c')
            .env("HEARKEN_CONFIG")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("Configuration file (TOML); `hearken config` prints one");
        let flags = settings().map(|(path, help)| {
            Arg::new(flag(&path))
                .long(flag(&path))
                .env(variable(&path))
                .value_name("VALUE")
                .action(ArgAction::Append)
                .allow_hyphen_values(true)
                .help_heading("Settings, as in the configuration file")
                // All of them would bury the few that matter.
                .hide_short_help(path.len() > 1)
                .help(help)
        });
        command.arg(file).args(flags)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Source::augment_args(command)
    }
}

impl FromArgMatches for Source {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Source, clap::Error> {
        let overrides = settings().filter_map(|(path, _)| {
            let id = flag(&path);
            let values: Vec<String> = matches.get_many(&id)?.cloned().collect();
            let origin = match matches.value_source(&id) {
                Some(ValueSource::EnvVariable) => format!("the environment variable {}", variable(&path)),
                _ => format!("the flag --{id}"),
            };
            Some((path, origin, values))
        });
        Ok(Source { file: matches.get_one("config").cloned(), overrides: overrides.collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Source::from_arg_matches(matches)?;
        Ok(())
    }
}
