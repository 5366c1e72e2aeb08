//! Reconcilers: idempotent functions of the database's state, woken by a timer or a nudge.
//!
//! A service takes no input and remembers nothing: it reads, acts in bounded batches, and says what it did. It does
//! not retry; the next round is the retry. Any number of processes may run the same service at once, because every
//! act locks the row that it acts on and looks again.

mod bulk_actions;
mod dependency_release;
mod promoter;
mod reaper;
mod retention;

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Engine;
use crate::Error;
use crate::OpContext;
use crate::clock;

pub use retention::RetentionPeriods;
pub(crate) use retention::partitions_ensure;

/// Longest rest of services that find nothing to do, so that a system in which nothing happens does next to nothing.
const IDLE_REST: Duration = Duration::from_secs(1);

/// One thing that Eve does by itself.
#[async_trait::async_trait]
trait Service: Send + Sync {
    /// Its name, as in `eve doctor`.
    fn name(&self) -> &'static str;
    /// What it does, in one sentence.
    fn description(&self) -> &'static str;
    /// Rest after a round that did something.
    fn period(&self) -> Duration;
    /// Longest rest, after rounds that found nothing to do: each rests twice as long as the one before.
    fn longest_rest(&self) -> Duration {
        self.period().max(IDLE_REST)
    }
    /// One round. Says what it did, or nothing if there was nothing to do.
    async fn activate(&self, engine: &Engine) -> Result<Option<String>, Error>;
}

/// How a service fares.
#[derive(Debug, Clone)]
pub struct ServiceReport {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub description: &'static str,
    /// Longest rest between two rounds.
    pub period: Duration,
    /// Rounds since the start.
    pub rounds: u64,
    /// Rounds that failed.
    pub failures: u64,
    /// When the last round ended.
    pub last_round_at: Option<Timestamp>,
    /// What the last round that did something did.
    pub last_action: Option<String>,
    /// Why the last round failed, if it did.
    pub last_error: Option<String>,
}

/// The services of this process, running until stopped.
#[derive(Clone)]
pub struct Services {
    reports: Arc<Vec<Mutex<ServiceReport>>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Services {
    /// Starts every service.
    pub fn start(engine: &Engine, retention: RetentionPeriods) -> Self {
        let services: Vec<Box<dyn Service>> = vec![
            Box::new(reaper::Reaper::new(engine.lease_terms())),
            Box::new(promoter::Promoter::default()),
            Box::new(dependency_release::DependencyRelease),
            Box::new(bulk_actions::BulkActions),
            Box::new(retention::Retention::new(retention)),
        ];
        let reports = services
            .iter()
            .map(|service| {
                Mutex::new(ServiceReport {
                    name: service.name(),
                    description: service.description(),
                    period: service.longest_rest(),
                    rounds: 0,
                    failures: 0,
                    last_round_at: None,
                    last_action: None,
                    last_error: None,
                })
            })
            .collect();
        let this = Self { reports: Arc::new(reports), stop: CancellationToken::new(), tasks: TaskTracker::new() };
        for (index, service) in services.into_iter().enumerate() {
            let (reports, stop, engine) = (this.reports.clone(), this.stop.clone(), engine.clone());
            this.tasks.spawn(async move {
                let mut rest = service.period();
                while !stop.is_cancelled() {
                    let outcome = service.activate(&engine).await;
                    rest = match &outcome {
                        Ok(None) => (rest * 2).min(service.longest_rest()),
                        Ok(Some(_)) | Err(_) => service.period(),
                    };
                    if let Some(report) = reports.get(index) {
                        record(report, service.name(), outcome);
                    }
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(rest) => {}
                    }
                }
            });
        }
        this.tasks.close();
        this
    }

    /// How each service fares.
    pub fn reports(&self) -> Vec<ServiceReport> {
        self.reports.iter().filter_map(|report| report.lock().ok().map(|report| report.clone())).collect()
    }

    /// The same, for a caller.
    ///
    /// # Errors
    /// When the caller is no admin.
    pub fn service_list(&self, ctx: &OpContext) -> Result<Vec<ServiceReport>, Error> {
        ctx.require_admin()?;
        Ok(self.reports())
    }

    /// Lets running rounds end and starts no more.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

fn record(report: &Mutex<ServiceReport>, name: &str, outcome: Result<Option<String>, Error>) {
    let Ok(mut report) = report.lock() else { return };
    report.rounds += 1;
    report.last_round_at = Some(clock::now());
    match outcome {
        Ok(None) => report.last_error = None,
        Ok(Some(action)) => {
            tracing::info!(service = name, "{action}");
            report.last_action = Some(action);
            report.last_error = None;
        }
        Err(error) => {
            let cause = error.cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
            tracing::warn!(service = name, "round failed: {error}{cause}");
            report.failures += 1;
            report.last_error = Some(error.message);
        }
    }
}
