//! How the installation stands.

use eve_core::WorkerId;
use eve_store::health;
use eve_store::lease;
use eve_store::organization;
use eve_store::organization::Organization;
use eve_store::queue;
use eve_store::queue::QueueDepth;
use eve_store::worker;
use eve_store::worker::WorkerAttempt;
use eve_store::worker::WorkerRow;

use crate::Engine;
use crate::Error;
use crate::OpContext;
use crate::clock;

/// Most attempts in a worker's list.
const WORKER_ATTEMPTS: i64 = 100;

/// What waits.
pub type QueueView = Vec<QueueDepth>;

/// How the installation stands for one organization.
#[derive(Debug)]
pub struct StatusView {
    /// The organization.
    pub organization: Organization,
    /// Every worker heard of lately.
    pub workers: Vec<WorkerRow>,
    /// Live attempts of the organization.
    pub running: i64,
    /// What waits.
    pub queue: QueueView,
    /// Seconds since this process started.
    pub uptime_seconds: u64,
}

impl Engine {
    /// How the installation stands.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn status_get(&self, ctx: &OpContext) -> Result<StatusView, Error> {
        let mut tx = self.store().org(ctx.org_id).await?;
        let organization =
            organization::organization_get(&mut tx).await?.ok_or_else(|| Error::not_found("organization"))?;
        let workers = worker::worker_list(&mut tx).await?;
        let running = lease::lease_count(&mut tx).await?;
        let queue = queue::queue_depth(&mut tx).await?;
        tx.commit().await?;
        let uptime_seconds = clock::instant().duration_since(self.inner.started).as_secs();
        Ok(StatusView { organization, workers, running, queue, uptime_seconds })
    }

    /// The organization of the caller.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn organization_get(&self, ctx: &OpContext) -> Result<Organization, Error> {
        let mut tx = self.store().org(ctx.org_id).await?;
        let organization = organization::organization_get(&mut tx).await?;
        tx.commit().await?;
        organization.ok_or_else(|| Error::not_found("organization"))
    }

    /// What waits in the organization.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn queue_depth(&self, ctx: &OpContext) -> Result<QueueView, Error> {
        let mut tx = self.store().org(ctx.org_id).await?;
        let depth = queue::queue_depth(&mut tx).await?;
        tx.commit().await?;
        Ok(depth)
    }

    /// Workers heard of lately.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn worker_list(&self, ctx: &OpContext) -> Result<Vec<WorkerRow>, Error> {
        let mut tx = self.store().org(ctx.org_id).await?;
        let workers = worker::worker_list(&mut tx).await?;
        tx.commit().await?;
        Ok(workers)
    }

    /// What a worker ran for the organization, newest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn worker_attempt_list(&self, ctx: &OpContext, worker: WorkerId) -> Result<Vec<WorkerAttempt>, Error> {
        let mut tx = self.store().org(ctx.org_id).await?;
        let attempts = worker::worker_attempt_list(&mut tx, worker, WORKER_ATTEMPTS).await?;
        tx.commit().await?;
        Ok(attempts)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn database_ping(&self) -> Result<(), Error> {
        Ok(health::database_ping(self.store()).await?)
    }
}
