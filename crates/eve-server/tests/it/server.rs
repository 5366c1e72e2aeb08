//! A server for one test, and what a client sees of it.

use std::time::Duration;

use eve_engine::RetentionPeriods;
use eve_engine::Services;
use eve_server::RouterOptions;
use eve_server::ServerState;
use reqwest::Method;
use reqwest::RequestBuilder;
use reqwest::header::HeaderMap;
use serde_json::Value;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::database;
use crate::database::Installation;

/// A running server with a database of its own.
pub(crate) struct TestServer {
    pub(crate) installation: Installation,
    pub(crate) shutdown: CancellationToken,
    pub(crate) serving: JoinHandle<std::io::Result<()>>,
    pub(crate) base: String,
    client: reqwest::Client,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::start_with(RouterOptions::default()).await
    }

    pub(crate) async fn start_with(options: RouterOptions) -> Self {
        let installation = database::engine().await;
        let services = Services::start(&installation.engine, RetentionPeriods::default());
        let router = eve_server::router(ServerState { engine: installation.engine.clone(), services }, options);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(eve_server::serve(listener, router, shutdown.clone()));
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
        Self { installation, shutdown, serving, base, client }
    }

    /// A call without a key.
    pub(crate) fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// A call to the public API as the owner of `default`.
    pub(crate) fn member(&self, method: Method, path: &str) -> RequestBuilder {
        self.call(method, &format!("/api/v1{path}")).bearer_auth(&self.installation.api_key)
    }

    /// A call to the public API as the owner of `other`.
    pub(crate) fn stranger(&self, method: Method, path: &str) -> RequestBuilder {
        self.call(method, &format!("/api/v1{path}")).bearer_auth(&self.installation.other_api_key)
    }

    /// A call to the workers' API.
    pub(crate) fn worker(&self, path: &str, body: &Value) -> RequestBuilder {
        let call = self.call(Method::POST, &format!("/api/v1/worker{path}"));
        call.bearer_auth(&self.installation.worker_key).json(body)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::to(self.member(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::to(self.member(Method::POST, path).json(body)).await
    }

    /// Does something to a request by name.
    pub(crate) async fn act(&self, id: &str, act: &str) -> Answer {
        Answer::to(self.member(Method::POST, &format!("/requests/{id}/{act}"))).await
    }

    /// Asks for something and returns its id.
    pub(crate) async fn ask(&self, prompt: &str) -> String {
        let answer = self.post("/requests", &json!({"prompt": prompt})).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.text_at("id")
    }
}

impl Answer {
    pub(crate) async fn to(call: RequestBuilder) -> Self {
        let response = call.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// A text of the JSON body.
    pub(crate) fn text_at(&self, field: &str) -> String {
        self.json()[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", self.text)).to_owned()
    }

    pub(crate) fn items(&self) -> Vec<Value> {
        self.json()["items"].as_array().unwrap_or_else(|| panic!("no items in {}", self.text)).clone()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Whether this is a problem document with this code, as every error is.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let problem = self.json();
        assert_eq!(problem["code"], code, "{}", self.text);
        assert_eq!(problem["status"], status, "{}", self.text);
        assert_eq!(problem["type"], format!("urn:eve:problem:{code}"));
        assert_eq!(problem["message"], problem["detail"]);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 5), "{}", self.text);
        assert_eq!(problem["request_id"].as_str(), Some(self.header("x-request-id")));
    }
}
