//! What load balancers, monitors and people without a key may ask.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use eve_api_types::ProblemCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::App;
use crate::error::ApiError;
use crate::extract::Json;
use crate::openapi;
use crate::router::API;

/// The media type of the metrics.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Where to go from here.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Index {
    /// Always `Eve`.
    name: &'static str,
    /// Eve's version.
    version: &'static str,
    /// Where the API's addresses begin.
    api: &'static str,
    /// The description of the API.
    openapi: &'static str,
    /// Whether the process lives.
    health: &'static str,
    /// Whether it can work.
    ready: &'static str,
    /// Its counters.
    metrics: &'static str,
}

/// Lists the addresses that lead to all others.
#[utoipa::path(get, path = "/", tag = "probes", responses((status = 200, body = Index)))]
pub(crate) async fn index() -> Json<Index> {
    Json(Index {
        name: "Eve",
        version: env!("CARGO_PKG_VERSION"),
        api: API,
        openapi: "/openapi.json",
        health: "/healthz",
        ready: "/readyz",
        metrics: "/metrics",
    })
}

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "probes", responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn healthz() -> &'static str {
    "ok"
}

/// Whether the server can work: whether its database answers.
#[utoipa::path(get, path = "/readyz", tag = "probes", responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn database_ping(State(app): State<App>) -> Result<&'static str, ApiError> {
    let ping = app.engine.database_ping().await;
    ping.map_err(|error| ApiError::from(error).with_code(ProblemCode::Unavailable))?;
    Ok("ok")
}

/// The counters of this process in the OpenMetrics format.
#[utoipa::path(get, path = "/metrics", tag = "probes", responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
pub(crate) async fn metrics_render(State(app): State<App>) -> Result<impl IntoResponse, ApiError> {
    Ok(([(header::CONTENT_TYPE, OPENMETRICS)], app.engine.metrics_render().await?))
}

/// The description of the API.
#[utoipa::path(get, path = "/openapi.json", tag = "probes", responses((status = 200, body = Object, content_type = "application/json")))]
pub(crate) async fn openapi_json() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi::cached_json())
}
