use std::time::Duration;

use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::*;

/// What a client sees of handlers that go wrong.
async fn answers(router: Router, path: &str) -> (reqwest::StatusCode, serde_json::Value) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(crate::serve(listener, router, CancellationToken::new()));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client.get(format!("http://{address}{path}")).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    (response.status(), response.json().await.unwrap())
}

fn faulty() -> Router {
    async fn panics() {
        panic!("a secret");
    }
    let options = RouterOptions { response_timeout: Duration::from_millis(50), ..RouterOptions::default() };
    let router = Router::new()
        .route("/panic", get(panics))
        .route("/hang", get(std::future::pending::<()>))
        .route("/foreign", get(async || axum::http::StatusCode::BAD_GATEWAY));
    surrounded(router, options)
}

#[tokio::test]
async fn a_panic_is_an_internal_error_that_tells_nothing() {
    let (status, problem) = answers(faulty(), "/panic").await;
    assert_eq!((status.as_u16(), &problem["code"]), (500, &"internal".into()));
    assert!(!problem.to_string().contains("secret"), "{problem}");
}

#[tokio::test]
async fn what_takes_too_long_is_given_up() {
    let (status, problem) = answers(faulty(), "/hang").await;
    assert_eq!((status.as_u16(), &problem["code"]), (503, &"unavailable".into()));
}

#[tokio::test]
async fn an_error_that_is_not_ours_becomes_ours() {
    let (status, problem) = answers(faulty(), "/foreign").await;
    assert_eq!((status.as_u16(), &problem["code"]), (500, &"internal".into()));
}
