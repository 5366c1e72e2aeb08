//! Many requests in one call, and one change for many requests.

use axum::extract::MatchedPath;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use eve_api_types::BulkAction;
use eve_api_types::BulkPreview;
use eve_api_types::CreatedRequests;
use eve_api_types::NewBulkAction;
use eve_api_types::NewRequests;
use eve_api_types::Page;
use eve_core::BulkActionId;
use eve_engine::BulkCreateOutcome;
use eve_engine::BulkOutcome;
use eve_engine::CursorKind;
use eve_engine::OpContext;
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
use crate::routes::requests::IDEMPOTENCY_KEY;
use crate::routes::requests::IdempotencyKey;

/// Bulk actions on a page when nothing is said.
const PAGE_SIZE: i64 = 50;

/// Asks for many things to be done: all of them, or none.
///
/// Up to 1000 requests. With `ref` a request has a name within the call, and others say `ref:NAME` in `blocked_by` and
/// `parent_id` where an id could stand, whether they come before or after it. If anything is wrong, nothing is stored, and
/// `errors` of the problem has one entry for each request that is wrong. With the header `Idempotency-Key`, the same call
/// may be repeated for two days and makes its requests once: the repetition answers 200 with the same.
#[utoipa::path(
    post,
    path = "/requests/bulk",
    tag = "requests",
    params(IdempotencyKey),
    request_body(content = NewRequests, examples(
        ("a chain" = (summary = "One waits for another", value = json!({"requests": [
            {"ref": "lint", "prompt": "Fix what the linter finds.", "repository": "https://git.example.com/shop.git"},
            {"ref": "review", "prompt": "Review the last commit.", "worker_type": "code-review", "blocked_by": ["ref:lint"]}
        ]})))
    )),
    responses(
        (status = 201, description = "New requests.", body = CreatedRequests),
        (status = 200, description = "Those that an earlier call with this key made.", body = CreatedRequests)
    )
)]
pub(crate) async fn request_create_bulk(
    State(app): State<App>,
    ctx: OpContext,
    headers: HeaderMap,
    Json(new): Json<NewRequests>,
) -> Result<(StatusCode, Json<CreatedRequests>), ApiError> {
    let key = header_text(&headers, IDEMPOTENCY_KEY)?;
    let lines: Vec<_> = new.requests.into_iter().enumerate().map(convert::bulk_line).collect();
    let names = convert::line_names(&lines);
    Ok(match app.engine.request_create_bulk(&ctx, lines, key).await? {
        BulkCreateOutcome::Created(ids) => (StatusCode::CREATED, Json(convert::created_requests(ids, names))),
        BulkCreateOutcome::Repeated(ids) => (StatusCode::OK, Json(convert::created_requests(ids, names))),
        BulkCreateOutcome::Refused(faults) => return Err(convert::line_faults(faults)),
    })
}

fn located(status: StatusCode, row: eve_engine::BulkActionRow) -> Response {
    let address = format!("{API}/bulk-actions/{}", row.id);
    (status, [(header::LOCATION, address)], Json(convert::bulk_action(row))).into_response()
}

