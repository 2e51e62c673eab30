//! Settings that change while a node runs, by SIGHUP and over HTTP; what cannot change says so.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Node, run_until_said};

#[test]
fn a_hangup_reads_the_file_again_and_says_what_takes_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.toml");
    fs::write(&file, "max_connections = 50\n[sync]\nidle_trigger = '5m'\nwindow = '1h'\n").unwrap();
    let data = folder.path().join("data");
    let node = Node::start_with(&data, &[], &["--config", file.to_str().unwrap()]);
    let http = node.http();
    assert_eq!(http.json("/admin/v1/settings")["sync"]["idle_trigger"], "5m");

    fs::write(&file, "max_connections = 60\n[sync]\nidle_trigger = '2m'\nwindow = '2h'\n").unwrap();
    node.signal("HUP");
    run_until_said(&node, &["settings changed: sync.idle_trigger"]);
    run_until_said(&node, &["take a restart", "max_connections", "sync.window"]);
    let settings = http.json("/admin/v1/settings");
    assert_eq!(settings["sync"]["idle_trigger"], "2m");
    assert_eq!((&settings["sync"]["window"], &settings["max_connections"]), (&json!("1h"), &json!(50)));

    fs::write(&file, "[sync]\nidle_trigger = 120\n").unwrap();
    node.signal("HUP");
    run_until_said(&node, &["the settings stay as they were"]);
    // The library's message spans lines; the example ends the last of them.
    run_until_said(&node, &["expected a duration such as", "30m"]);
    assert_eq!(http.json("/admin/v1/settings")["sync"]["idle_trigger"], "2m");
    node.stop().success();
}

#[test]
fn settings_change_over_http_all_of_them_or_none() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path(), &[]);
    let http = node.http();
    let changed = http.post("/admin/v1/settings", &json!({ "sync.interval_max": "9s", "sync.redundancy_any": 6 }));
    assert_eq!(changed.expect(200).json()["changed"], json!(["sync.interval_max", "sync.redundancy_any"]));
    assert_eq!(http.json("/admin/v1/settings")["sync"]["interval_max"], "9s");

    let refused: [(Value, u16); 6] = [
        (json!({ "sync.window": "2h" }), 409),
        (json!({ "sync.interval_max": "8s", "max_connections": 5 }), 409),
        (json!({ "sync.interval_max": "1ms" }), 400),
        (json!({ "sync.intervalmax": "1s" }), 400),
        (json!({ "sync": { "interval_max": "1s" } }), 400),
        (json!({}), 400),
    ];
    for (given, status) in refused {
        let answer = http.post("/admin/v1/settings", &given).expect(status);
        assert!(answer.body.len() > 10, "{answer:#?}");
    }
    assert_eq!(http.json("/admin/v1/settings")["sync"]["interval_max"], "9s", "none of them was taken");

    http.post("/admin/v1/settings", &json!({ "paused": true })).expect(200);
    assert_eq!(http.json("/sync/v1")["paused"], true);
    assert_eq!(http.json("/sync/v1")["whole"], "unknown");
    http.post("/admin/v1/settings", &json!({ "paused": "false" })).expect(200);
    assert_eq!(http.json("/sync/v1")["paused"], false);

    http.post("/admin/v1/log-level/error", &json!(null)).expect(200);
    assert_eq!(http.json("/admin/v1/settings")["log"], "error");
    http.post("/admin/v1/log-level/loud", &json!(null)).expect(400);
    // Without a file, the settings that it was started with are read again.
    http.post("/admin/v1/reload", &json!(null)).expect(200);
    assert_eq!(http.json("/admin/v1/settings")["sync"]["interval_max"], "4s");
    node.stop().success();
}
