use std::time::{Duration, Instant};

use serde_json::Value;

use super::PATIENCE;

/// A node's HTTP interface.
#[derive(Clone)]
pub struct Http {
    base: String,
    agent: ureq::Agent,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: String,
}

impl Answer {
    /// Its body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("expected JSON ({error}), found {self:#?}"))
    }

    /// Expects a status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }
}

impl Http {
    /// The interface at `http://ADDRESS:PORT`.
    pub fn new(base: &str) -> Http {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        // A connection that the server closes just then would look like a failure.
        let config = config.max_idle_connections(0).build();
        Http { base: base.trim_end_matches('/').to_owned(), agent: config.into() }
    }

    /// Where it is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// GET
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], &[])
    }

    /// GET, expecting JSON.
    #[track_caller]
    pub fn json(&self, path: &str) -> Value {
        self.get(path).expect(200).json()
    }

    /// POST of JSON.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    /// Anything.
    #[track_caller]
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).expect("a request");
        let mut response = self.agent.run(request).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let body = response.body_mut().read_to_string().unwrap_or_default();
        Answer { status: response.status().as_u16(), body }
    }

    /// Asks again and again until the JSON at `path` is as wanted.
    #[track_caller]
    pub fn until<T>(&self, path: &str, what: &str, wanted: impl FnMut(&Value) -> Option<T>) -> T {
        let (deadline, mut wanted) = (Instant::now() + PATIENCE, wanted);
        loop {
            let answer = self.get(path);
            let json = serde_json::from_str(&answer.body).unwrap_or_default();
            if let Some(found) = wanted(&json) {
                return found;
            }
            assert!(Instant::now() < deadline, "expected {what} at {path} within {PATIENCE:?}, found {answer:#?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
