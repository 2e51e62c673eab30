use std::time::Duration;

use axum::Router;
use axum::handler::Handler;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, on};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

use super::refusal::{Refusal, quote};
use super::server::State;
use super::{admin, events, guard, info, relay, settings, store, sync, work};
use crate::page;
use crate::remote::{BACKFILL, DIFF};

/// How long an answer may take to begin.
const PATIENCE: Duration = Duration::from_secs(20);

/// Routes as they are added, with a list of them for whoever compares it with the description.
struct Routes {
    router: Router<State>,
    listed: Vec<(&'static str, &'static str)>,
}

impl Routes {
    fn add<T: 'static>(
        mut self,
        (method, filter): (&'static str, MethodFilter),
        path: &'static str,
        handler: impl Handler<T, State>,
    ) -> Routes {
        self.router = self.router.route(path, on(filter, handler));
        self.listed.push((method, path));
        self
    }
}

const GET: (&str, MethodFilter) = ("get", MethodFilter::GET);
const POST: (&str, MethodFilter) = ("post", MethodFilter::POST);
const DELETE: (&str, MethodFilter) = ("delete", MethodFilter::DELETE);

fn routes() -> Routes {
    Routes { router: Router::new(), listed: Vec::new() }
        .add(GET, "/", page::html)
        .add(GET, "/page.css", page::css)
        .add(GET, "/page.js", page::js)
        .add(GET, "/icon.svg", page::icon)
        .add(GET, "/openapi.json", info::openapi)
        .add(GET, "/metrics", info::metrics)
        .add(GET, "/health", info::health)
        .add(GET, "/info", info::info)
        .add(GET, "/version", info::version)
        .add(GET, "/debug/v1/info", info::info)
        .add(GET, "/debug/v1/version", info::version)
        .add(GET, "/relay/v1/messages/{pubsubTopic}", relay::messages)
        .add(POST, "/relay/v1/messages/{pubsubTopic}", relay::publish)
        .add(POST, "/relay/v1/subscriptions", relay::subscribe)
        .add(GET, "/relay/v1/auto/messages/{contentTopic}", relay::messages_auto)
        .add(POST, "/relay/v1/auto/messages", relay::publish_auto)
        .add(POST, "/relay/v1/auto/subscriptions", relay::subscribe_auto)
        .add(DELETE, "/relay/v1/auto/subscriptions", relay::unsubscribe_auto)
        .add(GET, "/store/v3/messages", store::messages)
        .add(GET, "/admin/v1/peers", admin::peers)
        .add(POST, "/admin/v1/peers", admin::connect)
        .add(DELETE, "/admin/v1/messages/{messageHash}", admin::delete)
        .add(POST, BACKFILL, work::backfill)
        .add(POST, DIFF, work::diff)
        .add(GET, "/admin/v1/settings", settings::get)
        .add(POST, "/admin/v1/settings", settings::change)
        .add(POST, "/admin/v1/reload", settings::reload)
        .add(POST, "/admin/v1/log-level/{logLevel}", settings::log_level)
        .add(GET, "/sync/v1", sync::state)
        .add(GET, "/sync/v1/events", events::events)
        .add(POST, "/sync/v1/now", sync::now)
}

/// Every route, behind what every request passes.
pub(super) fn router(state: State) -> Router {
    routes()
        .router
        .fallback(missing)
        .method_not_allowed_fallback(not_allowed)
        .layer(CatchPanicLayer::new())
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, PATIENCE))
        .layer(from_fn_with_state(state.clone(), guard::guard))
        .with_state(state)
}

async fn missing(uri: Uri) -> Refusal {
    Refusal::missing(format!("there is nothing at {}: /openapi.json lists what there is", quote(uri.path())))
}

async fn not_allowed(method: Method, uri: Uri) -> Refusal {
    let message = format!("{method} does nothing at {}: /openapi.json lists what does", quote(uri.path()));
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_description_lists_exactly_the_routes_that_are_served() {
        let described: serde_json::Value = serde_json::from_str(super::super::OPENAPI).unwrap();
        let paths = described["paths"].as_object().unwrap();
        let described: BTreeSet<(&str, &str)> = paths
            .iter()
            .flat_map(|(path, methods)| {
                methods.as_object().unwrap().keys().map(|method| (method.as_str(), path.as_str()))
            })
            .collect();
        let served: BTreeSet<(&str, &str)> = routes().listed.into_iter().collect();
        assert_eq!(described, served);
    }
}
