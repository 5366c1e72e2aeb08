//! Concurrency limits: how many attempts may run at once.

use axum::extract::State;
use eve_api_types::Limit;
use eve_api_types::LimitSetting;
use eve_api_types::Page;
use eve_engine::OpContext;

use crate::App;
use crate::convert;
use crate::error::ApiError;
use crate::extract::Json;

/// The limits of the organization, and then those of the installation.
#[utoipa::path(get, path = "/limits", tag = "limits", responses((status = 200, body = Page<Limit>)))]
pub(crate) async fn limit_list(State(app): State<App>, ctx: OpContext) -> Result<Json<Page<Limit>>, ApiError> {
    Ok(Json(convert::page(app.engine.limit_list(&ctx).await?, convert::limit)))
}

/// Sets a limit of the organization, or lifts it. Only an admin may. What runs already goes on.
#[utoipa::path(
    put,
    path = "/limits",
    tag = "limits",
    request_body = LimitSetting,
    responses((status = 200, body = LimitSetting))
)]
pub(crate) async fn limit_put(
    State(app): State<App>,
    ctx: OpContext,
    Json(new): Json<LimitSetting>,
) -> Result<Json<LimitSetting>, ApiError> {
    let name = app.engine.limit_put(&ctx, new.scope.parse()?, &new.name, new.max_running).await?;
    Ok(Json(LimitSetting { name, ..new }))
}
