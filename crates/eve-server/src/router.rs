//! Every address of the server, at once, and what surrounds all of them.

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::ServerState;
use crate::context;
use crate::error;
use crate::openapi;
use crate::openapi::Document;
use crate::routes::auth;
use crate::routes::bulk;
use crate::routes::events;
use crate::routes::limits;
use crate::routes::probes;
use crate::routes::request_log;
use crate::routes::requests;
use crate::routes::results;
use crate::routes::status;
use crate::routes::worker_api;
use crate::routes::worker_types;
use crate::routes::workers;

/// What the API's addresses begin with.
pub(crate) const API: &str = "/api/v1";
/// Largest body of a call.
const BODY_LIMIT: usize = 2 * 1024 * 1024;
/// Largest body of a call that asks for many things.
const BULK_BODY_LIMIT: usize = 16 * 1024 * 1024;
/// Largest body of log entries or of a report, which carries a patch.
const WORKER_BODY_LIMIT: usize = 16 * 1024 * 1024;

/// What a deployment, or a test in a hurry, may choose.
#[derive(Debug, Clone, Copy)]
pub struct RouterOptions {
    /// How often a stream with nothing to say shows that it is alive.
    pub stream_heartbeat: Duration,
    /// How often a stream looks for news that nobody announced.
    pub stream_poll: Duration,
    /// Longest time until a response begins; longer than the longest long poll.
    pub response_timeout: Duration,
}

impl Default for RouterOptions {
    fn default() -> Self {
        Self {
            stream_heartbeat: Duration::from_secs(15),
            stream_poll: Duration::from_secs(2),
            response_timeout: Duration::from_secs(90),
        }
    }
}

/// The server's router.
pub fn router(state: ServerState, options: RouterOptions) -> Router {
    let ServerState { engine, services } = state;
    let (router, _) = addresses().split_for_parts();
    let router = router.merge(Router::from(asking())).with_state(App { engine, services, options });
    surrounded(router, options)
}

/// What surrounds every address, from the inside out.
fn surrounded(router: Router, options: RouterOptions) -> Router {
    router
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(middleware::from_fn_with_state(options.response_timeout, context::with_context))
}

/// Every documented address. `router` adds those of [`asking`] once more without the prefix, for clients that were
/// written against the first design of the API.
pub(crate) fn addresses() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(openapi::open(probes()))
        .nest(API, asking())
        .nest(API, openapi::for_members(looking()))
        .nest(&format!("{API}/worker"), openapi::for_workers(working()))
}

/// For anybody.
fn probes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(probes::index))
        .routes(routes!(probes::healthz))
        .routes(routes!(probes::database_ping))
        .routes(routes!(probes::metrics_render))
        .routes(routes!(probes::openapi_json))
}

/// For members: asking for something and getting it.
fn asking() -> OpenApiRouter<App> {
    let token = OpenApiRouter::new().routes(routes!(auth::token_create));
    let rest = OpenApiRouter::new()
        .routes(routes!(requests::request_create, requests::request_list))
        .routes(routes!(requests::request_detail))
        .routes(routes!(requests::request_cancel))
        .routes(routes!(requests::request_pause))
        .routes(routes!(requests::request_resume))
        .routes(routes!(requests::request_replay))
        .routes(routes!(request_log::request_log))
        .routes(routes!(requests::request_diff))
        .routes(routes!(results::result_get));
    openapi::open(token).merge(openapi::for_members(rest))
}

/// For members: everything else.
fn looking() -> OpenApiRouter<App> {
    let large =
        OpenApiRouter::new().routes(routes!(bulk::request_create_bulk)).layer(DefaultBodyLimit::max(BULK_BODY_LIMIT));
    OpenApiRouter::new()
        .routes(routes!(requests::request_reprioritise))
        .routes(routes!(bulk::bulk_action_create, bulk::bulk_action_list))
        .routes(routes!(bulk::bulk_action_get))
        .routes(routes!(bulk::bulk_action_cancel))
        .merge(large)
        .routes(routes!(auth::organization_get))
        .routes(routes!(events::event_list))
        .routes(routes!(workers::worker_list))
        .routes(routes!(workers::worker_attempt_list))
        .routes(routes!(worker_types::worker_type_list))
        .routes(routes!(worker_types::worker_type_get, worker_types::worker_type_put))
        .routes(routes!(limits::limit_list, limits::limit_put))
        .routes(routes!(status::queue_depth))
        .routes(routes!(status::queue_health))
        .routes(routes!(status::places_check))
        .routes(routes!(status::status_get))
        .routes(routes!(status::service_list))
        .routes(routes!(status::database_health))
}

/// For workers.
fn working() -> OpenApiRouter<App> {
    let large = OpenApiRouter::new()
        .routes(routes!(worker_api::attempt_log_append))
        .routes(routes!(worker_api::attempt_settle))
        .layer(DefaultBodyLimit::max(WORKER_BODY_LIMIT));
    OpenApiRouter::new()
        .routes(routes!(worker_api::worker_register))
        .routes(routes!(worker_api::queue_claim))
        .routes(routes!(worker_api::worker_heartbeat))
        .routes(routes!(worker_api::attempt_start))
        .routes(routes!(worker_api::attempt_release))
        .merge(large)
}

#[cfg(test)]
mod tests;
