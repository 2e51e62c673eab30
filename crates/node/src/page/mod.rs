//! The status page: is this node whole? One page without a build step, and nothing from elsewhere.
//!
//! The page asks `GET /sync/v1/events` and shows what comes. It is handed no text of the network inside markup: scripts put it there
//! as text, and the answer's Content-Security-Policy lets no other script, style or connection in.

use axum::http::header;
use axum::response::{IntoResponse, Response};

pub(crate) async fn html() -> Response {
    file("text/html; charset=utf-8", include_str!("page.html"))
}

pub(crate) async fn css() -> Response {
    file("text/css; charset=utf-8", include_str!("page.css"))
}

pub(crate) async fn js() -> Response {
    file("text/javascript; charset=utf-8", include_str!("page.js"))
}

pub(crate) async fn icon() -> Response {
    file("image/svg+xml", include_str!("icon.svg"))
}

fn file(kind: &'static str, content: &'static str) -> Response {
    // A page of an older program must not talk to a newer one.
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], content).into_response()
}
