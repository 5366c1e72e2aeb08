//! Requests: asking for things, looking at them, calling them off.

use axum::extract::MatchedPath;
use axum::extract::RawQuery;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::AppendHeaders;
use axum::response::IntoResponse;
use eve_api_types::NewPriority;
use eve_api_types::NewRequest;
use eve_api_types::Page;
use eve_api_types::Request;
use eve_api_types::RequestDetail;
use eve_core::ProjectId;
use eve_core::RequestId;
use eve_engine::CreateOutcome;
use eve_engine::CursorKind;
use eve_engine::OpContext;
use eve_engine::RequestFilter;
use eve_engine::RequestRow;
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::App;
use crate::convert;
use crate::error::ApiError;
use crate::extract::Json;
use crate::extract::Path;
use crate::extract::Query;
use crate::extract::header_text;
use crate::router::API;

/// The header that makes asking twice the same as asking once.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Requests on a page when nothing is said.
const PAGE_SIZE: i64 = 50;

/// The header that describes itself in the API's description.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "for the description only")]
pub(crate) struct IdempotencyKey {
    /// Any text of up to 255 characters, new for each request.
    #[param(rename = "Idempotency-Key")]
    idempotency_key: Option<String>,
}

type Located = (StatusCode, [(HeaderName, String); 1], Json<Request>);

fn located(status: StatusCode, row: RequestRow) -> Located {
    (status, [(header::LOCATION, format!("{API}/requests/{}", row.id))], Json(convert::request(row)))
}

/// Asks for something to be done.
///
/// Durable once answered. With the header `Idempotency-Key`, the same call may be repeated for two days and makes one
/// request: the repetition answers 200 with it.
#[utoipa::path(
    post,
    path = "/requests",
    tag = "requests",
    params(IdempotencyKey),
    request_body(content = NewRequest, examples(
        ("a question" = (summary = "Only a prompt", value = json!({"prompt": "Which licences do our dependencies have?"}))),
        ("a change" = (summary = "Work in a repository", value = json!({
            "worker_type": "general",
            "prompt": "Make the importer accept CSV files with a byte order mark, with a test.",
            "repository": "https://git.example.com/shop/importer.git",
            "branch": "main",
            "priority": "HIGH",
            "timeout_seconds": 1800,
            "metadata": {"ticket": "SHOP-412"}
        }))),
        ("a script" = (summary = "A command instead of an agent", value = json!({"harness": "command", "prompt": "make test"})))
    )),
    responses(
        (status = 201, description = "A new request.", body = Request, headers(("Location" = String, description = "Its address."))),
        (status = 200, description = "The request that an earlier call with this key made.", body = Request)
    )
)]
pub(crate) async fn request_create(
    State(app): State<App>,
    ctx: OpContext,
    headers: HeaderMap,
    Json(new): Json<NewRequest>,
) -> Result<Located, ApiError> {
    let key = header_text(&headers, IDEMPOTENCY_KEY)?;
    Ok(match app.engine.request_create(&ctx, convert::request_draft(new)?, key).await? {
        CreateOutcome::Created(row) => located(StatusCode::CREATED, row),
        CreateOutcome::Repeated(row) => located(StatusCode::OK, row),
    })
}

/// Which requests to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RequestListQuery {
    /// Only these statuses, joined by commas.
    #[param(example = "pending,processing")]
    status: Option<String>,
    /// Only this worker type.
    worker_type: Option<String>,
    /// Only this project's.
    #[param(value_type = Option<String>)]
    project_id: Option<ProjectId>,
    /// Only the children of this request.
    #[param(value_type = Option<String>)]
    parent_id: Option<RequestId>,
    /// Only those asked at this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    created_after: Option<Timestamp>,
    /// Only those asked before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    created_before: Option<Timestamp>,
    /// Only those with this in their title or prompt, in capitals or not.
    text: Option<String>,
    /// At most so many, up to 200; 50 when nothing is said.
    limit: Option<i64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists requests, newest first.
///
/// The header `Link` with `rel="next"` and `next_cursor` lead to the next page.
#[utoipa::path(
    get,
    path = "/requests",
    tag = "requests",
    params(RequestListQuery),
    responses((status = 200, body = Page<Request>, headers(("Link" = String, description = "The next page."))))
)]
pub(crate) async fn request_list(
    State(app): State<App>,
    ctx: OpContext,
    address: MatchedPath,
    RawQuery(asked): RawQuery,
    Query(query): Query<RequestListQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let statuses = query.status.as_deref().map(convert::statuses).transpose()?.unwrap_or_default();
    let base = convert::request_filter(&statuses, query.worker_type.as_deref(), query.project_id, query.parent_id)?;
    let (created_after, created_before) = (query.created_after, query.created_before);
    let filter = RequestFilter { created_after, created_before, text: query.text, ..base };
    let (engine, kind) = (&app.engine, CursorKind::Requests);
    let before = query.cursor.map(|text| engine.cursor_decode(kind, ctx.org_id, &text)).transpose()?;
    let (rows, more) = engine.request_list(&ctx, &filter, before, query.limit.unwrap_or(PAGE_SIZE)).await?;
    let last = rows.last().filter(|_| more);
    let next_cursor = last.map(|row| engine.cursor_encode(kind, ctx.org_id, row.id));
    let link = next_cursor.as_deref().and_then(|cursor| next_link(address.as_str(), asked.as_deref(), cursor));
    let items = rows.into_iter().map(convert::request).collect();
    Ok((AppendHeaders(link.map(|link| (header::LINK, link))), Json(Page { items, next_cursor })))
}

