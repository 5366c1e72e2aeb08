//! Keys and tokens.

use axum::extract::State;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::header;
use eve_api_types::Token;
use eve_api_types::TokenRequest;
use eve_api_types::WhoAmI;
use eve_engine::OpContext;

use crate::App;
use crate::convert;
use crate::error::ApiError;
use crate::extract::Json;

/// Tokens are secrets: nothing on the way may keep one.
const NO_STORE: [(HeaderName, HeaderValue); 1] = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];

/// Turns an API key into a token.
///
/// A token counts for an hour, and no longer than the key it was made from.
#[utoipa::path(
    post,
    path = "/auth/token",
    tag = "auth",
    request_body(content = TokenRequest, example = json!({"api_key": "eve_key_0123456789abcdef"})),
    responses((status = 200, body = Token))
)]
pub(crate) async fn token_create(
    State(app): State<App>,
    Json(request): Json<TokenRequest>,
) -> Result<([(HeaderName, HeaderValue); 1], Json<Token>), ApiError> {
    let issued = app.engine.token_create(&request.api_key).await?;
    Ok((NO_STORE, Json(convert::token(issued))))
}

/// Who the caller is.
#[utoipa::path(get, path = "/auth/whoami", tag = "auth", responses((status = 200, body = WhoAmI)))]
pub(crate) async fn organization_get(State(app): State<App>, ctx: OpContext) -> Result<Json<WhoAmI>, ApiError> {
    let organization = app.engine.organization_get(&ctx).await?;
    Ok(Json(convert::who_am_i(ctx, organization)))
}
