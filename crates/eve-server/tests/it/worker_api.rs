//! The workers' API.

use std::time::Duration;
use std::time::Instant;

use serde_json::Value;
use serde_json::json;

use crate::redact::redact;
use crate::server::Answer;
use crate::server::TestServer;
use crate::worker::FakeWorker;
use crate::worker::report;
use crate::worker::succeeded;

#[tokio::test]
async fn a_worker_enters_and_gets_all_it_needs() {
    let server = TestServer::start().await;
    let body = json!({"name": "w", "version": "1", "worker_types": ["*"], "harnesses": [], "slots": 1});
    let answer = Answer::to(server.worker("/register", &body)).await;
    insta::assert_json_snapshot!("registered", redact(&answer.json()));
    for (field, value) in [("slots", json!(0)), ("worker_types", json!([]))] {
        let mut body = body.clone();
        body[field] = value;
        Answer::to(server.worker("/register", &body)).await.is_problem(400, "invalid_request");
    }
    let asked = json!({
        "prompt": "Do it.", "repository": "/srv/shop.git", "branch": "main", "context": {"a": 1}, "model": "m",
        "timeout_seconds": 60,
    });
    server.post("/requests", &asked).await;
    let mut assignment = FakeWorker::enter(&server).await.claim().await.assignment;
    assert!(assignment["instructions"].as_str().is_some_and(|text| text.len() > 100));
    assignment["instructions"] = json!("[skills]");
    insta::assert_json_snapshot!("assignment", redact(&assignment));
}

#[tokio::test]
async fn a_waiting_claim_is_woken_by_a_request() {
    let server = TestServer::start().await;
    let worker = FakeWorker::enter(&server).await;
    let claim = tokio::spawn(Answer::to(server.worker("/claim", &worker.claim_body(10_000))));
    // Long enough to be past the first look at the queue.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!claim.is_finished());
    let began = Instant::now();
    let id = server.ask("at last").await;
    let answer = claim.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "it took {:?}", began.elapsed());
    assert_eq!(answer.json()["assignments"][0]["request_id"], id.as_str());
}

#[tokio::test]
async fn a_claim_in_vain_comes_back_empty() {
    let server = TestServer::start().await;
    let worker = FakeWorker::enter(&server).await;
    for wait in [0, 100] {
        let answer = Answer::to(server.worker("/claim", &worker.claim_body(wait))).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, r#"{"assignments":[]}"#));
    }
    let mut body = worker.claim_body(0);
    body["worker_types"] = json!(["No Such"]);
    Answer::to(server.worker("/claim", &body)).await.is_problem(400, "invalid_worker_type");
}

#[tokio::test]
async fn a_worker_that_never_entered_is_told_so() {
    let server = TestServer::start().await;
    server.ask("for nobody").await;
    let unknown = "wrk_00000000000000000000000000";
    let claim = json!({"worker_id": unknown, "worker_types": ["general"], "limit": 1, "wait_ms": 0});
    Answer::to(server.worker("/claim", &claim)).await.is_problem(404, "not_found");
    // As one that was given up for dead is: all that it runs is lost, and it has to enter.
    let beat = json!({"worker_id": unknown, "state": "active", "attempts": []});
    Answer::to(server.worker("/heartbeat", &beat)).await.is_problem(409, "stale_fence");
}

#[tokio::test]
async fn a_heartbeat_waits_for_a_reason_to_stop() {
    let server = TestServer::start().await;
    let worker = FakeWorker::enter(&server).await;
    let id = server.ask("long work").await;
    let attempt = worker.claim().await;
    attempt.start().await;
    let fenced =
        |fence: i64| json!({"request_id": attempt.request_id, "attempt_id": attempt.attempt_id, "fence": fence});
    let beat = |attempts: Value| json!({"worker_id": worker.id, "state": "active", "attempts": attempts});
    for (fence, signal) in [(1, "continue"), (7, "lost")] {
        let at_once = Answer::to(server.worker("/heartbeat", &beat(json!([fenced(fence)])))).await;
        assert_eq!(at_once.json()["signals"], json!([signal]));
    }
    let waiting = tokio::spawn(Answer::to(server.worker("/heartbeat?wait_ms=10000", &beat(json!([fenced(1)])))));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    let began = Instant::now();
    let stopping = server.act(&id, "cancel").await;
    assert_eq!((stopping.text_at("status"), &stopping.json()["stopping"]), ("processing".into(), &json!(true)));
    assert_eq!(waiting.await.unwrap().json()["signals"], json!(["stop"]));
    assert!(began.elapsed() < Duration::from_secs(1), "it took {:?}", began.elapsed());
    assert_eq!(attempt.settle(&json!({"kind": "cancelled"})).await, "cancelled");
}

