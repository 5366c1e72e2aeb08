//! `eve run` and `--wait`: exit codes by outcome, detaching, and a server that goes away in between.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::get;
use axum::routing::post;
use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncBufReadExt;
use tokio::io::BufReader;

use crate::stand_in::REQUEST;
use crate::stand_in::detail;
use crate::stand_in::end_event;
use crate::stand_in::log_event;
use crate::stand_in::request;
use crate::stand_in::result;
use crate::stand_in::serve;
use crate::world::World;

/// A server with one request that is in `status`; its log ends if `ends` is given.
fn server(status: &'static str, ends: Option<&'static str>, outcome: &'static str) -> Router {
    let log = move || async move {
        let told = log_event(1) + &ends.map(end_event).unwrap_or_default();
        let forever = futures_util::stream::pending();
        let told = futures_util::stream::once(async move { Ok::<_, std::convert::Infallible>(told) });
        let body = match ends {
            Some(_) => Body::from_stream(told),
            None => Body::from_stream(futures_util::StreamExt::chain(told, forever)),
        };
        ([("content-type", "text/event-stream")], body).into_response()
    };
    Router::new()
        .route("/api/v1/requests", post(|| async { (axum::http::StatusCode::CREATED, Json(request("pending"))) }))
        .route(&format!("/api/v1/requests/{REQUEST}"), get(move || async move { Json(detail(status)) }))
        .route(&format!("/api/v1/requests/{REQUEST}/log"), get(log))
        .route(&format!("/api/v1/requests/{REQUEST}/cancel"), post(|| async { Json(request("cancelled")) }))
        .route(&format!("/api/v1/results/{REQUEST}"), get(move || async move { Json(result(outcome)) }))
}

#[tokio::test]
async fn the_exit_code_tells_the_outcome() {
    let mut text = String::new();
    for (status, ends, outcome) in [
        ("processing", Some("completed"), "success"),
        ("processing", Some("failed"), "error"),
        ("processing", Some("cancelled"), "cancelled"),
        ("waiting_input", None, ""),
        ("processing", None, ""),
    ] {
        let url = serve(server(status, ends, outcome)).await;
        let args = ["request", "create", "Fix it", "--wait", "--wait-timeout", "1", "-q"];
        let ended = World::with_server(&url).run(&args).await;
        text.push_str(&format!("# {status} {ends:?}\n{}\n", ended.all()));
    }
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn progress_is_talk_and_the_result_is_data() {
    let url = serve(server("processing", Some("completed"), "success")).await;
    let world = World::with_server(&url);
    let ended = world.run(&["run", "Fix it"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.all());
    for line in ["Fix it", "line 1"] {
        assert!(ended.stderr.lines().any(|talk| talk == line), "{}", ended.stderr);
    }
    insta::assert_snapshot!(ended.stdout, @"
    status    ✓ completed
    request   req_01h455vb4pex5vsknk084sn02q
    summary   Done.
    duration  1.2s
    cost      none: no model was used
    ");
    let ended = world.run(&["run", "Fix it", "--json", "-q"]).await;
    assert_eq!(serde_json::from_str::<Value>(&ended.stdout).unwrap()["status"], "success");
    assert_eq!(ended.stderr, "");
    let ended = world.run(&["run", "Fix it", "-o", "jsonl"]).await;
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["id"], &lines[1]["status"]), (&json!("1-1"), &json!("success")));
}

#[tokio::test]
async fn ctrl_c_detaches_and_a_second_one_cancels() {
    let cancelled = Arc::new(AtomicU32::new(0));
    async fn count(
        State(cancelled): State<Arc<AtomicU32>>,
        request: axum::extract::Request,
        next: axum::middleware::Next,
    ) -> Response {
        if request.uri().path().ends_with("/cancel") {
            cancelled.fetch_add(1, Ordering::SeqCst);
        }
        next.run(request).await
    }
    let router = server("processing", None, "").layer(axum::middleware::from_fn_with_state(cancelled.clone(), count));
    let world = World::with_server(&serve(router).await);
    for presses in [1, 2] {
        let mut child = world.command(&["run", "Fix it"]).spawn().unwrap();
        let pid = nix::unistd::Pid::from_raw(child.id().unwrap().cast_signed());
        let mut talk = BufReader::new(child.stderr.take().unwrap()).lines();
        while talk.next_line().await.unwrap().unwrap() != "line 1" {}
        for _ in 0..presses {
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        assert_eq!(child.wait().await.unwrap().code(), Some(130));
        let mut rest = String::new();
        while let Some(line) = talk.next_line().await.unwrap() {
            rest.push_str(&format!("{line}\n"));
        }
        assert!(
            rest.contains("eve request logs -f 084sn02q") && rest.contains("eve request cancel 084sn02q"),
            "{rest}"
        );
        assert_eq!(rest.contains("Cancelled."), presses == 2, "{rest}");
    }
    assert_eq!(cancelled.load(Ordering::SeqCst), 1);
}

/// Fails the first call after it has arrived, as a connection that breaks in the middle does.
async fn break_once(State(keys): State<Arc<std::sync::Mutex<Vec<String>>>>, headers: HeaderMap) -> Response {
    let mut keys = keys.lock().unwrap();
    keys.push(headers["idempotency-key"].to_str().unwrap().to_owned());
    if keys.len() == 1 {
        let broken = futures_util::stream::once(async { Err::<String, _>(std::io::Error::other("broken")) });
        return (axum::http::StatusCode::CREATED, Body::from_stream(broken)).into_response();
    }
    (axum::http::StatusCode::CREATED, Json(request("pending"))).into_response()
}

#[tokio::test]
async fn a_request_is_created_once_when_the_connection_breaks() {
    let keys = Arc::new(std::sync::Mutex::new(Vec::new()));
    let router = Router::new().route("/api/v1/requests", post(break_once)).with_state(keys.clone());
    let ended = World::with_server(&serve(router).await).run(&["run", "Fix it", "--detach"]).await;
    assert_eq!((ended.code, ended.stdout.trim()), (Some(0), REQUEST), "{}", ended.stderr);
    let keys = keys.lock().unwrap();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
}

#[tokio::test]
async fn a_local_repository_must_be_gits_and_have_a_commit() {
    let url = serve(server("processing", Some("completed"), "success")).await;
    let world = World::with_server(&url);
    let repository = world.path("repository");
    std::fs::create_dir(&repository).unwrap();
    let run = |args: &'static [&'static str]| {
        let mut git = tokio::process::Command::new("git");
        git.args(["-c", "user.name=a", "-c", "user.email=a@example.com"]).args(args).current_dir(&repository);
        git.env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        async move { assert!(git.status().await.unwrap().success(), "{args:?}") }
    };
    let eve = ["run", "Fix it", "--detach", "--repo", "repository", "-q"];
    let mut text = String::new();
    let mut note = |name: &str, ended: crate::world::Ended| text.push_str(&format!("# {name}\n{}\n", ended.all()));
    note("missing", world.run(&["run", "Fix it", "--repo", "elsewhere"]).await);
    note("not a repository", world.run(&eve).await);
    run(&["init", "-q"]).await;
    note("no commit", world.run(&eve).await);
    run(&["commit", "-q", "--allow-empty", "-m", "first"]).await;
    std::fs::write(repository.join("new.txt"), "").unwrap();
    note("a change", world.run(&eve).await);
    insta::assert_snapshot!(text);
}
