//! Settings: what wins over what, what is refused, and with which words.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Command, FromArgMatches};
use hearken_node::config::{Bound, ByteSize, Config, DEFAULTS, GroupConfig, NoShard, Source, print};

/// The settings of a file with these flags; errors call the file "node.toml".
fn load_with(text: &str, flags: &[&str]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    let arguments = ["test", "--config", &path].into_iter().chain(flags.iter().copied());
    let matches = Source::augment_args(Command::new("test")).try_get_matches_from(arguments).unwrap();
    let source = Source::from_arg_matches(&matches).unwrap();
    source.load().map_err(|error| error.to_string().replace(&path, "node.toml"))
}

fn load(text: &str) -> Result<Config, String> {
    load_with(text, &[])
}

#[test]
fn printed_defaults_are_the_defaults() {
    assert_eq!(toml::from_str::<Config>(DEFAULTS).unwrap(), Config::default());
    assert_eq!(print(&Config::default()).unwrap(), DEFAULTS);
    Config::default().check("the defaults").unwrap();
}

/// What is not printed has no flag, no variable and no explanation.
#[test]
fn every_setting_is_printed() {
    let printed = toml::from_str::<toml::Table>(DEFAULTS).unwrap();
    assert_eq!(printed, toml::Table::try_from(Config::default()).unwrap());
}

#[test]
fn printed_settings_are_read_back() {
    let config = load(
        "groups = ['/a', { pubsub_topic = '/waku/2/rs/1/2', content_topics = ['/a/1/b/proto', '/a/1/c/proto'] }]\n\
         peers = ['/ip4/192.0.2.1/tcp/60000', '/dns4/example.org/tcp/60000']\n\
         [archive]\nretention = 'unlimited'\n[sync]\nwindow = '1h 30m'",
    )
    .unwrap();
    assert_eq!(load(&print(&config).unwrap()).unwrap(), config);
}

#[test]
fn a_network_with_autosharding_stands_for_its_shards() {
    let groups = |text: &str| load(&format!("groups = [{text}]")).map(|config| config.groups);
    let whole = |n| GroupConfig::whole(&format!("/waku/2/rs/1/{n}")).in_network_of(8);
    let all: Vec<GroupConfig> = (0..8).map(whole).collect();
    assert_eq!(groups("{ cluster = 1, shards = 8 }"), Ok(all));
    let topics = ["/toy-chat/2/huilong/proto", "/toy-chat/2/other/proto"];
    let found = groups(&format!("{{ cluster = 1, shards = 8, content_topics = {topics:?} }}")).unwrap();
    let expected = GroupConfig { content_topics: topics.map(str::to_owned).into(), ..whole(7) };
    assert_eq!(found, [expected], "the name of a topic does not decide its shard, the application does");
    let wrong = groups("{ cluster = 1, shards = 8, content_topics = ['/toy-chat'] }").unwrap_err();
    assert!(wrong.contains("expected a content topic") && wrong.contains("/toy-chat"), "{wrong}");
}

#[test]
fn a_content_topic_leads_to_its_shard_where_the_network_is_known() {
    let shard = |groups: &str, topic: &str| load(&format!("groups = [{groups}]")).unwrap().shard_of(topic);
    let topic = "/toy-chat/2/huilong/proto";
    assert_eq!(shard("{ cluster = 1, shards = 8 }", topic), Ok("/waku/2/rs/1/7".to_owned()));
    assert_eq!(shard("{ pubsub_topic = '/waku/2/rs/1/7', shards = 8 }", topic), Ok("/waku/2/rs/1/7".to_owned()));
    assert_eq!(shard("'/waku/2/rs/1/7'", topic), Err(NoShard::NoNetwork));
    let elsewhere = shard("{ pubsub_topic = '/waku/2/rs/1/3', shards = 8 }", topic);
    assert_eq!(elsewhere, Err(NoShard::NotRelayed("/waku/2/rs/1/7".to_owned())));
    assert!(matches!(shard("{ cluster = 1, shards = 8 }", "toy-chat"), Err(NoShard::Topic(_))));
    // And it is written as it is read.
    let config = load("groups = [{ pubsub_topic = '/waku/2/rs/1/3', shards = 8 }]").unwrap();
    assert_eq!(load(&print(&config).unwrap()).unwrap(), config);
}

#[test]
fn flags_win_over_the_file_and_the_file_over_defaults() {
    let file = "data_dir = 'from-file'\n[sync]\nwindow = '2h'\nhorizon_grid = '5s'\n[messages]\nmax_size = '64KiB'";
    let config = load_with(file, &["--sync-window", "10m", "--sync-redundancy", "2", "--sync-probe", "false"]).unwrap();
    assert_eq!(config.data_dir, PathBuf::from("from-file"));
    assert_eq!(config.sync.window, Duration::from_secs(600));
    assert_eq!(config.sync.redundancy, 2);
    assert!(!config.sync.probe);
    assert_eq!(config.sync.horizon_grid, Duration::from_secs(5));
    assert_eq!(config.messages.max_size, ByteSize(65_536));
    assert_eq!(config.sync.settle_delay, Config::default().sync.settle_delay);
}

