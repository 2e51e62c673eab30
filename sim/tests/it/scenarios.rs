//! What is wrong with a scenario is said with its place, before anything runs.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use hearken_sim::scenario::Scenario;

fn complaint(text: &str, settings: &[&str]) -> String {
    let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
    Scenario::parse("net.toml", text, &settings).unwrap_err().to_string()
}

/// The complaint about `text` names all of these.
fn complains(text: &str, settings: &[&str], parts: &[&str]) {
    let complaint = complaint(text, settings);
    assert!(parts.iter().all(|part| complaint.contains(part)), "{complaint}\nlacks one of {parts:?}");
}

#[test]
fn unknown_keys_and_wrong_types_name_file_line_and_what_was_expected() {
    complains("[network]\nnodes = 5\nsize = 3\n", &[], &["net.toml", "line 3", "size", "expected one of", "topology"]);
    complains("[network]\nnodes = \"many\"\n", &[], &["net.toml", "line 2", "nodes", "expected", "\"many\""]);
    complains("duration = \"ten\"\n", &[], &["net.toml", "line 1", "duration"]);
    complains("[sync]\ninterval = \"30s\"\n", &[], &["net.toml", "line 2", "interval", "interval_min"]);
    complains("[[event]]\nat = \"1m\"\nkind = \"flood\"\n", &[], &["net.toml", "line 3", "flood", "partition"]);
    complains("[[node]]\nnodes = \"2..1\"\n", &[], &["net.toml", "line 2", "2..1", "names no nodes"]);
    complains("[traffic]\nsize = \"big\"\n", &[], &["net.toml", "line 2", "150 kB"]);
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    let node_12 = "[network]\nnodes = 10\n\n[[event]]\nat = \"1m\"\nkind = \"crash\"\nnodes = 12\n";
    complains(node_12, &[], &["net.toml line 7", "event.0.nodes", "no node 12", "0 to 9"]);
    complains("[network]\nnodes = 1\n", &[], &["net.toml line 2", "network.nodes", "2 to 1,000,000"]);
    complains("[network]\nloss = 1.5\n", &[], &["net.toml line 2", "network.loss", "0.0 to 1.0"]);
    complains("[gossipsub]\nmesh_n = 20\n", &[], &["net.toml line 2", "mesh_n", "mesh_n_high (8)"]);
    let late = "duration = \"1m\"\n[[event]]\nkind = \"heal\"\nat = \"2m\"\n";
    complains(late, &[], &["net.toml line 4", "event.0.at", "behind the end"]);
    let lacks = "[[event]]\nat = \"2m\"\nkind = \"crash\"\n";
    complains(lacks, &[], &["net.toml line 3", "event.0.kind", "needs `nodes`"]);
    let odd = "[[event]]\nat = \"2m\"\nkind = \"heal\"\nnodes = 3\n";
    complains(odd, &[], &["net.toml line 4", "event.0.nodes", "means nothing", "heal"]);
    let interval = "[sync]\ninterval_min = \"5m\"\n";
    complains(interval, &[], &["net.toml line 1", "sync", "interval_max"]);
    complains("[baseline]\ninterval = \"0s\"\n", &[], &["net.toml line 2", "baseline.interval", "more than zero"]);
    complains("[baseline]\npartitions = 1\n", &[], &["net.toml line 2", "baseline.partitions", "at least 2"]);
    complains("protocol = \"gossip\"\n", &[], &["net.toml", "line 1", "gossip", "nwaku"]);
    complains("[traffic]\nspeed = 2.0\n", &[], &["net.toml line 2", "traffic.speed", "without `trace`"]);
    complains("[traffic]\ntrace = \"x.ndjson\"\nspeed = 0.0\n", &[], &["net.toml line 3", "traffic.speed"]);
    complains("[traffic]\ntrace = \"no/such.ndjson\"\n", &[], &["net.toml line 2", "traffic.trace", "no/such.ndjson"]);
    complains("[[node]]\nhostile = [\"rude\"]\n", &[], &["net.toml", "line 2", "rude", "garbage"]);
    let baseline = "protocol = \"nwaku\"\n[[node]]\nhostile = [\"silent\"]\n";
    complains(baseline, &[], &["net.toml line 3", "node.0.hostile", "not to `nwaku`"]);
    let event = |rest: &str| format!("[[event]]\nat = \"1m\"\n{rest}\n");
    let turns = event("kind = \"hostile\"\nnodes = 3");
    complains(&turns, &[], &["net.toml line 3", "event.0.kind", "needs `hostile`"]);
    let turns = event("kind = \"hostile\"\nnodes = 3\nhostile = [\"empty\"]");
    complains(&turns, &["protocol=negentropy"], &["event.0.hostile", "not to `negentropy`"]);
    let count = event("kind = \"crash\"\nnodes = 3\nundurable = 5");
    complains(&count, &[], &["net.toml", "line 5"]);
    complains("[network]\nnodes = \"ten\"\n", &[], &["expected a whole number"]);
    let settings = event("kind = \"settings\"\nsync = { interval_min = \"2h\" }");
    complains(&settings, &[], &["net.toml line 4", "event.0.sync", "interval_max"]);
    let settings = event("kind = \"settings\"\nsync = { interval = \"2h\" }");
    complains(&settings, &[], &["net.toml line 4", "event.0.sync", "interval", "interval_min"]);
    let settings = event("kind = \"settings\"\nsync = { window = \"2h\" }");
    complains(&settings, &[], &["net.toml line 4", "event.0.sync", "window"]);
    complains(&event("kind = \"disk_full\""), &[], &["net.toml line 3", "event.0.kind", "needs `nodes`"]);
    let lost = event("kind = \"crash\"\nnodes = 1\narchive = \"lost\"\nundurable = \"1s\"");
    complains(&lost, &[], &["net.toml line 6", "event.0.undurable", "whole archive"]);
    let matrix = "[network]\nlatency_model = \"regions\"\nregions = [\"a\", \"b\"]\nround_trips_ms = [[1.0]]\n";
    complains(matrix, &[], &["net.toml line 4", "2 rows of 2"]);
}

