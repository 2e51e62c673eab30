//! What can be set, and what is refused.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use hearken_scheduler::{Config, Engine, GroupConfig, InvalidConfig, Now};
use hearken_tree::GroupId;

fn parse(text: &str) -> Result<Config, String> {
    let config: Config = toml::from_str(text).map_err(|error| error.to_string())?;
    config.validate().map_err(|error| error.to_string())?;
    Ok(config)
}

#[test]
fn defaults_are_valid_and_survive_a_round_trip() {
    assert_eq!(parse("").unwrap(), Config::default());
    let text = toml::to_string(&Config::default()).unwrap();
    assert_eq!(parse(&text).unwrap(), Config::default());
}

#[test]
fn settings_are_read_with_units() {
    let config = parse("interval_min = \"10s\"\n[limits]\nshare = 100").unwrap();
    assert_eq!((config.interval_min, config.limits.share), (Duration::from_secs(10), 100));
}

#[test]
fn what_cannot_work_is_refused_with_the_reason() {
    let cases = [
        ("interval_mni = \"10s\"", "unknown field `interval_mni`"),
        ("interval_min = 10", "invalid type"),
        ("interval_min = \"0s\"", "`interval_min` must be more than zero"),
        ("interval_min = \"10m\"", "must not be shorter than `interval_min`"),
        ("redundancy = 5", "`redundancy_any` (4) must be at least `redundancy` (5)"),
        ("summary_budget = 100", "must be from 128 to 65536"),
        ("horizon_grid = \"10m\"", "at most a tenth of `window`"),
        ("horizon_grid = \"1500ms\"", "must be whole seconds"),
    ];
    for (text, reason) in cases {
        let error = parse(text).unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn a_group_has_to_fit() {
    let config = Config::default();
    let now = Now { monotonic: Duration::ZERO, unix: 1 << 60 };
    let group = config.group(GroupId([1; 16]));
    let error = Engine::<u8>::new(config.clone(), [group.clone(), group.clone()], 1, now).err().unwrap();
    assert!(matches!(error, InvalidConfig::Twice(_)), "{error}");
    let short = GroupConfig { retention: group.window, ..group };
    let error = Engine::<u8>::new(config, [short], 1, now).err().unwrap();
    assert!(matches!(error, InvalidConfig::Retention { .. }), "{error}");
}
