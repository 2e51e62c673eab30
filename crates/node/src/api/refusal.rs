use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Longest part of a request that an answer repeats.
const QUOTE: usize = 200;

/// A request that is not carried out: a status, and a line that says what was expected.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into() }
    }

    /// What is answered.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// 400
    pub(super) fn bad(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404
    pub(super) fn missing(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, message)
    }

    /// 503
    pub(super) fn unavailable(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// 503, since the node stops.
    pub(super) fn stopped() -> Refusal {
        Refusal::unavailable("the node is stopping")
    }

    /// 500: what failed here, which the log has too.
    pub(super) fn failed(error: impl std::fmt::Display) -> Refusal {
        tracing::error!(%error, "a request to the HTTP interface failed");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let text = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
        (self.status, text, self.message + "\n").into_response()
    }
}

/// Part of a request, to be repeated in an answer: short, and with everything unusual escaped.
pub(super) fn quote(text: &str) -> String {
    let short: String = text.chars().take(QUOTE).collect();
    let more = if short.len() < text.len() { "..." } else { "" };
    format!("\"{}\"{more}", short.escape_debug())
}