#[test]
fn settings_from_the_command_line_are_as_strict() {
    let text = "[network]\nnodes = 10\n[[event]]\nat = \"1m\"\nkind = \"crash\"\nnodes = 2\n";
    let scenario = |settings: &[&str]| {
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        Scenario::parse("net.toml", text, &settings).unwrap()
    };
    let changed = scenario(&["network.nodes=20", "event.0.at=30s", "sync.limits.serving=3", "title=two words"]);
    assert_eq!((changed.network.nodes, changed.events[0].at.as_secs()), (20, 30));
    assert_eq!((changed.sync.limits.serving, changed.title.as_str()), (3, "two words"));
    complains(text, &["network.nodez=20"], &["--set network.nodez=20", "nodez", "expected one of"]);
    complains(text, &["network.nodes"], &["--set network.nodes", "key=value"]);
    complains(text, &["event.3.at=1s"], &["--set event.3.at", "none of the 1 entries"]);
    complains(text, &["network.nodes=2"], &["event.0.nodes", "no node 2"]);
}

#[test]
fn the_program_says_it_and_fails() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("broken.toml");
    std::fs::write(&file, "[network]\nnodes = 10\ndegre = 3\n").unwrap();
    let run = |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_hearken-sim")).args(args).output().unwrap();
    let output = run(&["run", file.to_str().unwrap()]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("broken.toml") && said.contains("line 3"), "{said}");
    let output = run(&["run", "no-such-scenario"]);
    assert!(output.status.code() == Some(2) && String::from_utf8(output.stderr).unwrap().contains("hearken-sim list"));

    let output = run(&["list"]);
    let listed = String::from_utf8(output.stdout).unwrap();
    assert!(listed.lines().count() >= 10 && listed.lines().all(|line| line.len() > 21), "{listed}");
    for name in listed.lines().filter_map(|line| line.split_whitespace().next()) {
        Scenario::load(name, &[]).unwrap();
    }
}

#[test]
fn json_has_every_figure_and_the_exit_code_tells() {
    let run = |settings: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hearken-sim"));
        command.args([
            "run",
            "relay-loss",
            "--json",
            "--seed",
            "3",
            "--set",
            "network.nodes=8",
            "--set",
            "traffic.rate=2",
        ]);
        command.args(["--set", "traffic.until=1m", "--set", "duration=3m", "--set", "expect.repaired_min=1"]);
        command.args(settings.iter().flat_map(|setting| ["--set", setting])).output().unwrap()
    };
    let output = run(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys = "converged nodes seed messages missing_at_end completeness_s bytes_per_node ihaves_per_interval \
                round_trips redundancy wall_s events";
    assert!(keys.split_whitespace().all(|key| !json[key].is_null()), "{json}");
    let parts = [("completeness_s", "p50 p99 max"), ("bytes_per_node", "p50 p99 by_kind"), ("round_trips", "p50 p99")];
    assert!(parts.iter().all(|(key, parts)| parts.split(' ').all(|part| !json[key][part].is_null())), "{json}");
    assert_eq!((json["nodes"].as_u64(), json["seed"].as_u64()), (Some(8), Some(3)));
    assert_eq!(run(&["expect.completeness_max=1s"]).status.code(), Some(1));
}