/// The address that was asked, with another cursor.
fn next_link(address: &str, asked: Option<&str>, cursor: &str) -> Option<HeaderValue> {
    let kept = asked.unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let cursor = format!("cursor={cursor}");
    let query: Vec<&str> = kept.chain([cursor.as_str()]).collect();
    HeaderValue::from_str(&format!("<{address}?{}>; rel=\"next\"", query.join("&"))).ok()
}

/// One request with its attempts.
#[utoipa::path(
    get,
    path = "/requests/{id}",
    tag = "requests",
    params(("id" = String, Path, description = "The request.")),
    responses((status = 200, body = RequestDetail))
)]
pub(crate) async fn request_detail(
    State(app): State<App>,
    ctx: OpContext,
    Path(id): Path<RequestId>,
) -> Result<Json<RequestDetail>, ApiError> {
    let (row, attempts) = app.engine.request_detail(&ctx, id).await?;
    Ok(Json(convert::request_detail(row, attempts)))
}

/// Calls a request off.
///
/// One that is running is cancelled as soon as its agent has stopped; until then it says `stopping`.
#[utoipa::path(
    post,
    path = "/requests/{id}/cancel",
    tag = "requests",
    params(("id" = String, Path, description = "The request.")),
    responses((status = 200, body = Request))
)]
pub(crate) async fn request_cancel(
    State(app): State<App>,
    ctx: OpContext,
    Path(id): Path<RequestId>,
) -> Result<Json<Request>, ApiError> {
    Ok(Json(convert::request(app.engine.request_cancel(&ctx, id).await?)))
}

/// Stops a request for now.
#[utoipa::path(
    post,
    path = "/requests/{id}/pause",
    tag = "requests",
    params(("id" = String, Path, description = "The request.")),
    responses((status = 200, body = Request))
)]
pub(crate) async fn request_pause(
    State(app): State<App>,
    ctx: OpContext,
    Path(id): Path<RequestId>,
) -> Result<Json<Request>, ApiError> {
    Ok(Json(convert::request(app.engine.request_pause(&ctx, id).await?)))
}

/// Lets a paused request go on.
#[utoipa::path(
    post,
    path = "/requests/{id}/resume",
    tag = "requests",
    params(("id" = String, Path, description = "The request.")),
    responses((status = 200, body = Request))
)]
pub(crate) async fn request_resume(
    State(app): State<App>,
    ctx: OpContext,
    Path(id): Path<RequestId>,
) -> Result<Json<Request>, ApiError> {
    Ok(Json(convert::request(app.engine.request_resume(&ctx, id).await?)))
}

/// Makes a request more or less urgent.
///
/// One that runs goes on; the new urgency counts when it has to wait again.
#[utoipa::path(
    post,
    path = "/requests/{id}/reprioritise",
    tag = "requests",
    params(("id" = String, Path, description = "The request.")),
    responses((status = 200, body = Request))
)]
pub(crate) async fn request_reprioritise(
    State(app): State<App>,
    ctx: OpContext,
    Path(id): Path<RequestId>,
    Json(new): Json<NewPriority>,
) -> Result<Json<Request>, ApiError> {
    let priority = convert::priority(&new.priority)?;
    Ok(Json(convert::request(app.engine.request_reprioritise(&ctx, id, priority).await?)))
}

/// Asks again for what a finished request asked for.
///
/// The new request points back with `replay_of`.
#[utoipa::path(
    post,
    path = "/requests/{id}/replay",
    tag = "requests",
    params(("id" = String, Path, description = "The finished request.")),
    responses((status = 201, description = "A new request.", body = Request, headers(("Location" = String, description = "Its address."))))
)]
pub(crate) async fn request_replay(
    State(app): State<App>,
    ctx: OpContext,
    Path(id): Path<RequestId>,
) -> Result<Located, ApiError> {
    Ok(located(StatusCode::CREATED, app.engine.request_replay(&ctx, id).await?))
}

/// The difference that a request's result makes, as a patch.
#[utoipa::path(
    get,
    path = "/requests/{id}/diff",
    tag = "requests",
    params(("id" = String, Path, description = "The request.")),
    responses((status = 200, body = String, content_type = "text/x-diff; charset=utf-8"))
)]
pub(crate) async fn request_diff(
    State(app): State<App>,
    ctx: OpContext,
    Path(id): Path<RequestId>,
) -> Result<impl IntoResponse, ApiError> {
    let diff = app.engine.request_diff(&ctx, id).await?;
    Ok(([(header::CONTENT_TYPE, "text/x-diff; charset=utf-8")], diff.patch))
}