/// Changes every request that fits a filter: cancels, replays, or makes more or less urgent.
///
/// With `preview`, says what would happen and writes nothing. Otherwise it answers at once and the work goes on by itself,
/// batch by batch; each request is changed once, also when a server dies in between. Only requests from before the call
/// count. Running requests that are cancelled are told to stop. Takes the header `Idempotency-Key`.
#[utoipa::path(
    post,
    path = "/bulk-actions",
    tag = "bulk actions",
    params(IdempotencyKey),
    request_body(content = NewBulkAction, examples(
        ("preview" = (summary = "What would be cancelled?", value = json!({
            "action": "cancel", "filter": {"status": ["pending"], "worker_type": "code-review"}, "preview": true}))),
        ("replay" = (summary = "What failed since this morning, again", value = json!({
            "action": "replay", "filter": {"status": ["failed"], "created_after": "2026-01-31T06:00:00Z"}}))),
        ("urgency" = (summary = "A project first", value = json!({
            "action": "reprioritise", "priority": "HIGH", "filter": {"project_id": "prj_01h455vb4pex5vsknk084sn02q"}})))
    )),
    responses(
        (status = 200, description = "With `preview`, what would happen. Otherwise the action that an earlier call with this key made.", body = BulkPreview),
        (status = 202, description = "A new action.", body = BulkAction, headers(("Location" = String, description = "Its address.")))
    )
)]
pub(crate) async fn bulk_action_create(
    State(app): State<App>,
    ctx: OpContext,
    headers: HeaderMap,
    Json(new): Json<NewBulkAction>,
) -> Result<Response, ApiError> {
    let key = header_text(&headers, IDEMPOTENCY_KEY)?;
    let change = convert::bulk_change(&new)?;
    let filter = convert::bulk_filter(new.filter)?;
    if new.preview {
        let preview = app.engine.bulk_action_preview(&ctx, change, &filter).await?;
        return Ok(Json(convert::bulk_preview(preview)).into_response());
    }
    Ok(match app.engine.bulk_action_create(&ctx, change, &filter, key).await? {
        BulkOutcome::Created(row) => located(StatusCode::ACCEPTED, row),
        BulkOutcome::Repeated(row) => located(StatusCode::OK, row),
    })
}

/// Which bulk actions to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct BulkActionListQuery {
    /// At most so many, up to 200; 50 when nothing is said.
    limit: Option<i64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists bulk actions, newest first.
///
/// The header `Link` with `rel="next"` and `next_cursor` lead to the next page. Actions are kept for 90 days after their
/// end.
#[utoipa::path(
    get,
    path = "/bulk-actions",
    tag = "bulk actions",
    params(BulkActionListQuery),
    responses((status = 200, body = Page<BulkAction>, headers(("Link" = String, description = "The next page."))))
)]
pub(crate) async fn bulk_action_list(
    State(app): State<App>,
    ctx: OpContext,
    address: MatchedPath,
    Query(query): Query<BulkActionListQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let (engine, kind, limit) = (&app.engine, CursorKind::BulkActions, query.limit.unwrap_or(PAGE_SIZE));
    let before = query.cursor.map(|text| engine.cursor_decode(kind, ctx.org_id, &text)).transpose()?;
    let (rows, more) = engine.bulk_action_list(&ctx, before, limit).await?;
    let next_cursor = rows.last().filter(|_| more).map(|row| engine.cursor_encode(kind, ctx.org_id, row.id));
    let link = next_cursor
        .as_ref()
        .map(|cursor| (header::LINK, format!("<{}?limit={limit}&cursor={cursor}>; rel=\"next\"", address.as_str())));
    let items = rows.into_iter().map(convert::bulk_action).collect();
    Ok((axum::response::AppendHeaders(link), Json(Page { items, next_cursor })))
}

/// One bulk action, and how far it has come.
#[utoipa::path(
    get,
    path = "/bulk-actions/{id}",
    tag = "bulk actions",
    params(("id" = String, Path, description = "The bulk action.")),
    responses((status = 200, body = BulkAction))
)]
pub(crate) async fn bulk_action_get(
    State(app): State<App>,
    ctx: OpContext,
    Path(id): Path<BulkActionId>,
) -> Result<Json<BulkAction>, ApiError> {
    Ok(Json(convert::bulk_action(app.engine.bulk_action_get(&ctx, id).await?)))
}

/// Stops a bulk action.
///
/// What it did stays done.
#[utoipa::path(
    post,
    path = "/bulk-actions/{id}/cancel",
    tag = "bulk actions",
    params(("id" = String, Path, description = "The bulk action.")),
    responses((status = 200, body = BulkAction))
)]
pub(crate) async fn bulk_action_cancel(
    State(app): State<App>,
    ctx: OpContext,
    Path(id): Path<BulkActionId>,
) -> Result<Json<BulkAction>, ApiError> {
    Ok(Json(convert::bulk_action(app.engine.bulk_action_cancel(&ctx, id).await?)))
}
