//! How the installation stands.

use axum::extract::State;
use eve_api_types::DatabaseStatus;
use eve_api_types::Page;
use eve_api_types::QueueLane;
use eve_api_types::ServiceStatus;
use eve_api_types::Status;
use eve_engine::OpContext;

use crate::App;
use crate::convert;
use crate::error::ApiError;
use crate::extract::Json;

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
