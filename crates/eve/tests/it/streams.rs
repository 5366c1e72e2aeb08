//! Streams that break: nothing is missed, nothing is told twice, and not for ever.

use std::sync::Arc;
use std::sync::Mutex;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::get;
use serde_json::json;

use crate::stand_in::REQUEST;
use crate::stand_in::end_event;
use crate::stand_in::log_event;
use crate::stand_in::serve;
use crate::world::World;

/// The `Last-Event-ID` of each connection.
type Seen = Arc<Mutex<Vec<Option<String>>>>;

fn stream(body: String) -> Response {
    ([("content-type", "text/event-stream")], body).into_response()
}

/// Three entries over three connections, each of which breaks in the middle of an event.
async fn broken_log(State(seen): State<Seen>, headers: HeaderMap) -> Response {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let half = |number: u32| log_event(number).chars().take(40).collect::<String>();
    let body = match last.as_deref() {
        None => format!(": welcome\n\n{}{}", log_event(1), half(2)),
        Some("1-1") => format!("{}{}", log_event(2), half(3)),
        Some(_) => format!("{}{}", log_event(3), end_event("completed")),
    };
    seen.lock().unwrap().push(last);
    stream(body)
}

#[tokio::test]
async fn a_cut_log_goes_on_where_it_was() {
    let seen = Seen::default();
    let path = format!("/api/v1/requests/{REQUEST}/log");
    let url = serve(Router::new().route(&path, get(broken_log)).with_state(seen.clone())).await;
    let ended = World::with_server(&url).run(&["request", "logs", "-f", REQUEST]).await;
    insta::assert_snapshot!(ended.all(), @"
    exit code: Some(0)
    --- stdout
    [10:30:07] line 1
    [10:30:07] line 2
    [10:30:07] line 3
    --- stderr
    warning: the server closed the stream; connecting again
    warning: the server closed the stream; connecting again
    The request is completed.
    ");
    assert_eq!(*seen.lock().unwrap(), [None, Some("1-1".to_owned()), Some("1-2".to_owned())]);
}

#[tokio::test]
async fn json_of_a_followed_log_is_one_entry_a_line() {
    let path = format!("/api/v1/requests/{REQUEST}/log");
    let url = serve(Router::new().route(&path, get(broken_log)).with_state(Seen::default())).await;
    let ended = World::with_server(&url).run(&["logs", "--request-id", REQUEST, "-f", "--raw", "-q"]).await;
    let ids: Vec<String> =
        ended.stdout.lines().map(|line| serde_json::from_str::<eve_api_types::LogEntry>(line).unwrap().id).collect();
    assert_eq!(ids, ["1-1", "1-2", "1-3"]);
}

#[tokio::test]
async fn the_end_of_a_log_is_found_over_pages() {
    async fn page(axum::extract::RawQuery(query): axum::extract::RawQuery) -> Json<serde_json::Value> {
        let after = query.unwrap_or_default().split_once("after=1-").and_then(|(_, number)| number.parse().ok());
        let after: u32 = after.unwrap_or(0);
        let items: Vec<_> = (after + 1..=(after + 3).min(8)).map(crate::stand_in::entry).collect();
        let next = items.last().map(|entry| entry["id"].clone());
        Json(json!({ "items": items, "next_cursor": next }))
    }
    let path = format!("/api/v1/requests/{REQUEST}/log");
    let url = serve(Router::new().route(&path, get(page))).await;
    let ended = World::with_server(&url).run(&["request", "logs", REQUEST, "--tail", "2"]).await;
    assert_eq!(ended.stdout, "[10:30:07] line 7\n[10:30:07] line 8\n", "{}", ended.stderr);
}

#[tokio::test]
async fn a_stream_that_is_refused_is_not_tried_again() {
    let seen = Seen::default();
    async fn refuse(State(seen): State<Seen>) -> Response {
        seen.lock().unwrap().push(None);
        crate::stand_in::problem(eve_api_types::ProblemCode::Forbidden, "not yours")
    }
    let url = serve(Router::new().route("/api/v1/events", get(refuse)).with_state(seen.clone())).await;
    let ended = World::with_server(&url).run(&["tail"]).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(4), "error: not yours\n"));
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_sees_one_organization() {
    let me = json!({
        "org_id": "org_01h455vb4pex5vsknk084sn02q", "org": "acme", "user_id": "usr_01h455vb4pex5vsknk084sn02q",
        "user": "Ada", "role": "owner", "key_id": "key_01h455vb4pex5vsknk084sn02q",
    });
    let url = serve(Router::new().route("/api/v1/auth/whoami", get(|| async { Json(me) }))).await;
    let ended = World::with_server(&url).run(&["tail", "--org", "other"]).await;
    insta::assert_snapshot!(ended.all(), @"
    exit code: Some(2)
    --- stdout
    --- stderr
    error: the key belongs to the organization `acme`, not to `other`
    hint: a key sees one organization: use a key of `other`, for example with the variable EVE_API_KEY
    ");
}
