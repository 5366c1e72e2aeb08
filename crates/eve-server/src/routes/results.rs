//! Results: what came of a request.

use axum::extract::State;
use eve_api_types::RequestResult;
use eve_core::RequestId;
use eve_engine::OpContext;

use crate::App;
use crate::convert;
use crate::error::ApiError;
use crate::extract::Json;
use crate::extract::Path;

/// The result of a request; 404 until there is one.
#[utoipa::path(
    get,
    path = "/results/{request_id}",
    tag = "requests",
    params(("request_id" = String, Path, description = "The request.")),
    responses((status = 200, body = RequestResult))
)]
pub(crate) async fn result_get(
    State(app): State<App>,
    ctx: OpContext,
    Path(id): Path<RequestId>,
) -> Result<Json<RequestResult>, ApiError> {
    Ok(Json(convert::result(app.engine.result_get(&ctx, id).await?)))
}
