use toml::Value;

use super::{Config, ConfigError};

/// The defaults with what they mean: the file that `hearken config` prints, and the list from which flags and environment
/// variables are made.
pub const DEFAULTS: &str = include_str!("default.toml");

/// A line of [`DEFAULTS`].
pub(super) enum Line {
    /// A setting: its place in the file, its comment, and its default.
    Setting(Vec<String>, String, &'static str),
    /// Anything else, as it is.
    Other(&'static str),
}

/// [`DEFAULTS`], line by line.
pub(super) fn lines() -> impl Iterator<Item = Line> {
    let mut section = Vec::new();
    let mut comment = String::new();
    DEFAULTS.lines().map(move |line| {
        if let Some(text) = line.strip_prefix("# ") {
            comment = if comment.is_empty() { text.to_owned() } else { format!("{comment} {text}") };
            return Line::Other(line);
        }
        let comment = std::mem::take(&mut comment);
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.split('.').map(str::to_owned).collect();
        }
        match line.split_once(" = ") {
            Some((key, default)) => {
                let path = section.iter().cloned().chain(std::iter::once(key.to_owned()));
                Line::Setting(path.collect(), comment, default)
            }
            None => Line::Other(line),
        }
    })
}

/// These settings as a file, with the comments of [`DEFAULTS`].
pub fn print(config: &Config) -> Result<String, ConfigError> {
    let root = Value::try_from(config)?;
    let mut out = String::with_capacity(DEFAULTS.len() * 2);
    for line in lines() {
        match line {
            Line::Other(line) => out.push_str(line),
            Line::Setting(path, ..) => {
                let value = path.iter().try_fold(&root, |value, key| value.get(key));
                if let (Some(key), Some(value)) = (path.last(), value) {
                    out.push_str(&format!("{key} = {value}"));
                }
            }
        }
        out.push('\n');
    }
    Ok(out)
}
