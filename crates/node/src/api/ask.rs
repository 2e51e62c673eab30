//! Reading requests: everything foreign becomes a value of ours here, or a [`Refusal`].

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::refusal::{Refusal, quote};
use super::server::State;

/// The JSON in a request's body.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<State> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &State) -> Result<Self, Refusal> {
        expect_json(&request)?;
        let body = read(request.into_body(), state.max_body).await?;
        parse(&body).map(Json)
    }
}

/// The JSON in a request's body, if there is one.
pub(super) struct MaybeJson<T>(pub(super) Option<T>);

impl<T: DeserializeOwned> FromRequest<State> for MaybeJson<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &State) -> Result<Self, Refusal> {
        let checked = expect_json(&request);
        let body = read(request.into_body(), state.max_body).await?;
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(MaybeJson(None));
        }
        checked?;
        parse(&body).map(|value| MaybeJson(Some(value)))
    }
}

/// Also a guard: a page of another origin cannot send this type without asking first, which nobody answers here.
fn expect_json(request: &Request) -> Result<(), Refusal> {
    let found = request.headers().get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let kind = found.and_then(|found| found.split(';').next()).unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let found = found.map_or("none".to_owned(), quote);
    let message = format!("expected a body with the header Content-Type: application/json, found {found}");
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}

async fn read(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    axum::body::to_bytes(body, limit).await.map_err(|error| {
        // Whatever else breaks a body also ends the connection, so that nobody reads the answer.
        let message = format!("expected a body of at most {limit} bytes: {error}");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    })
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::bad(format!("the body is not the JSON expected: {error}")))
}

/// A segment of the path, decoded.
pub(super) struct Segment(pub(super) String);

impl FromRequestParts<State> for Segment {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Refusal> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(segment)) => Ok(Segment(segment)),
            Err(error) => Err(Refusal::bad(format!("expected percent-encoded UTF-8 in the path: {error}"))),
        }
    }
}

/// The parameters of a query, each at most once.
pub(super) struct Parameters(BTreeMap<String, String>);

impl FromRequestParts<State> for Parameters {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Refusal> {
        let Query(pairs) = Query::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|error| Refusal::bad(format!("expected a query such as ?name=value&other=value: {error}")))?;
        let mut parameters = BTreeMap::new();
        for (name, value) in pairs {
            if parameters.contains_key(&name) {
                return Err(Refusal::bad(format!("expected the parameter {} once", quote(&name))));
            }
            parameters.insert(name, value);
        }
        Ok(Parameters(parameters))
    }
}

impl Parameters {
    /// Refuses what is not among `known`: a misspelt filter must not mean "everything".
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => {
                Err(Refusal::bad(format!("there is no parameter {}: expected {}", quote(name), known.join(", "))))
            }
        }
    }

    /// Whether the parameter is there, though it may be empty.
    pub(super) fn given(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A parameter; one that is empty counts as left out, as clients have it.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A whole number.
    pub(super) fn number(&self, name: &str, expected: &str) -> Result<Option<u64>, Refusal> {
        let parse = |text: &str| {
            let refusal = || Refusal::bad(format!("expected {expected} in {name}, found {}", quote(text)));
            text.parse().map_err(|_| refusal())
        };
        self.text(name).map(parse).transpose()
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, name: &str, otherwise: bool) -> Result<bool, Refusal> {
        match self.text(name) {
            None => Ok(otherwise),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(found) => Err(Refusal::bad(format!("expected true or false in {name}, found {}", quote(found)))),
        }
    }
}
