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
        ("redundancy = 5", "`redundancy_any` (3) must be at least `redundancy` (5)"),
        ("summary_budget = 100", "must be from 128 to 65536"),
        ("horizon_grid = \"10m\"", "at most a tenth of `window`"),
        (
            "interval_min = \"5m\"\ninterval_max = \"1m\"",
            "`interval_max` (60s) must not be shorter than `interval_min` (300s)",
        ),
        ("interval_max = \"0s\"", "`interval_max` must be more than zero"),
        ("redundancy = 0", "`redundancy` must be more than zero"),
        ("redundancy_any = 0", "must be at least `redundancy` (1)"),
        ("network_size = 0", "`network_size` must be more than zero"),
        ("settle_delay = \"soon\"", "settle_delay"),
        ("settle_delay = \"20years\"", "`settle_delay` (631152000s) must be at most ten years"),
        ("window = \"0s\"", "`window` must be more than zero"),
        ("window = \"1m\"", "at most a tenth of `window` (60s)"),
        ("window = \"900years\"", "at most ten years"),
        ("summary_budget = 100000", "a head takes 60"),
        ("idle_trigger = \"11years\"", "`idle_trigger`"),
        ("sync_on_boot = 1", "expected a boolean"),
        ("probe = \"no\"", "expected a boolean"),
        ("[limits]\nserving = 0", "`limits.serving` must be more than zero"),
        ("[limits]\nforward_rate = 0", "`limits.forward_rate` must be more than zero"),
        ("[limits]\ncost_rate = 0", "`limits.cost_rate` must be more than zero"),
        ("[limits]\nhorizon_tolerance = \"5s\"", "must be at least twice `horizon_grid` (10s)"),
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
    let error = Engine::<u8>::new(config.clone(), [short], 1, now).err().unwrap();
    assert!(matches!(error, InvalidConfig::Retention { .. }), "{error}");
    assert!(error.to_string().contains("`window`, `settle_delay`, `interval_max` and twice `horizon_grid`"), "{error}");
    let group = config.group(GroupId([1; 16]));
    let brief = GroupConfig { window: Duration::from_secs(90), ..group };
    let error = Engine::<u8>::new(config, [brief], 1, now).err().unwrap();
    assert!(matches!(error, InvalidConfig::Grid { .. }), "{error}");
}

/// Who turns a setting has to be told what that does.
#[test]
fn every_setting_says_what_turning_it_does() {
    let source = include_str!("../../src/config.rs");
    let settings = source.split("pub struct Config {").nth(1).unwrap().split("pub limits: Limits").next().unwrap();
    let mut doc = String::new();
    let mut told = 0;
    for line in settings.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            doc += text;
        } else if let Some(field) = line.strip_prefix("pub ") {
            let words = ["Lower:", "Higher:", "Longer:", "Shorter:", "Off:", "Too low:"];
            assert!(words.iter().any(|word| doc.contains(word)), "{field} does not say what turning it does");
            assert!(doc.contains("Default"), "{field} does not say what it is by default");
            (doc, told) = (String::new(), told + 1);
        }
    }
    assert_eq!(told, 14);
}