/// The page opens offline, draws every chart, and carries the same figures as the JSON.
#[test]
fn the_page_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("page.html");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hearken-sim"));
    command.args(["run", "partition", "--json", "--set", "network.nodes=12", "--set", "event.0.parts=[\"0..6\"]"]);
    command.args([
        "--set",
        "event.0.at=1m",
        "--set",
        "event.0.for=1m",
        "--set",
        "traffic.until=3m",
        "--set",
        "duration=5m",
    ]);
    let output = command.arg("--report").arg(&file).output().unwrap();
    let page = std::fs::read_to_string(&file).unwrap();
    let carried = page.split_once("id=\"outcome\">").unwrap().1.split_once("</script>").unwrap().0;
    let carried: serde_json::Value = serde_json::from_str(carried).unwrap();
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(carried, printed);
    assert!(!["http:", "https:", "url(", "NaN", "inf\""].iter().any(|foreign| page.contains(foreign)));
    assert_eq!(page.matches("<svg").count(), 8, "missing copies are drawn twice, for screens and for phones");
    let bars = printed["ihaves_per_interval"]["counts"].as_array().unwrap().len();
    let served = printed["providers"]["curve"].as_array().unwrap().len();
    assert_eq!(page.matches("class=\"bar\"").count(), bars + served + 5);
    assert!(page.contains("hearken-sim run partition --set network.nodes=12"));
}

fn sim(args: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_hearken-sim")).args(args).output().unwrap()
}

/// A run's trace makes the same run, and what is otherwise in it is found.
#[test]
fn a_trace_is_made_again_to_the_byte() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("trace.jsonl");
    let path = file.to_str().unwrap();
    assert!(sim(&["run", "chain", "--seed", "7", "--set", "traffic.stored=20", "--trace", path]).status.success());
    let output = sim(&["replay", path]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("to the byte"));
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    std::fs::write(&file, text.replacen("\"repaired\"", "\"repelled\"", 1)).unwrap();
    let said = String::from_utf8(sim(&["replay", path]).stdout).unwrap();
    let first = lines.iter().position(|line| line.contains("\"repaired\"")).unwrap() + 1;
    assert!(said.contains(&format!("line {first}:")), "{said} (not {first})");
    std::fs::write(&file, lines[..lines.len() - 1].join("\n") + "\n").unwrap();
    assert_eq!(sim(&["replay", path]).status.code(), Some(1), "the end is missing");
    std::fs::write(&file, "{}\n").unwrap();
    let output = sim(&["replay", path]);
    assert!(output.status.code() == Some(2) && String::from_utf8_lossy(&output.stderr).contains("line 1"));
}

#[test]
fn protocols_stand_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("page.html");
    let mut args =
        vec!["run", "relay-loss", "--compare", "none,negentropy,nwaku,full_ids", "--set", "network.nodes=10"];
    args.extend(["--set", "traffic.rate=2", "--set", "traffic.until=1m", "--set", "duration=4m"]);
    args.extend(["--set", "expect.repaired_min=1", "--report", page.to_str().unwrap()]);
    let shown = String::from_utf8(sim(&args).stdout).unwrap();
    assert!(shown.contains("negentropy polling") && shown.contains("XOR ranges (nwaku)"), "{shown}");
    args.push("--json");
    let output = sim(&args);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let against = json["against"].as_array().unwrap();
    let protocols: Vec<&str> = against.iter().map(|outcome| outcome["protocol"].as_str().unwrap()).collect();
    assert_eq!(
        (json["protocol"].as_str(), protocols),
        (Some("hearken"), vec!["none", "negentropy", "nwaku", "full_ids"])
    );
    assert!(against[0]["missing_at_end"].as_u64().unwrap() > 10 && against[3]["missing_at_end"] == 0);
    let page = std::fs::read_to_string(&page).unwrap();
    assert!(page.contains("Side by side") && page.contains("class=\"curve c4\""));
    let refused = sim(&["run", "chain", "--compare", "smoke"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("full_ids"), "{refused:?}");
}

#[test]
fn a_sweep_recommends() {
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("sweep.html");
    let mut args = vec!["sweep", "relay-loss", "--over", "interval_max=10s,1m", "--over", "delivery_loss=0.1,0.2"];
    args.extend(["--seeds", "1", "--json", "--set", "network.nodes=8", "--set", "traffic.rate=2"]);
    args.extend(["--set", "traffic.until=2m", "--set", "duration=6m", "--report", page.to_str().unwrap()]);
    let json: serde_json::Value = serde_json::from_slice(&sim(&args).stdout).unwrap();
    let keys: Vec<&str> = json["over"].as_array().unwrap().iter().map(|over| over["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["sync.interval_max", "gossipsub.delivery_loss"]);
    assert_eq!(json["points"].as_array().unwrap().len(), 4);
    let staleness = |at: usize| json["points"][at]["staleness_s"].as_f64().unwrap();
    assert!(staleness(0) < staleness(2), "{json}");
    assert!(json["recommended"][0].is_string());
    let page = std::fs::read_to_string(&page).unwrap();
    assert_eq!(page.matches("<svg class=\"chart").count(), 2);
    assert_eq!(page.matches("class=\"point").count(), 8, "four points, twice");
    args.extend(["--over", "interval_mox=1s"]);
    assert!(String::from_utf8_lossy(&sim(&args).stderr).contains("interval_mox"));
}
