//! How the installation stands.

use axum::extract::State;
use eve_api_types::DatabaseStatus;
use eve_api_types::Page;
use eve_api_types::PlacesReport;
use eve_api_types::QueueHealth;
use eve_api_types::QueueLane;
use eve_api_types::ServiceStatus;
use eve_api_types::Status;
use eve_engine::OpContext;
use eve_engine::PlacesScope;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::App;
use crate::convert;
use crate::error::ApiError;
use crate::extract::Json;
use crate::extract::Query;

/// How the installation stands, in one answer.
#[utoipa::path(get, path = "/status", tag = "installation", responses((status = 200, body = Status)))]
pub(crate) async fn status_get(State(app): State<App>, ctx: OpContext) -> Result<Json<Status>, ApiError> {
    Ok(Json(convert::status(app.engine.status_get(&ctx).await?)))
}

/// What waits in the organization, by worker type and priority.
#[utoipa::path(get, path = "/queue", tag = "installation", responses((status = 200, body = Page<QueueLane>)))]
pub(crate) async fn queue_depth(State(app): State<App>, ctx: OpContext) -> Result<Json<Page<QueueLane>>, ApiError> {
    Ok(Json(convert::page(app.engine.queue_depth(&ctx).await?, convert::queue_lane)))
}

/// The services of this server that act by themselves. Only an admin may look.
#[utoipa::path(get, path = "/services", tag = "installation", responses((status = 200, body = Page<ServiceStatus>)))]
pub(crate) async fn service_list(
    State(app): State<App>,
    ctx: OpContext,
) -> Result<Json<Page<ServiceStatus>>, ApiError> {
    Ok(Json(convert::page(app.services.service_list(&ctx)?, convert::service)))
}

/// What an operator wants to know about the database. Only an admin may look.
#[utoipa::path(get, path = "/database", tag = "installation", responses((status = 200, body = DatabaseStatus)))]
pub(crate) async fn database_health(State(app): State<App>, ctx: OpContext) -> Result<Json<DatabaseStatus>, ApiError> {
    Ok(Json(convert::database(app.engine.database_health(&ctx).await?)))
}

/// What the queue knows about itself: who waits longest, what was lost, how news arrives. Only an admin may look.
#[utoipa::path(get, path = "/queue/health", tag = "installation", responses((status = 200, body = QueueHealth)))]
pub(crate) async fn queue_health(State(app): State<App>, ctx: OpContext) -> Result<Json<QueueHealth>, ApiError> {
    Ok(Json(convert::queue_health(app.engine.queue_health(&ctx).await?)))
}

/// Which requests to look at.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PlacesQuery {
    /// All of them, a page at a time, instead of the newest.
    #[serde(default)]
    deep: bool,
    /// Goes on with a full look where the page before says in `next`.
    after: Option<String>,
}

/// Whether every request is in exactly one of queue, parked, leases and results. The newest 2000 of each, or all of
/// them in pages. Only an admin may look.
#[utoipa::path(
    get,
    path = "/queue/places",
    tag = "installation",
    params(PlacesQuery),
    responses((status = 200, body = PlacesReport))
)]
pub(crate) async fn places_check(
    State(app): State<App>,
    ctx: OpContext,
    Query(query): Query<PlacesQuery>,
) -> Result<Json<PlacesReport>, ApiError> {
    let deep = query.deep || query.after.is_some();
    let scope = if deep { PlacesScope::Deep(query.after) } else { PlacesScope::Recent };
    Ok(Json(convert::places_report(app.engine.places_check(&ctx, scope).await?)))
}
