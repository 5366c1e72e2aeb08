//! The HTTP client of the public API: typed calls, and errors that say what to do.
//!
//! Reads and writes are one call each and fail at once, because a person waits; only the creation of a request is
//! repeated after a broken connection, with the same idempotency key, so that it happens once. Streams are
//! [`stream`]'s, short ids [`resolve`]'s.

mod bulk;
mod problem;
mod resolve;
mod sse;
mod stream;

use std::time::Duration;

use eve_api_types::DatabaseStatus;
use eve_api_types::Limit;
use eve_api_types::LimitSetting;
use eve_api_types::LogEntry;
use eve_api_types::NewRequest;
use eve_api_types::Page;
use eve_api_types::PlacesReport;
use eve_api_types::QueueHealth;
use eve_api_types::QueueLane;
use eve_api_types::Request;
use eve_api_types::RequestDetail;
use eve_api_types::RequestResult;
use eve_api_types::ServiceStatus;
use eve_api_types::Status;
use eve_api_types::WhoAmI;
use eve_api_types::Worker;
use eve_api_types::WorkerAttempt;
use eve_api_types::WorkerType;
use eve_core::RequestId;
use eve_core::WorkerId;
use jiff::Timestamp;
use reqwest::Method;
use reqwest::RequestBuilder;
use reqwest::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::config::Origin;
use crate::config::Secret;
use crate::config::is_loopback;
use crate::error::CliError;
use crate::error::ErrorKind;

pub(crate) use bulk::Asked;
pub(crate) use stream::EventStream;
pub(crate) use stream::Incoming;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a call may take in all; streams have a limit of their own.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How often the creation of a request is tried when the connection breaks.
const CREATE_TRIES: u32 = 3;

/// The wait before it is tried again.
const CREATE_PAUSE: Duration = Duration::from_millis(500);

/// Entries asked for at once when a whole list is wanted.
pub(crate) const PAGE_SIZE: u32 = 200;

/// Log entries asked for at once.
pub(crate) const LOG_PAGE_SIZE: u32 = 500;

/// What a list of requests is narrowed down to.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct RequestFilter {
    /// Names of statuses, joined by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<String>,
    /// Who does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) worker_type: Option<String>,
    /// The project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) project_id: Option<String>,
    /// The request that created it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parent_id: Option<String>,
    /// Asked at this time or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created_after: Option<Timestamp>,
    /// Asked before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created_before: Option<Timestamp>,
    /// In the title or the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    /// At most so many.
    pub(crate) limit: u32,
    /// Where to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<String>,
}

/// What is done to a request by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Stop it for good.
    Cancel,
    /// Stop it for now.
    Pause,
    /// Let it go on.
    Resume,
    /// Do it again as a new request.
    Replay,
}

impl Act {
    const fn name(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Replay => "replay",
        }
    }
}

/// The API of one server, as one key sees it.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    base_origin: Origin,
    key: Secret,
}

