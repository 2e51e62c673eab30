//! What every request passes before it is looked at.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{ConnectInfo, FromRequestParts, Request, State as Extract};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use metrics::counter;

use super::refusal::{Refusal, quote};
use super::server::{Client, State};

/// Addresses whose rate is remembered; of more, those that rest are forgotten.
const ADDRESSES: usize = 4096;
/// A burst is this many seconds' worth.
const BURST: f64 = 10.0;

/// No script, style or connection but the page's own; nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Refuses requests that come too fast or by way of a foreign page; adds what every answer has.
pub(super) async fn guard(
    Extract(state): Extract<State>,
    ConnectInfo(client): ConnectInfo<Client>,
    request: Request,
    next: Next,
) -> Response {
    let passed = check(&state, client, request.headers());
    let mut response = match passed {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    let class = match response.status().as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    };
    counter!("hearken_api_requests_total", "class" => class).increment(1);
    response
}

fn check(state: &State, client: Client, headers: &HeaderMap) -> Result<(), Refusal> {
    if !state.rates.take(client.0.ip(), Instant::now()) {
        let message = format!("expected at most {} requests a second (setting api.rate)", state.rates.per_second);
        return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, message));
    }
    let host = headers.get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    if state.loopback && !host.is_none_or(is_local) {
        // A foreign name that leads to this machine: a page of that name would count as of our own origin.
        let found = quote(host.unwrap_or_default());
        let message = format!("expected an IP address or localhost in the header Host, found {found}");
        return Err(Refusal::new(StatusCode::FORBIDDEN, message));
    }
    match headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default()) {
        Some(origin) if Some(origin.split_once("://").map_or(origin, |(_, host)| host)) != host => {
            let message = format!("pages of another origin may not use this interface: found Origin {}", quote(origin));
            Err(Refusal::new(StatusCode::FORBIDDEN, message))
        }
        _ => Ok(()),
    }
}

/// Whether a Host header names this machine by address, or as `localhost`.
fn is_local(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host();
    name == "localhost" || name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}

/// Proof that whoever asks may change things.
pub(super) struct Admin;

impl FromRequestParts<State> for Admin {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Refusal> {
        let client = parts.extensions.get::<ConnectInfo<Client>>();
        let local = client.is_some_and(|ConnectInfo(Client(address))| address.ip().to_canonical().is_loopback());
        if local || state.admin {
            return Ok(Admin);
        }
        let message = "expected a request from the node's own machine: this changes things (setting api.admin)";
        Err(Refusal::new(StatusCode::FORBIDDEN, message))
    }
}

/// How fast each address asks.
pub(super) struct Rates {
    per_second: u32,
    buckets: Mutex<BTreeMap<IpAddr, (f64, Instant)>>,
}

impl Rates {
    pub(super) fn new(per_second: u32) -> Rates {
        Rates { per_second, buckets: Mutex::default() }
    }

    /// Whether this request is within the rate.
    fn take(&self, address: IpAddr, now: Instant) -> bool {
        let (rate, burst) = (f64::from(self.per_second), f64::from(self.per_second) * BURST);
        let filled =
            |(level, at): (f64, Instant)| (level + now.saturating_duration_since(at).as_secs_f64() * rate).min(burst);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= ADDRESSES && !buckets.contains_key(&address) {
            buckets.retain(|_, bucket| filled(*bucket) < burst);
            if buckets.len() >= ADDRESSES {
                return false;
            }
        }
        let bucket = buckets.entry(address).or_insert((burst, now));
        let level = filled(*bucket);
        let enough = level >= 1.0;
        *bucket = (if enough { level - 1.0 } else { level }, now);
        enough
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_the_rate() {
        let (rates, address, start) = (Rates::new(5), IpAddr::from(Ipv4Addr::LOCALHOST), Instant::now());
        assert_eq!((0..100).filter(|_| rates.take(address, start)).count(), 50);
        let later = start + Duration::from_secs(1);
        assert_eq!((0..100).filter(|_| rates.take(address, later)).count(), 5);
        assert!(rates.take(IpAddr::from([192, 0, 2, 1]), later), "another address has its own rate");
    }

    #[test]
    fn only_addresses_and_localhost_name_this_machine() {
        for host in ["localhost", "localhost:8645", "127.0.0.1:8645", "[::1]:80", "192.0.2.1"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["example.org", "localhost.example.org:8645", "", "127.0.0.1.example.org", "a b"] {
            assert!(!is_local(host), "{host}");
        }
    }
}
