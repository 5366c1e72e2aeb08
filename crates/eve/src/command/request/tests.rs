use eve_api_types::Request;
use eve_api_types::RequestDetail;
use jiff::Timestamp;
use serde_json::Value;
use serde_json::json;

use super::get;
use super::list;
use crate::output::Paint;

fn detail(changes: Value) -> RequestDetail {
    let mut detail = json!({
        "id": "req_01h455vb4pex5vsknk084sn02q", "org_id": "org_01h455vb4pex5vsknk084sn02q",
        "user_id": "usr_01h455vb4pex5vsknk084sn02q", "status": "pending", "priority": "MEDIUM",
        "worker_type": "general", "title": "Fix the login form", "prompt": "Fix the login form.\nAdd a test.",
        "on_dependency_failure": "fail", "context": {}, "config": {}, "metadata": {}, "max_attempts": 3,
        "attempts_counted": 1, "attempts": 2, "created_at": "2026-01-31T10:30:05Z", "attempt_list": [
            {
                "id": "att_01h455vb4pex5vsknk084sn02q", "number": 1, "worker_id": "wrk_01h455vb4pex5vsknk084sn02q",
                "state": "settled", "harness": "claude", "model": "opus", "error_code": "timeout",
                "message": "the time limit passed", "dropped_bytes": 0, "tokens_used": 12_500, "cost_usd": "0.0421",
                "claimed_at": "2026-01-31T10:30:06Z", "ended_at": "2026-01-31T11:00:06Z",
            },
            {
                "id": "att_01h455vb4pfx5vsknk084sn02q", "number": 2, "worker_id": "wrk_01h455vb4pex5vsknk084sn02q",
                "state": "running", "dropped_bytes": 0, "tokens_used": 0, "claimed_at": "2026-01-31T11:01:00Z",
            },
        ],
    });
    if let (Value::Object(detail), Value::Object(changes)) = (&mut detail, changes) {
        detail.extend(changes);
    }
    serde_json::from_value(detail).unwrap()
}

fn now() -> Timestamp {
    "2026-01-31T11:02:00Z".parse().unwrap()
}

#[test]
fn requests_in_columns() {
    let requests: Vec<Request> = [
        json!({}),
        json!({"status": "waiting_input", "reason": "answer", "priority": "CRITICAL", "worker_type": "code-review"}),
        json!({"status": "failed", "reason": "timeout", "title": "\u{1b}[2Jtwo\nlines"}),
    ]
    .map(|changes| detail(changes).request)
    .into();
    insta::assert_snapshot!(list::table(&requests, now()).render(Paint::OFF, None), @"
    ID        STATUS                  TYPE         PRIORITY  TRIES  AGE  TITLE
    084sn02q  pending                 general      MEDIUM        2  31m  Fix the login form
    084sn02q  waiting_input (answer)  code-review  CRITICAL      2  31m  Fix the login form
    084sn02q  failed (timeout)        general      MEDIUM        2  31m  [2Jtwo lines
    ");
}

#[test]
fn a_request_and_its_attempts() {
    let detail = detail(json!({
        "status": "processing", "stopping": true, "repository": "/srv/app", "branch": "main",
        "run_at": "2026-01-31T12:02:00Z", "blocked_by": ["req_01h455vb4pfx5vsknk084sn02q"],
        "last_error": "the time limit passed",
    }));
    let attempts = get::attempts(&detail, now()).render(Paint::OFF, None);
    insta::assert_snapshot!(get::block(&detail.request, Paint::OFF, now()) + &attempts, @"
    id          req_01h455vb4pex5vsknk084sn02q
    title       Fix the login form
    status      processing, being stopped
    error       the time limit passed
    type        general
    priority    MEDIUM
    repository  /srv/app
    branch      main
    blocked by  req_01h455vb4pfx5vsknk084sn02q
    attempts    1 of 3 counted
    created     2026-01-31T10:30:05Z (31m ago)
    not before  2026-01-31T12:02:00Z (in 1h)
    prompt      Fix the login form.
                Add a test.
    ATTEMPT  STATE    WORKER    HARNESS  MODEL     TIME  TOKENS     COST  MESSAGE
          1  settled  084sn02q  claude   opus   30m 00s   12.5k  $0.0421  the time limit passed
          2  running  084sn02q  -        -       1m 00s       0        -  -
    ");
}
