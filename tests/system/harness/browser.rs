use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::PATIENCE;

/// A page in a headless Chromium, driven over the DevTools protocol by way of two pipes: nothing to install but the browser.
pub struct Browser {
    child: Child,
    input: File,
    output: Receiver<Value>,
    session: Option<String>,
    sent: u64,
    /// Errors and warnings of the page: its console, its exceptions, and what it could not load.
    complaints: Vec<String>,
    _profile: TempDir,
}

/// Where the browser may be, by name.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

impl Browser {
    /// Starts one with an empty page.
    #[track_caller]
    pub fn start() -> Browser {
        let profile = tempfile::tempdir().expect("a temporary folder");
        let (input, output) = (profile.path().join("input"), profile.path().join("output"));
        let made = Command::new("mkfifo").args([&input, &output]).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo does not work");
        let name = NAMES.into_iter().find(|name| which(name));
        let name = name.unwrap_or_else(|| panic!("none of {NAMES:?} is installed (Debian: apt-get install chromium)"));
        // The shell opens the pipes as the file descriptors that the browser expects.
        let script = r#"exec "$0" --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
            --hide-scrollbars --force-color-profile=srgb --user-data-dir="$1/profile" --remote-debugging-pipe about:blank \
            3<"$1/input" 4>"$1/output""#;
        let child = Command::new("sh")
            .args(["-c", script, name])
            .arg(profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell starts");
        // Each waits for the other side, in this order.
        let input = File::options().write(true).open(input).expect("the browser's input");
        let answers = File::open(output).expect("the browser's output");
        let (told, output) = sync_channel(1024);
        std::thread::spawn(move || {
            for message in BufReader::new(answers).split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else { continue };
                if told.send(message).is_err() {
                    break;
                }
            }
        });
        let (session, sent, complaints) = (None, 0, Vec::new());
        let mut browser = Browser { child, input, output, session, sent, complaints, _profile: profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let session = browser.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable", "Network.enable"] {
            browser.call(domain, json!({}));
        }
        browser
    }

    /// Loads a page.
    #[track_caller]
    pub fn open(&mut self, url: &str) {
        let opened = self.call("Page.navigate", json!({ "url": url }));
        assert!(opened["errorText"].is_null(), "{url}: {opened}");
        self.until("the page to be loaded", "document.readyState === 'complete' ? true : null");
    }

    /// The value of an expression on the page.
    #[track_caller]
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let result = self.call("Runtime.evaluate", parameters);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// Evaluates an expression again and again until it is not null.
    #[track_caller]
    pub fn until(&mut self, what: &str, expression: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.evaluate(expression);
            if !value.is_null() {
                return value;
            }
            if Instant::now() > deadline {
                let text = self.evaluate("document.body.innerText");
                panic!(
                    "expected {what} within {PATIENCE:?}; the page says:\n{text}\ncomplaints: {:?}",
                    self.complaints
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Shows the page on a screen of this size, in light or dark.
    #[track_caller]
    pub fn screen(&mut self, width: u32, height: u32, scheme: &str) {
        let phone = width < 600;
        let scale = if phone { 2 } else { 1 };
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Presses a key.
    #[track_caller]
    pub fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            let text = if key == "Enter" { "\r" } else { "" };
            let code = match key {
                "Enter" => 13,
                "Tab" => 9,
                _ => 0,
            };
            let event = json!({ "type": kind, "key": key, "code": key, "text": text, "windowsVirtualKeyCode": code });
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// The whole page as a PNG.
    #[track_caller]
    pub fn screenshot(&mut self, file: &Path) {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": true }));
        let png = BASE64_STANDARD.decode(shot["data"].as_str().expect("a picture")).expect("base64");
        std::fs::write(file, png).expect("the picture can be written");
    }

    /// Errors and warnings so far.
    pub fn complaints(&mut self) -> &[String] {
        self.evaluate("0");
        &self.complaints
    }

    #[track_caller]
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.sent += 1;
        let mut message = json!({ "id": self.sent, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.input.write_all(format!("{message}\0").as_bytes()).expect("the browser reads");
        loop {
            let Ok(message) = self.output.recv_timeout(PATIENCE) else {
                panic!("the browser does not answer {method}");
            };
            if message["id"] == self.sent {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.take(&message);
        }
    }

    fn take(&mut self, message: &Value) {
        let parameters = &message["params"];
        let complaint = match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => parameters["type"] == "error" || parameters["type"] == "warning",
            Some("Log.entryAdded") => {
                parameters["entry"]["level"] == "error" || parameters["entry"]["level"] == "warning"
            }
            // Somebody got markup in, if this happens.
            Some("Page.javascriptDialogOpening") => true,
            _ => false,
        };
        if complaint {
            self.complaints.push(message.to_string());
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn which(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}
