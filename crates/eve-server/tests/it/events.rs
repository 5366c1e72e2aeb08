//! The organization's events, as a list and as they happen.

use std::time::Duration;

use eve_server::RouterOptions;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::redact::redact;
use crate::server::Answer;
use crate::server::TestServer;
use crate::sse::Block;
use crate::sse::Stream;
use crate::worker::FakeWorker;

fn stream(server: &TestServer, query: &str) -> reqwest::RequestBuilder {
    server.member(Method::GET, &format!("/events{query}"))
}

async fn list(server: &TestServer, query: &str) -> Answer {
    Answer::to(stream(server, query).header("accept", "application/json")).await
}

fn kinds(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["kind"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_stream_tells_the_life_of_a_request() {
    let server = TestServer::start().await;
    server.ask("before anybody listens").await;
    let mut events = Stream::open(stream(&server, "")).await;
    let worker = FakeWorker::enter(&server).await;
    worker.claim().await.succeed().await;
    let mut last = None;
    for expected in ["request:started", "request:completed"] {
        let (name, id, data) = events.event().await.unwrap();
        assert_eq!((name.as_str(), &data["kind"], &data["id"]), (expected, &json!(expected), &json!(id)));
        last = id;
    }
    drop(events);
    let id = server.ask("while nobody listens").await;
    let mut events = Stream::open(stream(&server, "").header("Last-Event-ID", last.unwrap())).await;
    let (name, _, data) = events.event().await.unwrap();
    assert_eq!((name.as_str(), &data["request_id"]), ("request:created", &json!(id)));
}

#[tokio::test]
async fn a_stream_is_told_at_once() {
    let server = TestServer::start().await;
    let mut events = Stream::open(stream(&server, "")).await;
    // Long enough for the stream to look only now and then by itself.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    server.ask("now").await;
    let event = tokio::time::timeout(Duration::from_secs(1), events.event()).await.expect("within a second");
    assert_eq!(event.unwrap().0, "request:created");
}

#[tokio::test]
async fn a_silent_stream_shows_that_it_is_alive() {
    let options = RouterOptions { stream_heartbeat: Duration::from_millis(50), ..RouterOptions::default() };
    let server = TestServer::start_with(options).await;
    let mut events = Stream::open(stream(&server, "")).await;
    for _ in 0..3 {
        assert_eq!(events.block().await, Some(Block::Comment("heartbeat".to_owned())));
    }
}

#[tokio::test]
async fn events_can_be_narrowed_down_to_worker_types() {
    let server = TestServer::start().await;
    let mut reviews = Stream::open(stream(&server, "?worker_type=code-review,plumber")).await;
    let other = server.ask("general work").await;
    let body = json!({"prompt": "review", "worker_type": "code-review"});
    let wanted = server.post("/requests", &body).await.text_at("id");
    server.act(&other, "cancel").await;
    server.act(&wanted, "cancel").await;
    for expected in ["request:created", "request:cancelled"] {
        let (name, _, data) = reviews.event().await.unwrap();
        assert_eq!((name.as_str(), &data["request_id"]), (expected, &json!(wanted)));
    }
    let page = list(&server, "?worker_type=general").await;
    assert_eq!(kinds(&page.items()), ["request:created", "request:cancelled"]);
    let nothing = list(&server, "?worker_type=plumber").await;
    assert!(nothing.items().is_empty() && nothing.json().get("next_cursor").is_some(), "{}", nothing.text);
    list(&server, "?worker_type=No%20Such").await.is_problem(400, "invalid_worker_type");
}

#[tokio::test]
async fn events_are_read_page_by_page() {
    let server = TestServer::start().await;
    let id = server.ask("something").await;
    server.act(&id, "pause").await;
    server.act(&id, "resume").await;
    let page = list(&server, "?limit=2").await;
    let mut shown = redact(&page.json());
    // Positions differ with every run.
    shown["next_cursor"] = json!("[position]");
    for item in shown["items"].as_array_mut().unwrap() {
        item["id"] = json!("[position]");
    }
    insta::assert_json_snapshot!("event_page", shown);
    let rest = list(&server, &format!("?after={}", page.text_at("next_cursor"))).await;
    assert_eq!(kinds(&rest.items()), ["request:ready"]);
    let end = list(&server, &format!("?after={}", rest.text_at("next_cursor"))).await;
    assert_eq!(end.text, r#"{"items":[]}"#);
    for after in ["1", "x-1", "-1-1", "1-x"] {
        list(&server, &format!("?after={after}")).await.is_problem(400, "invalid_request");
        let call = stream(&server, "").header("last-event-id", after);
        Answer::to(call).await.is_problem(400, "invalid_request");
    }
}
