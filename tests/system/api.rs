//! The HTTP interface: what nwaku's clients use, our own routes, and that whatever is malformed is refused with a reason.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::harness::{Http, Node, PATIENCE, Trace, hearken, import, turn};

const TOPIC: &str = "/relay/v1/messages/%2Fwaku%2F2%2Frs%2F66%2F0";

fn message(text: &str, content_topic: &str) -> Value {
    json!({ "payload": BASE64_STANDARD.encode(text), "contentTopic": content_topic })
}

fn hashes(http: &Http, query: &str) -> Vec<String> {
    let page = http.json(&format!("/store/v3/messages?{query}"));
    let messages = page["messages"].as_array().unwrap_or_else(|| panic!("no messages in {page}"));
    messages.iter().map(|message| message["messageHash"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_published_message_is_relayed_stored_found_and_deleted_for_good() {
    let _turn = turn();
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let other = Node::start(there.path(), &[]);
    let node = Node::start(here.path(), &[other.address()]);
    let (http, elsewhere) = (node.http(), other.http());
    let speaks = |json: &Value| json[0]["protocols"].as_array()?.contains(&json!("/hearken/sync/1.0.0")).then_some(());
    http.until("/admin/v1/peers", "a peer that synchronises", speaks);
    elsewhere.until("/admin/v1/peers", "a peer that synchronises", speaks);

    http.post(TOPIC, &message("hello", "/toy-chat/2/huilong/proto")).expect(200);
    let got = elsewhere.until(TOPIC, "the relayed message", |json| json.get(0).cloned());
    assert_eq!(got["payload"], BASE64_STANDARD.encode("hello"));
    assert_eq!(got["contentTopic"], "/toy-chat/2/huilong/proto");
    assert_eq!(elsewhere.json(TOPIC), json!([]), "what was fetched is gone");

    let of_topic = "contentTopics=%2Ftoy-chat%2F2%2Fhuilong%2Fproto";
    let [hash] = <[String; 1]>::try_from(hashes(&http, of_topic)).unwrap();
    assert_eq!(hashes(&http, "contentTopics=%2Fother%2F1%2Fa%2Fproto"), [""; 0]);
    let found = http.json(&format!("/store/v3/messages?includeData=true&hashes={hash}"));
    assert_eq!(found["messages"][0]["message"]["payload"], BASE64_STANDARD.encode("hello"));
    assert_eq!(found["messages"][0]["message"]["timestamp"], got["timestamp"]);
    elsewhere.until(&format!("/store/v3/messages?{of_topic}"), "the message stored there", |json| {
        (json["messages"][0]["messageHash"] == hash).then_some(())
    });

    http.send("DELETE", &format!("/admin/v1/messages/{hash}"), &[], &[]).expect(200);
    http.send("DELETE", &format!("/admin/v1/messages/{hash}"), &[], &[]).expect(404);
    // Once the message has settled, the other one announces it; the two still count as equal.
    let settled = |json: &Value| (json["groups"][0]["count"] == 1).then_some(());
    elsewhere.until("/sync/v1", "the message in the window there", settled);
    let equal = |json: &Value| json["groups"][0]["neighbours"][0]["spans"].as_str().map(str::to_owned);
    for _ in 0..3 {
        assert_eq!(http.post("/sync/v1/now", &json!({})).expect(202).json()["groups"].as_array().unwrap().len(), 1);
        http.until("/sync/v1", "agreement with the neighbour", |json| (json["whole"] == "yes").then(|| equal(json)));
    }
    assert_eq!(hashes(&http, of_topic), [""; 0], "it came back");
    assert_eq!(http.json("/health")["nodeHealth"], "Ready");
    for node in [node, other] {
        let said = node.stop().success();
        assert!(!said.stderr.contains("panicked"), "{said:#?}");
    }
}

/// As a client that knows content topics only, and leaves shards to the nodes.
#[test]
fn messages_go_by_their_content_topics_where_the_network_is_known() {
    const MESSAGES: &str = "/relay/v1/auto/messages";
    const SUBSCRIPTIONS: &str = "/relay/v1/auto/subscriptions";
    let _turn = turn();
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let network = "--groups=[{ cluster = 66, shards = 8 }]";
    let other = Node::start_with(there.path(), &[], &[network]);
    let node = Node::start_with(here.path(), &[other.address()], &[network]);
    let (http, elsewhere) = (node.http(), other.http());
    let connected = |json: &Value| json[0]["protocols"].as_array().map(drop);
    elsewhere.until("/admin/v1/peers", "a peer", connected);

    let (wanted, unwanted) = ("/toy-chat/2/huilong/proto", "/toy-chat/2/other/proto");
    let path = format!("{MESSAGES}/{}", wanted.replace('/', "%2F"));
    elsewhere.get(&path).expect(404);
    elsewhere.post(SUBSCRIPTIONS, &json!([wanted])).expect(200);
    assert_eq!(elsewhere.json(&path), json!([]));
    for (text, topic) in [("no", unwanted), ("yes", wanted)] {
        http.post(MESSAGES, &message(text, topic)).expect(200);
    }
    // It is relayed, or repaired: then it is stored, and not relayed.
    let stored = format!("/store/v3/messages?includeData=true&contentTopics={}", wanted.replace('/', "%2F"));
    let there = elsewhere.until(&stored, "the message", |json| json["messages"].get(0).cloned());
    assert_eq!(there["pubsubTopic"], "/waku/2/rs/66/7", "the shard of the specification's example");
    let got = http.json("/relay/v1/messages/%2Fwaku%2F2%2Frs%2F66%2F7");
    assert_eq!(got.as_array().map(Vec::len), Some(2), "{got}");
    for got in elsewhere.json(&path).as_array().unwrap() {
        assert_eq!(got["payload"], BASE64_STANDARD.encode("yes"));
    }
    // What a node publishes counts for its own subscribers, too.
    http.post(SUBSCRIPTIONS, &json!([wanted])).expect(200);
    http.post(MESSAGES, &message("again", wanted)).expect(200);
    let got = http.json(&path);
    assert_eq!(got[0]["payload"], BASE64_STANDARD.encode("again"), "{got}");
    assert_eq!(http.json(&path), json!([]), "what was fetched is gone");
    let unsubscribe = json!([wanted]).to_string();
    http.send("DELETE", SUBSCRIPTIONS, &[("content-type", "application/json")], unsubscribe.as_bytes()).expect(200);
    http.get(&path).expect(404);

    let too_many: Vec<String> = (0..300).map(|n| format!("/toy-chat/2/{n}/proto")).collect();
    http.post(SUBSCRIPTIONS, &json!(too_many)).expect(400);
    for wrong in [json!(["toy-chat"]), json!("/toy-chat/2/huilong/proto"), json!(["/9/toy-chat/2/huilong/proto"])] {
        http.post(SUBSCRIPTIONS, &wrong).expect(400);
    }
    http.post(MESSAGES, &message("a", "toy-chat")).expect(400);
    http.post("/relay/v1/subscriptions", &json!(["/waku/2/rs/66/3"])).expect(200);
    let said = http.post("/relay/v1/subscriptions", &json!(["/waku/2/rs/1/3"])).expect(400);
    assert!(said.body.contains("not relayed here"), "{said:#?}");
    for node in [node, other] {
        node.stop().success();
    }
}

#[test]
fn content_topics_without_a_known_network_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path(), &[]);
    let said = node.http().post("/relay/v1/auto/messages", &message("a", "/toy-chat/2/huilong/proto")).expect(400);
    assert!(said.body.contains("how many shards") && said.body.contains("shards = 8"), "{said:#?}");
    node.stop().success();
}

#[test]
fn stored_messages_are_read_in_pages_in_both_directions() {
    let data = tempfile::tempdir().unwrap();
    let trace = Trace::generate(20, 230);
    import(data.path(), &trace);
    let node = Node::start(data.path(), &[]);
    let http = node.http();
    let all = |ascending: bool| {
        let (mut all, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = http.json(&format!("/store/v3/messages?pageSize=100&ascending={ascending}&cursor={cursor}"));
            let mut hashes: Vec<String> =
                page["messages"].as_array().unwrap().iter().map(|m| m["messageHash"].to_string()).collect();
            if !ascending {
                hashes.reverse();
            }
            all.extend(hashes);
            pages += 1;
            match page["paginationCursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(pages, 3);
        all
    };
    let (forward, mut backward) = (all(true), all(false));
    backward.reverse();
    assert_eq!(forward, backward);
    assert_eq!(forward.iter().collect::<BTreeSet<_>>().len(), trace.len());
}

#[test]
fn what_is_malformed_is_refused_with_a_reason_and_does_no_harm() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path(), &[]);
    let http = node.http();
    let json_type = ("content-type", "application/json");
    let long = "a".repeat(1 << 20);
    let posts: Vec<(&str, String)> = vec![
        (TOPIC, String::new()),
        (TOPIC, "{".to_owned()),
        (TOPIC, "[]".to_owned()),
        (TOPIC, "{\"payload\":\"aGVsbG8=\"}".to_owned()),
        (TOPIC, json!({ "payload": "###", "contentTopic": "/a/1/b/proto" }).to_string()),
        (TOPIC, json!({ "payload": "", "contentTopic": "/a/1/b/proto" }).to_string()),
        (TOPIC, json!({ "payload": "aGVsbG8=", "contentTopic": "/a/1/b/proto", "timestamp": 1 }).to_string()),
        (TOPIC, json!({ "payload": "aGVsbG8=", "contentTopic": "/a/1/b/proto", "timestamp": -5 }).to_string()),
        (TOPIC, json!({ "payload": "aGVsbG8=", "contentTopic": "/a/1/b/proto", "timestamp": "now" }).to_string()),
        (TOPIC, json!({ "payload": "aGVsbG8=", "contentTopic": "/a/1/b/proto", "meta": long[..200] }).to_string()),
        (TOPIC, json!({ "payload": long[..400_000], "contentTopic": "/a/1/b/proto" }).to_string()),
        (TOPIC, json!({ "payload": long[..240_000], "contentTopic": "/a/1/b/proto" }).to_string()),
        ("/relay/v1/messages/%2Fother", message("a", "/a/1/b/proto").to_string()),
        ("/relay/v1/messages/%ff%fe", message("a", "/a/1/b/proto").to_string()),
        ("/relay/v1/messages/", message("a", "/a/1/b/proto").to_string()),
        ("/sync/v1/now", "{\"grup\":\"a\"}".to_owned()),
        ("/sync/v1/now", "{\"group\":\"a\"}".to_owned()),
        ("/sync/v1/now", "7".to_owned()),
        ("/admin/v1/backfill", "{}".to_owned()),
        ("/admin/v1/backfill", json!({ "from": 5, "to": 4, "peers": ["/ip4/127.0.0.1/tcp/1"] }).to_string()),
        ("/admin/v1/backfill", json!({ "from": 4, "to": 5, "peers": ["nonsense"] }).to_string()),
        ("/admin/v1/diff", json!({ "peer": "nonsense" }).to_string()),
        ("/admin/v1/diff", json!({ "peer": "/ip4/127.0.0.1/tcp/1", "from": 5, "to": 4 }).to_string()),
        ("/admin/v1/diff", json!({ "peer": "/ip4/127.0.0.1/tcp/1", "form": 5 }).to_string()),
        ("/relay/v1/subscriptions", "7".to_owned()),
        ("/relay/v1/auto/messages", "{}".to_owned()),
        ("/relay/v1/auto/subscriptions", json!(["nonsense"]).to_string()),
        ("/admin/v1/peers", "[]".to_owned()),
        ("/admin/v1/peers", "[\"nonsense\"]".to_owned()),
        ("/admin/v1/peers", "[\"/ip4/127.0.0.1/tcp/1\"]".to_owned()),
        ("/admin/v1/peers", format!("[{}1]", "[".repeat(5000))),
    ];
    for (path, body) in &posts {
        let answer = http.send("POST", path, &[json_type], body.as_bytes());
        assert!((400..500).contains(&answer.status) && answer.body.len() > 10, "{path} {:.80}: {answer:#?}", body);
    }
    http.send("POST", TOPIC, &[("content-type", "text/plain")], b"{}").expect(415);
    let gets = [
        ("/relay/v1/messages/%2Fother", 404),
        ("/relay/v1/auto/messages/%2Fother", 404),
        ("/relay/v1/messages/%2Fwaku%2F2%2Frs%2F66%2F0%00", 404),
        ("/store/v3/messages?contentTopic=/a", 400),
        ("/store/v3/messages?pageSize=-1", 400),
        ("/store/v3/messages?pageSize=99999999999999999999999", 400),
        ("/store/v3/messages?ascending=perhaps", 400),
        ("/store/v3/messages?startTime=5&endTime=4", 400),
        ("/store/v3/messages?startTime=yesterday", 400),
        ("/store/v3/messages?hashes=", 400),
        ("/store/v3/messages?hashes=0xzz", 400),
        ("/store/v3/messages?cursor=0x00", 400),
        (&format!("/store/v3/messages?cursor=0x{}", "0".repeat(64)), 400),
        ("/store/v3/messages?pageSize=5&pageSize=6", 400),
        ("/store/v3/messages?%ff=%ff", 400),
        ("/nothing", 404),
        ("/../../etc/passwd", 404),
        ("/page.js/", 404),
    ];
    for (path, status) in gets {
        let answer = http.get(path).expect(status);
        assert!(answer.body.len() > 10, "{path}: {answer:#?}");
    }
    for hash in ["x", "0x", "%2e%2e", &"f".repeat(64)] {
        let answer = http.send("DELETE", &format!("/admin/v1/messages/{hash}"), &[], &[]);
        assert!((400..500).contains(&answer.status), "{hash}: {answer:#?}");
    }
    for noise in [
        "\r\n\r\n",
        "GET\r\n\r\n",
        "\0\u{1}\u{2}",
        "GET / HTTP/9.9\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ] {
        raw(http.base(), noise);
    }
    assert_eq!(http.json("/health")["nodeHealth"], "Ready");
    let said = node.stop().success();
    assert!(!said.stderr.contains("panicked"), "{said:#?}");
}

/// Sends bytes and reads what comes until the other side closes, which it does soon.
fn raw(base: &str, bytes: &str) {
    let mut stream = TcpStream::connect(base.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn pages_of_other_origins_and_names_are_kept_out() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path(), &[]);
    let http = node.http();
    http.send("POST", "/sync/v1/now", &[("origin", "http://evil.example")], &[]).expect(403);
    http.send("GET", "/sync/v1", &[("host", "evil.example:8645")], &[]).expect(403);
    let own = http.base().to_owned();
    http.send("POST", "/sync/v1/now", &[("origin", &own)], &[]).expect(202);
}

#[test]
fn the_description_lists_exactly_what_is_served() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path(), &[]);
    let http = node.http();
    let description = http.json("/openapi.json");
    for (path, methods) in description["paths"].as_object().unwrap() {
        if path.ends_with("/events") {
            continue; // It has no end.
        }
        let concrete = path.replace(['{', '}'], "");
        for method in ["get", "post", "put", "patch", "delete"] {
            let answer = http.send(&method.to_uppercase(), &concrete, &[], &[]);
            let served = answer.status != 405 && !answer.body.starts_with("there is nothing at");
            let described = methods.get(method);
            assert_eq!(served, described.is_some(), "{method} {path}: {answer:#?}");
            if let Some(described) = described {
                let status = answer.status.to_string();
                assert!(described["responses"].get(&status).is_some(), "{method} {path}: {status} is not described");
            }
        }
    }
}

#[test]
fn no_answer_holds_the_nodes_secret() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path(), &[]);
    let http = node.http();
    let key = std::fs::read(data.path().join("identity.key")).unwrap();
    // Whatever a key is encoded with, some middle part of it shows.
    let secret = &key[6..36];
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = BASE64_STANDARD.encode(secret);
    let description = http.json("/openapi.json");
    let paths = description["paths"].as_object().unwrap().iter();
    let readable = paths.filter(|(path, methods)| methods.get("get").is_some() && !path.ends_with("/events"));
    let mut looked_at = 0;
    for (path, _) in readable {
        let body = http.get(path).body.to_lowercase();
        assert!(!body.contains(&hex) && !body.contains(&base64.to_lowercase()), "{path} shows the secret");
        looked_at += 1;
    }
    assert!(looked_at > 10);
    node.stop().success();
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data_dir = data.path().to_str().unwrap();
    let listen = "/ip4/127.0.0.1/tcp/0";
    hearken(["run", "--data-dir", data_dir, "--listen", listen, "--api-listen", &address]).failure(&[
        &address,
        "api.listen",
        "in use",
        "off",
    ]);
    hearken(["run", "--api-listen", "8645"]).failure(&["--api-listen", "127.0.0.1:8645"]);
}
