//! What the binary makes of a server that says no, says nonsense, or says nothing.

use axum::Router;
use axum::http::StatusCode;
use axum::response::Html;
use axum::response::IntoResponse;
use axum::routing::any;
use eve_api_types::ProblemCode;

use crate::stand_in::REQUEST;
use crate::stand_in::nobody;
use crate::stand_in::problem;
use crate::stand_in::serve;
use crate::world::World;

async fn answer_to(router: Router, args: &[&str]) -> String {
    let url = serve(router).await;
    let ended = World::with_server(&url).run(args).await;
    ended.all().replace(&url, "[URL]")
}

#[tokio::test]
async fn problems_have_exit_codes_and_hints() {
    let mut text = String::new();
    for code in [
        ProblemCode::InvalidRequest,
        ProblemCode::InvalidWorkerType,
        ProblemCode::Unauthenticated,
        ProblemCode::Forbidden,
        ProblemCode::NotFound,
        ProblemCode::Conflict,
        ProblemCode::RateLimited,
        ProblemCode::Unavailable,
        ProblemCode::Internal,
    ] {
        let router = Router::new().fallback(any(move || async move { problem(code, "what is wrong") }));
        text.push_str(&format!("# {}\n{}\n", code.name(), answer_to(router, &["request", "get", REQUEST]).await));
    }
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn answers_that_are_not_eves() {
    let proxy = || async { (StatusCode::BAD_GATEWAY, Html("<h1>\u{1b}[31mBad gateway</h1>")) };
    insta::assert_snapshot!(answer_to(Router::new().fallback(proxy), &["queue"]).await, @"
    exit code: Some(3)
    --- stdout
    --- stderr
    error: [URL] answered 502 Bad Gateway
    caused by:
      1. <h1>[31mBad gateway</h1>
    hint: this is not an answer of Eve's; is the address right, and what stands between?
    ");
    let nonsense = || async { Html("<h1>Welcome</h1>") };
    insta::assert_snapshot!(answer_to(Router::new().fallback(nonsense), &["queue"]).await, @"
    exit code: Some(1)
    --- stdout
    --- stderr
    error: the answer of [URL] is not understood
    caused by:
      1. expected value at line 1 column 1
    hint: client and server may be of different versions: compare `eve --version` on both hosts
    ");
    let moved = || async { (StatusCode::FOUND, [("location", "http://127.0.0.1:1/")]).into_response() };
    insta::assert_snapshot!(answer_to(Router::new().fallback(moved), &["queue"]).await, @"
    exit code: Some(1)
    --- stdout
    --- stderr
    error: [URL] answered 302 Found
    hint: this is not an answer of Eve's; is the address right, and what stands between?
    ");
}

#[tokio::test]
async fn nobody_listens() {
    let url = nobody().await;
    let ended = World::with_server(&url).run(&["status"]).await;
    insta::assert_snapshot!(ended.all().replace(&url, "[URL]"), @"
    exit code: Some(3)
    --- stdout
    --- stderr
    error: cannot reach the server at [URL]
    caused by:
      1. error sending request
      2. client error (Connect)
      3. tcp connect error
      4. Connection refused (os error 111)
    hint: start it with `eve up`
    ");
}

#[tokio::test]
async fn without_a_key_nothing_is_sent() {
    let ended = World::new().set("EVE_API_URL", "https://eve.example.com").run(&["status"]).await;
    insta::assert_snapshot!(ended.all(), @"
    exit code: Some(4)
    --- stdout
    --- stderr
    error: there is no API key
    hint: set one with `eve config set api-key KEY` or the variable EVE_API_KEY
    ");
}

#[tokio::test]
async fn a_short_id_must_fit_one_request() {
    let list = || async { axum::Json(serde_json::json!({"items": [crate::stand_in::request("pending")]})) };
    let router = || Router::new().route("/api/v1/requests", axum::routing::get(list));
    insta::assert_snapshot!(answer_to(router(), &["request", "cancel", "zzzz"]).await, @"
    exit code: Some(5)
    --- stdout
    --- stderr
    error: none of the newest 200 requests has an id that ends with `zzzz`
    hint: `eve request list` shows them; for older ones give the whole id
    ");
    insta::assert_snapshot!(answer_to(router(), &["request", "cancel", "wrk_1"]).await, @"
    exit code: Some(2)
    --- stdout
    --- stderr
    error: `wrk_1` is not the id of a request
    caused by:
      1. expected an id that starts with `req_`, found `wrk_`
    ");
}

#[tokio::test]
async fn a_closed_pipe_is_a_quiet_success() {
    let world = World::new();
    let mut command = world.command(&["completions", "bash"]);
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().await.unwrap();
    let ended = world.ended(output);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}
