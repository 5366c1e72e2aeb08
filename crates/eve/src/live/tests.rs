use eve_api_types::Request;
use eve_api_types::RequestResult;
use serde_json::Value;
use serde_json::json;

use super::next_steps;
use super::result_block;
use crate::output::Paint;

fn request(changes: Value) -> Request {
    let mut request = json!({
        "id": "req_01h455vb4pex5vsknk084sn02q", "org_id": "org_01h455vb4pex5vsknk084sn02q",
        "user_id": "usr_01h455vb4pex5vsknk084sn02q", "status": "completed", "priority": "MEDIUM",
        "worker_type": "general", "title": "Fix it", "prompt": "Fix it", "on_dependency_failure": "fail",
        "context": {}, "config": {}, "metadata": {}, "max_attempts": 3, "attempts_counted": 0, "attempts": 1,
        "created_at": "2026-01-31T10:30:05Z",
    });
    merge(&mut request, changes);
    serde_json::from_value(request).unwrap_or_else(|error| panic!("{error}"))
}

fn result(changes: Value) -> RequestResult {
    let mut result = json!({
        "request_id": "req_01h455vb4pex5vsknk084sn02q", "status": "success", "output": {"text": "Done"},
        "summary": "Done.\nAll tests pass.", "files_changed": 0, "duration_ms": 42_300, "input_tokens": 0,
        "output_tokens": 0, "cache_read_tokens": 0, "cache_write_tokens": 0, "tokens_used": 0,
        "created_at": "2026-01-31T10:31:05Z",
    });
    merge(&mut result, changes);
    serde_json::from_value(result).unwrap_or_else(|error| panic!("{error}"))
}

fn merge(whole: &mut Value, changes: Value) {
    if let (Value::Object(whole), Value::Object(changes)) = (whole, changes) {
        whole.extend(changes);
    }
}

fn shown(request: &Request, result: &RequestResult) -> String {
    result_block(request, result, Paint::OFF) + &next_steps(request, result).join("\n")
}

#[test]
fn a_success_with_a_branch() {
    let request = request(json!({"repository": "/srv/my app"}));
    let result = result(json!({
        "branch": "feature/req-084sn02q-fix-it", "commit": "0123456789abcdef0123456789abcdef01234567",
        "files_changed": 2, "model": "opus", "input_tokens": 1200, "output_tokens": 300, "cache_read_tokens": 11_000,
        "tokens_used": 12_500, "cost_usd": "0.0421", "cost_basis": "observed",
    }));
    insta::assert_snapshot!(shown(&request, &result), @"
    status    ✓ completed
    request   req_01h455vb4pex5vsknk084sn02q
    summary   Done.
              All tests pass.
    branch    feature/req-084sn02q-fix-it (0123456789ab)
    changed   2 files
    duration  42.3s
    tokens    12.5k (1.2k in, 300 out, 11.0k cached) with opus
    cost      $0.0421 (observed)

    next:
      eve diff 084sn02q
      git -C '/srv/my app' merge feature/req-084sn02q-fix-it
      eve result output 084sn02q
    ");
}

#[test]
fn a_script_has_no_tokens_and_an_address_no_merge() {
    let request = request(json!({"repository": "https://example.com/a.git"}));
    let result = result(json!({"branch": "feature/req-084sn02q", "files_changed": 1}));
    insta::assert_snapshot!(shown(&request, &result), @"
    status    ✓ completed
    request   req_01h455vb4pex5vsknk084sn02q
    summary   Done.
              All tests pass.
    branch    feature/req-084sn02q
    changed   1 file
    duration  42.3s
    cost      none: no model was used

    next:
      eve diff 084sn02q
      eve result output 084sn02q
    ");
}

#[test]
fn a_failure_says_why_and_an_unknown_cost_is_not_zero() {
    let request = request(json!({"status": "failed"}));
    let result = result(json!({
        "status": "timeout", "summary": "", "tokens_used": 950, "input_tokens": 950,
        "error": "the time limit of 30 minutes passed", "error_code": "timeout",
    }));
    insta::assert_snapshot!(shown(&request, &result), @"
    status    ✗ failed (timeout)
    request   req_01h455vb4pex5vsknk084sn02q
    duration  42.3s
    tokens    950 (950 in, 0 out, 0 cached)
    cost      unknown
    error     the time limit of 30 minutes passed [timeout]

    next:
      eve result output 084sn02q
    ");
}

#[test]
fn a_repository_cannot_smuggle_a_command_into_the_next_steps() {
    let request = request(json!({"repository": "/srv/a'; rm -rf ~ #"}));
    let steps = |branch: &str| next_steps(&request, &result(json!({"branch": branch}))).join("\n");
    assert!(steps("main").contains(r"git -C '/srv/a'\''; rm -rf ~ #' merge main"));
    assert!(!steps("$(reboot)").contains("reboot"));
}
