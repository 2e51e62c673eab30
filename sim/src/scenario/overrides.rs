//! Settings from the command line: `network.nodes=100`, `event.0.at=30s`.

use serde::Deserialize as _;
use toml::{Table, Value};

use super::{Scenario, ScenarioError};

/// The scenario in `table` with these settings instead of its own.
pub(super) fn apply(table: Table, settings: &[String]) -> Result<Scenario, ScenarioError> {
    let mut root = Value::Table(table);
    for setting in settings {
        set(&mut root, setting).map_err(|message| ScenarioError::Set { setting: setting.clone(), message })?;
        // After each, so that a complaint names the right one.
        if let Err(error) = Scenario::deserialize(root.clone()) {
            let message = error.to_string().trim().replace('\n', ", ");
            return Err(ScenarioError::Set { setting: setting.clone(), message });
        }
    }
    Scenario::deserialize(root)
        .map_err(|error| ScenarioError::Set { setting: settings.join(" "), message: error.to_string() })
}

fn set(root: &mut Value, setting: &str) -> Result<(), String> {
    let expected = "expected key=value, like network.nodes=100";
    let (path, value) = setting.split_once('=').ok_or(expected)?;
    let mut place = root;
    let mut steps = path.trim().split('.').peekable();
    while let Some(step) = steps.next() {
        place = match place {
            Value::Table(table) => table.entry(step).or_insert_with(|| {
                if steps.peek().is_some() { Value::Table(Table::new()) } else { Value::Boolean(false) }
            }),
            Value::Array(items) => {
                let length = items.len();
                let item = step.parse::<usize>().ok().and_then(|index| items.get_mut(index));
                item.ok_or_else(|| format!("`{step}` is none of the {length} entries, which count from 0"))?
            }
            _ => return Err(format!("there is nothing below the value before `{step}`")),
        };
    }
    *place = parse(value.trim());
    Ok(())
}

/// As TOML would read it; what TOML cannot read is text, so that `30s` needs no quotes.
fn parse(text: &str) -> Value {
    let table: Option<Table> = format!("value = {text}").parse().ok();
    table.and_then(|mut table| table.remove("value")).unwrap_or_else(|| Value::String(text.to_owned()))
}
