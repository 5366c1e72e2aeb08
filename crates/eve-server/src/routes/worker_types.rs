//! Worker types: who does a request.

use axum::extract::State;
use eve_api_types::Page;
use eve_api_types::WorkerType;
use eve_engine::OpContext;

use crate::App;
use crate::convert;
use crate::error::ApiError;
use crate::extract::Json;
use crate::extract::Path;

/// The worker types of the organization, by name.
#[utoipa::path(get, path = "/worker-types", tag = "worker types", responses((status = 200, body = Page<WorkerType>)))]
pub(crate) async fn worker_type_list(
    State(app): State<App>,
    ctx: OpContext,
) -> Result<Json<Page<WorkerType>>, ApiError> {
    Ok(Json(convert::page(app.engine.worker_type_list(&ctx).await?, convert::worker_type)))
}

/// One worker type.
#[utoipa::path(
    get,
    path = "/worker-types/{name}",
    tag = "worker types",
    params(("name" = String, Path, description = "Its name.")),
    responses((status = 200, body = WorkerType))
)]
pub(crate) async fn worker_type_get(
    State(app): State<App>,
    ctx: OpContext,
    Path(name): Path<String>,
) -> Result<Json<WorkerType>, ApiError> {
    let name = convert::worker_type_name(&name)?;
    Ok(Json(convert::worker_type(app.engine.worker_type_get(&ctx, &name).await?)))
}

/// Makes or changes a worker type. Only an admin may.
#[utoipa::path(
    put,
    path = "/worker-types/{name}",
    tag = "worker types",
    params(("name" = String, Path, description = "Its name, as in the body.")),
    request_body = WorkerType,
    responses((status = 200, body = WorkerType))
)]
pub(crate) async fn worker_type_put(
    State(app): State<App>,
    ctx: OpContext,
    Path(name): Path<String>,
    Json(new): Json<WorkerType>,
) -> Result<Json<WorkerType>, ApiError> {
    let row = convert::worker_type_row(&name, new)?;
    app.engine.worker_type_put(&ctx, &row).await?;
    Ok(Json(convert::worker_type(row)))
}