#[tokio::test]
async fn an_old_fence_writes_nothing() {
    let server = TestServer::start().await;
    let worker = FakeWorker::enter(&server).await;
    let id = server.ask("twice").await;
    let old = worker.claim().await;
    old.start().await;
    assert_eq!(old.release().await, json!({"outcome": "ended", "status": "pending"}));
    let new = worker.claim().await;
    assert_eq!((new.request_id.as_str(), new.fence), (id.as_str(), old.fence + 1));
    let entries = json!([{"seq": 1, "at": "2026-01-02T03:04:05Z", "event": {"type": "text", "text": "late"}}]);
    for (path, rest) in
        [("/attempts/start", json!({"harness": "claude"})), ("/attempts/log", json!({"entries": entries}))]
    {
        let answer = old.write(path, &rest).await;
        answer.is_problem(409, "stale_fence");
        // Neither does the right attempt with a wrong number.
        let mut body = new.body(&rest);
        body["fence"] = json!(new.fence + 1);
        Answer::to(server.worker(path, &body)).await.is_problem(409, "stale_fence");
    }
    assert_eq!(old.end("/attempts/settle", &old.settlement(&succeeded())).await, json!({"outcome": "stale"}));
    // A release that was written before is answered as it was then, since that answer may have been lost.
    assert_eq!(old.release().await["outcome"], "ended");
    let mut ahead = new.body(&json!({"report": report(&succeeded())}));
    ahead["fence"] = json!(new.fence + 1);
    assert_eq!(new.end("/attempts/settle", &json!({"settlements": [ahead]})).await, json!({"outcome": "stale"}));
    assert_eq!(new.end("/attempts/release", &json!({"attempts": [ahead]})).await, json!({"outcome": "stale"}));
    let beat = json!({"worker_id": worker.id, "state": "active", "attempts": [old.body(&json!({}))]});
    assert_eq!(Answer::to(server.worker("/heartbeat", &beat)).await.json()["signals"], json!(["lost"]));
    assert!(server.get(&format!("/requests/{id}/log")).await.items().is_empty());
    new.succeed().await;
}

#[tokio::test]
async fn a_log_may_be_large_and_hold_anything() {
    let server = TestServer::start().await;
    let id = server.ask("talk").await;
    let attempt = FakeWorker::enter(&server).await.claim().await;
    attempt.start().await;
    let entry = |seq: i64, text: &str| json!({"seq": seq, "at": "2026-01-02T03:04:05Z", "event": {"type": "text", "text": text}});
    let large = "x".repeat(3 * 1024 * 1024);
    let answer = attempt.write("/attempts/log", &json!({"entries": [entry(1, &large)]})).await;
    assert_eq!(answer.status, 204, "{}", answer.text);
    // A NUL character, which no database text can hold, must not keep an attempt from being recorded.
    let answer = attempt.write("/attempts/log", &json!({"entries": [entry(2, "a\u{0}b \\u0000")]})).await;
    assert_eq!(answer.status, 204, "{}", answer.text);
    let log = server.get(&format!("/requests/{id}/log?after=1-1")).await.items();
    assert_eq!(log[0]["event"]["text"], "a\u{fffd}b \\u0000");
    let outcome = json!({"kind": "succeeded", "output": {"key\u{0}": ["\u{0}"]}, "summary": "a\u{0}b"});
    assert_eq!(attempt.settle(&outcome).await, "completed");
    let result = server.get(&format!("/results/{id}")).await.json();
    assert_eq!((&result["summary"], &result["output"]), (&json!("a\u{fffd}b"), &json!({"key\u{fffd}": ["\u{fffd}"]})));
    let huge = json!({"entries": [entry(3, &"x".repeat(16 * 1024 * 1024))]});
    attempt.write("/attempts/log", &huge).await.is_problem(413, "too_large");
}