impl Client {
    /// A client with the address and the key of the configuration.
    pub(crate) fn new(config: &Config) -> Result<Self, CliError> {
        let Some(key) = config.api_key.clone() else {
            return Err(problem::no_key(config));
        };
        let http = reqwest::Client::builder()
            .user_agent(concat!("eve/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            // An API does not move; a redirect would carry the key along.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| CliError::caused(ErrorKind::Failed, "cannot set up the HTTP client", error))?;
        Ok(Self { http, base: config.api_url.clone(), base_origin: config.origin("api_url").clone(), key })
    }

    /// Whether the server is on this host.
    pub(crate) fn is_local(&self) -> bool {
        is_loopback(&self.base)
    }

    /// Who the key belongs to.
    pub(crate) async fn whoami(&self) -> Result<WhoAmI, CliError> {
        self.get("auth/whoami", &()).await
    }

    /// How the installation stands.
    pub(crate) async fn status(&self) -> Result<Status, CliError> {
        self.get("status", &()).await
    }

    /// The services that act by themselves.
    pub(crate) async fn services(&self) -> Result<Page<ServiceStatus>, CliError> {
        self.get("services", &()).await
    }

    /// What waits.
    pub(crate) async fn queue(&self) -> Result<Page<QueueLane>, CliError> {
        self.get("queue", &()).await
    }

    /// What the queue knows about itself.
    pub(crate) async fn queue_health(&self) -> Result<QueueHealth, CliError> {
        self.get("queue/health", &()).await
    }

    /// Whether the newest requests are in exactly one place each.
    pub(crate) async fn places(&self) -> Result<PlacesReport, CliError> {
        self.get("queue/places", &()).await
    }

    /// The same for all requests, a page at a time.
    pub(crate) async fn places_deep(&self, after: Option<&str>) -> Result<PlacesReport, CliError> {
        let mut query = vec![("deep", "true")];
        query.extend(after.map(|after| ("after", after)));
        self.get("queue/places", &query).await
    }

    /// What the server knows about its database.
    pub(crate) async fn database(&self) -> Result<DatabaseStatus, CliError> {
        self.get("database", &()).await
    }

    /// The workers.
    pub(crate) async fn workers(&self) -> Result<Page<Worker>, CliError> {
        self.get("workers", &()).await
    }

    /// What a worker ran, newest first.
    pub(crate) async fn worker_attempts(&self, id: WorkerId) -> Result<Page<WorkerAttempt>, CliError> {
        self.get(&format!("workers/{id}/attempts"), &()).await
    }

    /// The worker types.
    pub(crate) async fn worker_types(&self) -> Result<Page<WorkerType>, CliError> {
        self.get("worker-types", &()).await
    }

    /// A worker type.
    pub(crate) async fn worker_type(&self, name: &str) -> Result<WorkerType, CliError> {
        self.get(&format!("worker-types/{name}"), &()).await
    }

    /// Writes a worker type.
    pub(crate) async fn put_worker_type(&self, worker_type: &WorkerType) -> Result<WorkerType, CliError> {
        let call = self.call(Method::PUT, &format!("worker-types/{}", worker_type.name)).json(worker_type);
        self.decode(self.send(call).await?).await
    }

    /// The limits of the organization and of the installation.
    pub(crate) async fn limits(&self) -> Result<Page<Limit>, CliError> {
        self.get("limits", &()).await
    }

    /// Sets or lifts a limit of the organization.
    pub(crate) async fn put_limit(&self, setting: &LimitSetting) -> Result<LimitSetting, CliError> {
        self.decode(self.send(self.call(Method::PUT, "limits").json(setting)).await?).await
    }

    /// A page of requests, newest first.
    pub(crate) async fn requests(&self, filter: &RequestFilter) -> Result<Page<Request>, CliError> {
        self.get("requests", filter).await
    }

    /// A request with its attempts.
    pub(crate) async fn request(&self, id: RequestId) -> Result<RequestDetail, CliError> {
        self.get(&format!("requests/{id}"), &()).await
    }

    /// Creates a request, once, however often the connection breaks.
    pub(crate) async fn create_request(&self, new: &NewRequest, idempotency_key: &str) -> Result<Request, CliError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let call = self.call(Method::POST, "requests").header("Idempotency-Key", idempotency_key).json(new);
            match self.send(call).await {
                Ok(response) => return self.decode(response).await,
                // What refuses connections does so again; what breaks in the middle may have been understood.
                Err(error) if tries < CREATE_TRIES && problem::may_have_arrived(&error) => {
                    tokio::time::sleep(CREATE_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Does something to a request.
    pub(crate) async fn act(&self, id: RequestId, act: Act) -> Result<Request, CliError> {
        let call = self.call(Method::POST, &format!("requests/{id}/{}", act.name()));
        self.decode(self.send(call).await?).await
    }

    /// A page of a request's log, in the order of time, after the entry with this id.
    pub(crate) async fn log(&self, id: RequestId, after: Option<&str>) -> Result<Page<LogEntry>, CliError> {
        let mut query = vec![("limit", LOG_PAGE_SIZE.to_string())];
        query.extend(after.map(|after| ("after", after.to_owned())));
        self.get(&format!("requests/{id}/log"), &query).await
    }

    /// A request's log as it grows, after the entry with this id.
    pub(crate) fn log_stream(&self, id: RequestId, after: Option<String>) -> EventStream {
        EventStream::new(self.clone(), format!("requests/{id}/log"), Vec::new(), after)
    }

    /// Events as they happen.
    pub(crate) fn events(&self, worker_types: &[String]) -> EventStream {
        let mut query = Vec::new();
        if !worker_types.is_empty() {
            query.push(("worker_type".to_owned(), worker_types.join(",")));
        }
        EventStream::new(self.clone(), "events".to_owned(), query, None)
    }

    /// The difference that a request made, as a patch.
    pub(crate) async fn diff(&self, id: RequestId) -> Result<String, CliError> {
        let call = self.call(Method::GET, &format!("requests/{id}/diff"));
        self.send(call).await?.text().await.map_err(|error| self.broken(error))
    }

    /// A request's result.
    pub(crate) async fn result(&self, id: RequestId) -> Result<RequestResult, CliError> {
        self.get(&format!("results/{id}"), &()).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, query: &impl Serialize) -> Result<T, CliError> {
        self.decode(self.send(self.call(Method::GET, path).query(query)).await?).await
    }

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.unlimited(method, path).timeout(CALL_TIMEOUT)
    }

    /// A call without a limit in time, for streams.
    fn unlimited(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/api/v1/{path}", self.base)).bearer_auth(self.key.expose())
    }

    /// Sends a call; an answer that is not a success is an error.
    async fn send(&self, call: RequestBuilder) -> Result<Response, CliError> {
        let response = call.send().await.map_err(|error| self.broken(error))?;
        if response.status().is_success() { Ok(response) } else { Err(problem::refused(&self.base, response).await) }
    }

    async fn decode<T: DeserializeOwned>(&self, response: Response) -> Result<T, CliError> {
        let body = response.bytes().await.map_err(|error| self.broken(error))?;
        serde_json::from_slice(&body).map_err(|error| problem::not_understood(&self.base, error))
    }

    fn broken(&self, error: reqwest::Error) -> CliError {
        problem::unreachable(&self.base, &self.base_origin, error)
    }
}

/// Decodes the data of a stream's event.
pub(crate) fn decode_event<T: DeserializeOwned>(data: &str) -> Result<T, CliError> {
    serde_json::from_str(data).map_err(|error| problem::not_understood("the stream", error))
}

#[cfg(test)]
mod tests;
