//! What Eve does: use cases for people and workers, and reconcilers that act by themselves.
//!
//! Every way in (HTTP, CLI, a worker in the same process) ends in a method of [`Engine`], named as in the API and in
//! the store. A method authorises by the context it is given, opens one transaction, lets `eve-core` decide, writes
//! the decision with everything it causes, commits, and only then wakes whoever waits. HTTP, processes and git are
//! somebody else's.

#![warn(missing_docs)]

mod auth;
mod bootstrap;
mod bulk;
mod catalog;
mod clock;
mod context;
mod cursor;
mod dispatch;
mod error;
mod event;
mod health;
mod hub;
mod limit;
mod metrics;
mod nul;
mod request;
mod seed;
mod service;
mod status;
mod transition;
mod worker;
mod worker_type;

// Rows of the store that use cases answer with, so that callers need no edge to it.
pub use eve_store::attempt::AttemptRow;
pub use eve_store::attempt_log::LogEntry;
pub use eve_store::attempt_log::LogPosition;
pub use eve_store::attempt_log::RequestLogEntry;
pub use eve_store::bulk::BulkActionRow;
pub use eve_store::bulk::BulkReasons;
pub use eve_store::bulk::BulkState;
pub use eve_store::bulk::Candidate;
pub use eve_store::event::EventPosition;
pub use eve_store::event::EventRow;
pub use eve_store::health::DatabaseHealth;
pub use eve_store::health::Holder;
pub use eve_store::health::HolderKind;
pub use eve_store::health::HotTable;
pub use eve_store::health::Losses;
pub use eve_store::health::QueueAge;
pub use eve_store::organization::Organization;
pub use eve_store::places::Misplaced;
pub use eve_store::queue::QueueDepth;
pub use eve_store::request::RequestFilter;
pub use eve_store::request::RequestRow;
pub use eve_store::result::ResultRow;
pub use eve_store::worker::NewWorker;
pub use eve_store::worker::WorkerAttempt;
pub use eve_store::worker::WorkerRow;
pub use eve_store::worker_type::WorkerType;

use std::sync::Arc;

pub use auth::IssuedToken;
pub use bootstrap::Bootstrap;
pub use bootstrap::BootstrapOptions;
pub use bulk::BulkOutcome;
pub use bulk::BulkPreview;
pub use context::OpContext;
pub use context::Role;
pub use context::WorkerContext;
pub use cursor::CursorKind;
pub use dispatch::Claim;
pub use error::Error;
pub use error::ErrorKind;
pub use event::EventPage;
pub use health::PlacesReport;
pub use health::PlacesScope;
pub use health::QueueHealth;
pub use hub::ListenerReport;
pub use hub::Topic;
pub use hub::Waiter;
pub use limit::InstallationLimits;
pub use limit::Limit;
pub use limit::LimitScope;
pub use metrics::Counted;
pub use metrics::Metrics;
pub use request::BulkCreateOutcome;
pub use request::BulkLine;
pub use request::CreateOutcome;
pub use request::LineFault;
pub use request::RequestDiff;
pub use request::RequestDraft;
pub use request::limits;
pub use service::RetentionPeriods;
pub use service::ServiceReport;
pub use service::Services;
pub use status::QueueView;
pub use status::StatusView;
pub use worker::FencedAttempt;
pub use worker::LeaseTerms;
pub use worker::WorkerSignal;

use eve_store::Store;

/// Everything that the use cases need. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    hub: Arc<hub::Hub>,
    catalog: Arc<catalog::Catalog>,
    dispatcher: Arc<dispatch::Dispatcher>,
    orphans: worker::Orphans,
    keys: auth::Keys,
    lease: LeaseTerms,
    metrics: Metrics,
    gauges_read: health::GaugesRead,
    auth_cache: auth::Cache,
    started: std::time::Instant,
}

/// What a deployment may choose.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// How leases run.
    pub lease: LeaseTerms,
    /// How long a token counts.
    pub token_ttl: jiff::SignedDuration,
    /// How waiting makes requests more urgent.
    pub ageing: eve_core::Ageing,
    /// How long things are kept, which says how partitions are cut.
    pub retention: RetentionPeriods,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            lease: LeaseTerms::default(),
            token_ttl: jiff::SignedDuration::from_hours(1),
            ageing: eve_core::Ageing::default(),
            retention: RetentionPeriods::default(),
        }
    }
}

impl Engine {
    /// Connects the use cases to a migrated database, and begins to listen for other processes' news.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn start(store: Store, options: EngineOptions) -> Result<Self, Error> {
        let secret = bootstrap::instance_secret(&store).await?;
        service::partitions_ensure(&store, options.retention).await?;
        let hub = Arc::new(hub::Hub::start(&store).await?);
        let catalog = Arc::new(catalog::Catalog::default());
        let metrics = Metrics::default();
        let dispatcher =
            dispatch::Dispatcher::start(store.clone(), hub.clone(), catalog.clone(), metrics.clone(), options.ageing);
        Ok(Self {
            inner: Arc::new(Inner {
                store,
                hub,
                catalog,
                dispatcher,
                orphans: worker::Orphans::default(),
                keys: auth::Keys::new(&secret, options.token_ttl),
                lease: options.lease,
                metrics,
                gauges_read: health::GaugesRead::default(),
                auth_cache: auth::Cache::default(),
                started: clock::instant(),
            }),
        })
    }

    /// The counters of this process.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// How leases run.
    pub fn lease_terms(&self) -> LeaseTerms {
        self.inner.lease
    }

    /// Waits for news about some topics. Register before you read, so that nothing is missed.
    pub fn waiter(&self, topics: Vec<Topic>) -> Waiter {
        self.inner.hub.waiter(topics)
    }

    /// Stops what the engine does by itself. Calls that are under way end as they would.
    pub fn stop(&self) {
        self.inner.dispatcher.stop();
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn hub(&self) -> &hub::Hub {
        &self.inner.hub
    }
}
