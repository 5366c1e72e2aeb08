//! The control plane over HTTP.

use std::time::Duration;

use eve_api_types::AppendEntries;
use eve_api_types::ClaimAnswer;
use eve_api_types::ClaimRequest;
use eve_api_types::EndAnswer;
use eve_api_types::HeartbeatAnswer;
use eve_api_types::HeartbeatRequest;
use eve_api_types::Problem;
use eve_api_types::ProblemCode;
use eve_api_types::RegisterAnswer;
use eve_api_types::RegisterRequest;
use eve_api_types::ReleaseRequest;
use eve_api_types::SettleRequest;
use eve_api_types::StartRequest;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ControlPlane;
use super::PlaneError;

/// Longest wait for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for an answer, on top of the wait that a long poll asks for.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Speaks to a server with a worker key.
#[derive(Debug, Clone)]
pub struct HttpControlPlane {
    client: reqwest::Client,
    base: String,
    key: String,
}

impl HttpControlPlane {
    /// For the server at this address.
    ///
    /// # Errors
    /// When no TLS can be had.
    pub fn new(server: &str, key: String) -> Result<Self, PlaneError> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_LIMIT)
            // A worker talks to its server, not to whatever proxy an agent's variables name.
            .no_proxy()
            .build()
            .map_err(|error| PlaneError::Refused(error.to_string()))?;
        Ok(Self { client, base: format!("{}/api/v1/worker", server.trim_end_matches('/')), key })
    }

    async fn post<A: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
        wait: Duration,
    ) -> Result<A, PlaneError> {
        let unavailable = |error: reqwest::Error| PlaneError::Unavailable(error.to_string());
        let answer = self
            .client
            .post(format!("{}/{path}", self.base))
            .bearer_auth(&self.key)
            .timeout(ANSWER_LIMIT + wait)
            .json(body)
            .send()
            .await
            .map_err(unavailable)?;
        let status = answer.status();
        if status.is_success() {
            let bytes = answer.bytes().await.map_err(unavailable)?;
            let bytes = if bytes.is_empty() { &b"null"[..] } else { &bytes[..] };
            return serde_json::from_slice(bytes).map_err(|error| PlaneError::Refused(error.to_string()));
        }
        let problem: Option<Problem> = answer.json().await.ok();
        let detail = problem.as_ref().map_or_else(|| status.to_string(), |problem| problem.detail.clone());
        Err(match problem.map(|problem| problem.code) {
            Some(ProblemCode::StaleFence) => PlaneError::Stale,
            _ if status.is_server_error() || status.as_u16() == 429 => PlaneError::Unavailable(detail),
            _ => PlaneError::Refused(detail),
        })
    }
}

#[async_trait::async_trait]
impl ControlPlane for HttpControlPlane {
    async fn worker_register(&self, request: &RegisterRequest) -> Result<RegisterAnswer, PlaneError> {
        self.post("register", request, Duration::ZERO).await
    }

    async fn queue_claim(&self, request: &ClaimRequest) -> Result<ClaimAnswer, PlaneError> {
        self.post("claim", request, Duration::from_millis(request.wait_ms)).await
    }

    async fn worker_heartbeat(
        &self,
        request: &HeartbeatRequest,
        wait: Duration,
    ) -> Result<HeartbeatAnswer, PlaneError> {
        self.post(&format!("heartbeat?wait_ms={}", wait.as_millis()), request, wait).await
    }

    async fn attempt_start(&self, request: &StartRequest) -> Result<(), PlaneError> {
        self.post("attempts/start", request, Duration::ZERO).await
    }

    async fn attempt_log_append(&self, request: &AppendEntries) -> Result<(), PlaneError> {
        self.post("attempts/log", request, Duration::ZERO).await
    }

    async fn attempt_settle(&self, request: &SettleRequest) -> Result<EndAnswer, PlaneError> {
        self.post("attempts/settle", request, Duration::ZERO).await
    }

    async fn attempt_release(&self, request: &ReleaseRequest) -> Result<EndAnswer, PlaneError> {
        self.post("attempts/release", request, Duration::ZERO).await
    }
}
