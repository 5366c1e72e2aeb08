//! A server that answers as it is told, for bad days only.

use axum::Router;
use axum::response::IntoResponse;
use axum::response::Response;
use eve_api_types::PROBLEM_MEDIA_TYPE;
use eve_api_types::Problem;
use eve_api_types::ProblemCode;
use serde_json::Value;
use serde_json::json;

/// An id to ask about.
pub(crate) const REQUEST: &str = "req_01h455vb4pex5vsknk084sn02q";

/// Serves the router on a free port and gives its address.
pub(crate) async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// An answer as Eve gives them.
pub(crate) fn problem(code: ProblemCode, detail: &str) -> Response {
    let mut problem = Problem::new(code, detail);
    problem.request_id = Some("x-1".to_owned());
    let status = axum::http::StatusCode::from_u16(code.status()).unwrap();
    let body = serde_json::to_string(&problem).unwrap();
    (status, [("content-type", PROBLEM_MEDIA_TYPE)], body).into_response()
}

/// A request in this status.
pub(crate) fn request(status: &str) -> Value {
    json!({
        "id": REQUEST, "org_id": "org_01h455vb4pex5vsknk084sn02q", "user_id": "usr_01h455vb4pex5vsknk084sn02q",
        "status": status, "priority": "MEDIUM", "worker_type": "general", "title": "Fix it", "prompt": "Fix it",
        "on_dependency_failure": "fail", "context": {}, "config": {}, "metadata": {}, "max_attempts": 3,
        "attempts_counted": 0, "attempts": 1, "created_at": "2026-01-31T10:30:05Z",
    })
}

/// The same with its attempts.
pub(crate) fn detail(status: &str) -> Value {
    let mut detail = request(status);
    detail["attempt_list"] = json!([{
        "id": "att_01h455vb4pex5vsknk084sn02q", "number": 1, "worker_id": "wrk_01h455vb4pex5vsknk084sn02q",
        "state": "running", "harness": "claude", "dropped_bytes": 0, "tokens_used": 0,
        "claimed_at": "2026-01-31T10:30:06Z",
    }]);
    detail
}

/// The result of a finished request.
pub(crate) fn result(status: &str) -> Value {
    json!({
        "request_id": REQUEST, "status": status, "output": {"text": "Done."}, "summary": "Done.", "files_changed": 0,
        "duration_ms": 1200, "input_tokens": 0, "output_tokens": 0, "cache_read_tokens": 0, "cache_write_tokens": 0,
        "tokens_used": 0, "created_at": "2026-01-31T10:31:05Z",
    })
}

/// An entry of a log with this number.
pub(crate) fn entry(number: u32) -> Value {
    json!({
        "id": format!("1-{number}"), "attempt_id": "att_01h455vb4pex5vsknk084sn02q", "at": "2026-01-31T10:30:07Z",
        "event": {"type": "text", "text": format!("line {number}")},
    })
}

/// A log's stream event.
pub(crate) fn log_event(number: u32) -> String {
    format!("id: 1-{number}\nevent: log\ndata: {}\n\n", entry(number))
}

/// The stream's last event.
pub(crate) fn end_event(status: &str) -> String {
    format!("event: end\ndata: {}\n\n", request(status))
}
