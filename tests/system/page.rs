//! The status page, in a headless Chromium: it loads, changes by itself, compares on demand, and shows whatever the network sends as
//! text. With `HEARKEN_SCREENSHOTS=FOLDER`, pictures of it are kept there.

use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::harness::{Browser, Http, Node, Trace, import, turn};

const TOPIC: &str = "/relay/v1/messages/%2Fwaku%2F2%2Frs%2F66%2F0";

fn publish(http: &Http, topic: &str, text: &str, content_topic: &str) {
    let message = json!({ "payload": BASE64_STANDARD.encode(text), "contentTopic": content_topic });
    http.post(topic, &message).expect(200);
}

fn pictures(browser: &mut Browser, name: &str) {
    let Some(folder) = std::env::var_os("HEARKEN_SCREENSHOTS").map(PathBuf::from) else { return };
    for (size, width, height) in [("desktop", 1280, 1000), ("phone", 390, 844)] {
        for scheme in ["light", "dark"] {
            browser.screen(width, height, scheme);
            browser.evaluate("new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(shown)))");
            browser.screenshot(&folder.join(format!("{name}-{size}-{scheme}.png")));
        }
    }
    browser.screen(1280, 1000, "light");
}

#[test]
fn the_page_says_whether_the_node_is_whole_and_follows_it() {
    let _turn = turn();
    let trace = Trace::generate(30, 2_000);
    let (data, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    import(there.path(), &trace);
    import(data.path(), &trace.pick(|index| index % 10 != 3));
    let node = Node::start(data.path(), &[]);
    let mut browser = Browser::start();
    browser.screen(1280, 1000, "light");
    browser.open(node.http().base());
    // Nobody to compare with: the page must not claim anything.
    browser.until(
        "a verdict",
        "document.body.dataset.whole === 'unknown' && verdict_text().startsWith('Not known') || null"
            .replace("verdict_text()", "document.getElementById('verdict').textContent")
            .as_str(),
    );
    pictures(&mut browser, "alone");

    let other = Node::start(there.path(), &[node.address()]);
    browser.until("the verdict Yes", "document.body.dataset.whole === 'yes' || null");
    let verdict = browser.evaluate("document.getElementById('verdict').textContent");
    assert!(
        verdict
            .as_str()
            .unwrap()
            .starts_with("Yes, this node is whole: a neighbour held the same 2,000 messages of the last 1h"),
        "{verdict}"
    );
    assert_eq!(
        browser.evaluate("document.querySelector('main h1').id"),
        "verdict",
        "the first sentence is the verdict"
    );
    browser.until("the repair", "document.querySelector('#repairs strong')?.textContent.startsWith('+') || null");
    let spans = "document.querySelectorAll('.neighbours .track .cell.equal').length";
    browser.until("spans that are equal", &format!("{spans} > 50 || null"));

    publish(&node.http(), TOPIC, "hello", "/toy-chat/2/huilong/proto");
    let shown = "document.querySelector('#messages bdi')?.textContent === '/toy-chat/2/huilong/proto' || null";
    browser.until("the published message", shown);

    let manual = "[...document.querySelectorAll('.chips li')].find((chip) => chip.textContent.startsWith('manual'))?.textContent ?? null";
    assert!(browser.evaluate(manual).is_null());
    // By keyboard: the button is the first thing that can be reached.
    browser.press("Tab");
    assert_eq!(browser.evaluate("document.activeElement.id"), "now");
    browser.press("Enter");
    browser
        .until("the answer to the button", "document.getElementById('asked').textContent.startsWith('Asked') || null");
    browser.until("the probe", manual);
    browser.evaluate("document.querySelector('.neighbours .track').focus()");
    browser.press("ArrowLeft");
    browser.press("Home");
    browser
        .until("what a span says", "/messages?, equal/.test(document.querySelector('.reading').textContent) || null");
    for number in 0..30 {
        publish(&node.http(), TOPIC, &"x".repeat(number * 40 + 1), &format!("/toy-chat/2/room-{}/proto", number % 5));
    }
    browser
        .until("the last of them", "document.querySelector('#messages bdi')?.textContent.includes('room-4') || null");
    pictures(&mut browser, "whole");

    assert_eq!(browser.complaints(), [""; 0]);
    for (width, scheme) in [(390, "dark"), (320, "light")] {
        browser.screen(width, 800, scheme);
        assert_eq!(browser.evaluate("document.documentElement.scrollWidth"), width, "a phone must not scroll sideways");
    }
    node.stop().success();
    browser.until("that the node is gone", "document.getElementById('lost').hidden ? null : true");
    drop(other);
}

#[test]
fn whatever_the_network_says_is_shown_as_text() {
    let data = tempfile::tempdir().unwrap();
    let markup = "/<img src=x onerror=alert(1)><script>document.title='owned'</script>/\"'&amp;";
    let long = format!("/{}", "long".repeat(2500));
    let backward = "/\u{202e}drawkcab/\u{0}\u{200b}/שלום/مرحبا";
    let groups = format!("groups=[{:?}, {:?}, {:?}]", markup, long, "/\u{202e}drawkcab/שלום");
    let groups = groups.replace("\\u{202e}", "\\u202e");
    let node = Node::start_with(data.path(), &[], &[&format!("--{groups}")]);
    let http = node.http();
    let escaped: String = markup.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for content_topic in [markup, &long, backward] {
        publish(&http, &format!("/relay/v1/messages/{escaped}"), "hello", content_topic);
    }
    let mut browser = Browser::start();
    browser.screen(1280, 1000, "light");
    browser.open(http.base());
    browser.until("three messages", "document.querySelectorAll('#messages li').length === 3 || null");
    let shown = browser.evaluate("[...document.querySelectorAll('#messages bdi')].map((topic) => topic.textContent)");
    let shown: Vec<&str> = shown.as_array().unwrap().iter().map(|topic| topic.as_str().unwrap()).collect();
    assert!(shown.contains(&markup), "{shown:?}");
    assert!(
        shown.iter().all(|topic| topic.chars().count() <= 121 && !topic.contains(['\u{202e}', '\u{0}'])),
        "{shown:?}"
    );
    assert!(shown.iter().any(|topic| topic.starts_with("/\\u{202e}drawkcab") && topic.contains("שלום")), "{shown:?}");
    let titles = browser.evaluate("[...document.querySelectorAll('.group h3')].map((title) => title.textContent)");
    assert!(titles.as_array().unwrap().iter().any(|title| title == markup), "{titles}");
    assert_eq!(browser.evaluate("document.querySelectorAll('main img, main script').length"), 0);
    assert_eq!(browser.evaluate("document.title.includes('Hearken')"), true);
    assert_eq!(browser.evaluate("document.documentElement.scrollWidth"), 1280);
    pictures(&mut browser, "hostile");
    browser.screen(390, 844, "dark");
    assert_eq!(browser.evaluate("document.documentElement.scrollWidth"), 390);
    assert_eq!(browser.complaints(), [""; 0]);
    node.stop().success();
}
