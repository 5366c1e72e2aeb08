//! Calls about many requests at once.

use std::time::Duration;

use eve_api_types::BulkAction;
use eve_api_types::BulkPreview;
use eve_api_types::CreatedRequests;
use eve_api_types::NewBulkAction;
use eve_api_types::NewPriority;
use eve_api_types::Page;
use eve_api_types::ProblemEntry;
use eve_api_types::Request;
use eve_core::BulkActionId;
use eve_core::Priority;
use eve_core::RequestId;
use reqwest::Method;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;

use super::Client;
use super::PAGE_SIZE;
use super::problem;
use crate::error::CliError;
use crate::error::ErrorKind;

/// How often a call that asks for many is tried when the server is away for a moment. Its key makes that harmless.
const TRIES: u32 = 5;
/// The wait before it is tried again; each time as long again.
const PAUSE: Duration = Duration::from_millis(500);

/// What came of a call that asks for many.
#[derive(Debug)]
pub(crate) enum Asked {
    /// They are there.
    Created(CreatedRequests),
    /// They were there already: an earlier call with this key made them.
    Repeated(CreatedRequests),
    /// None was created, since these are wrong.
    Refused(CliError, Vec<ProblemEntry>),
}

impl Client {
    /// Asks for many things, once, however often it is tried. The body is that of the call.
    pub(crate) async fn create_requests(&self, body: &str, idempotency_key: &str) -> Result<Asked, CliError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let call = self.call(Method::POST, "requests/bulk").header("Idempotency-Key", idempotency_key);
            let call = call.header(CONTENT_TYPE, "application/json").body(body.to_owned());
            let failed = match call.send().await {
                Ok(response) if response.status().is_success() => {
                    let created = response.status() == StatusCode::CREATED;
                    let requests = self.decode(response).await?;
                    return Ok(if created { Asked::Created(requests) } else { Asked::Repeated(requests) });
                }
                Ok(response) => match problem::refused_in_parts(&self.base, response).await {
                    (error, entries) if !entries.is_empty() => return Ok(Asked::Refused(error, entries)),
                    (error, _) => error,
                },
                Err(error) => self.broken(error),
            };
            if failed.kind != ErrorKind::Unreachable || tries >= TRIES {
                return Err(failed);
            }
            tokio::time::sleep(PAUSE * tries).await;
        }
    }

    /// Makes a request more or less urgent.
    pub(crate) async fn reprioritise(&self, id: RequestId, priority: Priority) -> Result<Request, CliError> {
        let body = NewPriority { priority: priority.name().to_owned() };
        let call = self.call(Method::POST, &format!("requests/{id}/reprioritise")).json(&body);
        self.decode(self.send(call).await?).await
    }

    /// What a bulk action would do.
    pub(crate) async fn bulk_preview(&self, new: &NewBulkAction) -> Result<BulkPreview, CliError> {
        let new = NewBulkAction { preview: true, ..new.clone() };
        self.decode(self.send(self.call(Method::POST, "bulk-actions").json(&new)).await?).await
    }

    /// Begins a bulk action.
    pub(crate) async fn bulk_begin(&self, new: &NewBulkAction, idempotency_key: &str) -> Result<BulkAction, CliError> {
        let call = self.call(Method::POST, "bulk-actions").header("Idempotency-Key", idempotency_key).json(new);
        self.decode(self.send(call).await?).await
    }

    /// A bulk action.
    pub(crate) async fn bulk_action(&self, id: BulkActionId) -> Result<BulkAction, CliError> {
        self.get(&format!("bulk-actions/{id}"), &()).await
    }

    /// The newest bulk actions.
    pub(crate) async fn bulk_actions(&self, limit: u32) -> Result<Page<BulkAction>, CliError> {
        self.get("bulk-actions", &[("limit", limit.min(PAGE_SIZE))]).await
    }

    /// Stops a bulk action.
    pub(crate) async fn bulk_cancel(&self, id: BulkActionId) -> Result<BulkAction, CliError> {
        let call = self.call(Method::POST, &format!("bulk-actions/{id}/cancel"));
        self.decode(self.send(call).await?).await
    }
}
