//! Workers as people see them.

use axum::extract::State;
use eve_api_types::Page;
use eve_api_types::Worker;
use eve_api_types::WorkerAttempt;
use eve_core::WorkerId;
use eve_engine::OpContext;

use crate::App;
use crate::convert;
use crate::error::ApiError;
use crate::extract::Json;
use crate::extract::Path;

/// The workers that run or were heard of in the last day, newest first.
#[utoipa::path(get, path = "/workers", tag = "installation", responses((status = 200, body = Page<Worker>)))]
pub(crate) async fn worker_list(State(app): State<App>, ctx: OpContext) -> Result<Json<Page<Worker>>, ApiError> {
    Ok(Json(convert::page(app.engine.worker_list(&ctx).await?, convert::worker)))
}

/// What a worker ran for the organization, newest first.
#[utoipa::path(
    get,
    path = "/workers/{id}/attempts",
    tag = "installation",
    params(("id" = String, Path, description = "The worker.")),
    responses((status = 200, body = Page<WorkerAttempt>))
)]
pub(crate) async fn worker_attempt_list(
    State(app): State<App>,
    ctx: OpContext,
    Path(id): Path<WorkerId>,
) -> Result<Json<Page<WorkerAttempt>>, ApiError> {
    Ok(Json(convert::page(app.engine.worker_attempt_list(&ctx, id).await?, convert::worker_attempt)))
}