#[test]
fn lists_are_repeated_or_separated_by_commas_or_written_as_toml() {
    let expected = vec!["/ip4/192.0.2.1/tcp/1".parse().unwrap(), "/ip4/192.0.2.2/tcp/2".parse().unwrap()];
    let cases: [&[&str]; 3] = [
        &["--peers", "/ip4/192.0.2.1/tcp/1", "--peers", "/ip4/192.0.2.2/tcp/2"],
        &["--peers", "/ip4/192.0.2.1/tcp/1, /ip4/192.0.2.2/tcp/2"],
        &["--peers", "['/ip4/192.0.2.1/tcp/1', '/ip4/192.0.2.2/tcp/2']"],
    ];
    for flags in cases {
        assert_eq!(load_with("", flags).unwrap().peers, expected);
    }
    let groups = "['/a', { pubsub_topic = '/b', content_topics = ['/c/1/d/proto'] }]";
    let part = GroupConfig { content_topics: ["/c/1/d/proto".to_owned()].into(), ..GroupConfig::whole("/b") };
    assert_eq!(load_with("", &["--groups", groups]).unwrap().groups, [GroupConfig::whole("/a"), part]);
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let error = load("[sync]\nwindw = '1h'").unwrap_err();
    for expected in ["node.toml", "line 2", "unknown field `windw`", "`window`"] {
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_wrong_unit_says_what_was_expected() {
    let cases = [
        ("[sync]\nwindow = '5 parsecs'", ["line 2", "window", "expected a duration", "5 parsecs"]),
        ("[sync]\nwindow = 30", ["line 2", "window", "a duration", "integer `30`"]),
        ("[messages]\nmax_future = 30", ["line 2", "max_future", "expected a duration such as", "integer `30`"]),
        ("[messages]\nmax_size = '150 cm'", ["line 2", "max_size", "expected a size such as", "150 cm"]),
        ("[archive]\nretention = 'never'", ["line 2", "retention", "or \"unlimited\"", "never"]),
        ("\npeers = ['example.org:60000']", ["line 2", "peers", "a multiaddress", "example.org:60000"]),
        ("\nlisten = ['/ip4/0.0.0.0/udp/1/webrtc-direct']", ["line 2", "listen", "a multiaddress", "webrtc"]),
        ("\n[discovery]\ndns = ['enrtree://AAAA@example.org']", ["line 3", "dns", "enrtree://KEY@NAME", "AAAA"]),
        ("\n[discovery]\ndns_server = 'here'", ["line 3", "dns_server", "\"system\"", "here"]),
        ("\ngroups = [7]", ["line 2", "groups", "expected a pubsub topic", "content_topics"]),
    ];
    for (text, expected) in cases {
        let error = load(text).unwrap_err();
        assert!(error.contains("node.toml"), "{error}");
        assert!(expected.iter().all(|expected| error.contains(expected)), "{error}");
    }
}

#[test]
fn a_wrong_flag_is_named() {
    let cases = [
        (["--sync-window", "5 parsecs"], ["--sync-window", "sync.window", "parsecs"]),
        (["--sync-announce", "maybe"], ["--sync-announce", "true or false", "maybe"]),
        (["--max-connections", "many"], ["--max-connections", "a whole number", "many"]),
        (["--max-connections", "-1"], ["--max-connections", "max_connections", "-1"]),
        (["--peers", "here"], ["--peers", "a multiaddress", "here"]),
        (["--archive-retention", "1m"], ["--archive-retention", "archive.retention", "1m"]),
    ];
    for (flags, expected) in cases {
        let error = load_with("", &flags).unwrap_err();
        assert!(expected.iter().all(|expected| error.contains(expected)), "{error}");
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let cases = [
        ("[archive]\nretention = '1h'", ["archive.retention", "sync.window", "1h"]),
        ("[sync]\ninterval_max = '1s'", ["sync", "interval_max", "1s"]),
        ("[sync]\nwindow = '0s'", ["sync", "window", "more than zero"]),
        ("[sync]\nsummary_budget = 10", ["sync", "summary_budget", "10"]),
        ("[messages]\nmax_size = '1GiB'", ["messages.max_size", "1GiB", "4MiB"]),
        ("groups = []", ["groups", "is empty", "at least one"]),
        ("groups = ['waku']", ["groups", "\"waku\"", "begins with"]),
        ("groups = ['/a', '/a']", ["groups", "/a", "twice"]),
        ("log = 'hearken=loud'", ["log", "hearken=loud", "expected levels"]),
        ("max_connections = 0", ["max_connections", "is 0", "at least 1"]),
    ];
    for (text, expected) in cases {
        let error = load(text).unwrap_err();
        assert!(error.contains("node.toml"), "{error}");
        assert!(expected.iter().all(|expected| error.contains(expected)), "{error}");
    }
}

#[test]
fn the_window_may_just_fit_its_retention() {
    let sync = "[sync]\nwindow = '1h'\nsettle_delay = '30s'\ninterval_max = '5m'\nhorizon_grid = '10s'\n";
    assert!(load(&format!("{sync}[archive]\nretention = '65m 50s'")).is_ok());
    assert!(load(&format!("{sync}[archive]\nretention = '65m 49s'")).is_err());
    let unlimited = load(&format!("{sync}[archive]\nretention = 'unlimited'")).unwrap();
    assert_eq!(unlimited.archive.retention, Bound::Unlimited);
}

#[test]
fn a_missing_file_is_named() {
    let error = Source::file("does/not/exist.toml").load().unwrap_err().to_string();
    assert!(error.contains("does/not/exist.toml"), "{error}");
}
