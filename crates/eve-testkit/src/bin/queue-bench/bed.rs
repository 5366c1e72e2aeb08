//! What is measured: an engine with its services, an owner who asks and a worker who claims, on a durable database.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use eve_core::WorkerId;
use eve_engine::Bootstrap;
use eve_engine::BootstrapOptions;
use eve_engine::Claim;
use eve_engine::Engine;
use eve_engine::EngineOptions;
use eve_engine::LeaseTerms;
use eve_engine::NewWorker;
use eve_engine::OpContext;
use eve_engine::RetentionPeriods;
use eve_engine::Services;
use eve_engine::WorkerContext;
use eve_store::PgConnectOptions;
use eve_store::Store;
use eve_store::StoreOptions;
use eve_testkit::bench;
use eve_testkit::database::TestDatabase;
use jiff::SignedDuration;
use sqlx::ConnectOptions;
use sqlx::PgConnection;

use crate::baseline::Baseline;
use crate::cost::Cluster;

/// What PostgreSQL calls `insufficient_privilege`.
const NOT_ALLOWED: &str = "42501";

/// Connections of either pool, as `eve up` opens them.
const CONNECTIONS: u32 = 24;
/// Attempts that the worker says it runs at once; the queue does not look at it.
const SLOTS: i32 = 32;
/// The worker of a measurement sends no heartbeats, so its lease outlasts the longest of them.
const LEASE: SignedDuration = SignedDuration::from_hours(24);
/// The worker types, one for each kind of scenario, so that none claims what another left.
const TYPES: [&str; 9] = [
    "bench-enqueue",
    "bench-work",
    "bench-latency",
    "bench-backlog",
    "bench-snapshot",
    "bench-noisy",
    "bench-races",
    "bench-first",
    "bench-then",
];

/// Everything that a scenario needs.
pub(crate) struct Bed {
    pub(crate) engine: Engine,
    pub(crate) owner: OpContext,
    pub(crate) worker: WorkerId,
    /// A connection beside Eve's, for the baseline and for the database's own figures.
    pub(crate) beside: PgConnection,
    /// The server's processes, if they are on this machine.
    pub(crate) cluster: Option<Cluster>,
    services: Services,
    store: Store,
    admin: PgConnectOptions,
}

impl Bed {
    /// Prepares the empty database at `url`, or the throw-away one.
    pub(crate) async fn make(url: Option<&str>, database: Option<&TestDatabase>) -> Result<Self> {
        let (service, admin) = match (url, database) {
            (Some(url), _) => {
                let options: PgConnectOptions = url.parse().context("--database-url is not an address")?;
                bench::migrate(&options).await?;
                (options.clone(), options)
            }
            (None, Some(database)) => (database.service(), database.admin()),
            (None, None) => anyhow::bail!("there is no database"),
        };
        let mut beside = admin.connect().await.context("cannot reach the database")?;
        Baseline::prepare(&mut beside).await?;
        let cluster = Cluster::find(&mut beside).await?;
        let store = Store::open(StoreOptions {
            connect: service,
            tenant_connections: CONNECTIONS,
            platform_connections: CONNECTIONS,
        });
        let keys = Bootstrap::run(&store, BootstrapOptions::default()).await?;
        let options = EngineOptions { lease: LeaseTerms::with_ttl(LEASE), ..EngineOptions::default() };
        let engine = Engine::start(store.clone(), options).await?;
        let owner = engine.authenticate(&keys.api_key).await?;
        for name in TYPES {
            engine.worker_type_put(&owner, &bench::worker_type(name)?).await?;
        }
        let new = NewWorker {
            name: "queue-bench".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            worker_types: TYPES.map(str::to_owned).to_vec(),
            harnesses: serde_json::json!([]),
            slots: SLOTS,
            account: None,
        };
        let worker = engine.worker_register(&context(), &new).await?;
        let services = Services::start(&engine, RetentionPeriods::default());
        Ok(Self { engine, owner, worker, beside, cluster, services, store, admin })
    }

    /// One more connection beside Eve's.
    pub(crate) async fn another(&self) -> Result<PgConnection> {
        self.admin.connect().await.context("cannot reach the database")
    }

    /// Founds another organization with a worker type, and says who its owner is.
    pub(crate) async fn organization(&self, slug: &str, kind: &str) -> Result<OpContext> {
        let key = Bootstrap::organization(&self.store, slug, &format!("{slug}@localhost")).await?;
        let owner = self.engine.authenticate(&key).await?;
        self.engine.worker_type_put(&owner, &bench::worker_type(kind)?).await?;
        Ok(owner)
    }

    /// Takes waiting requests of one worker type, or waits for some.
    pub(crate) async fn claim(&self, kind: &str, limit: usize, wait: Duration) -> Result<Vec<Claim>> {
        Ok(self.engine.queue_claim(&context(), self.worker, &[kind.to_owned()], limit, wait).await?)
    }

    /// Lets every table be as autovacuum and the checkpointer would have left it, so that no scenario pays for what
    /// another did.
    pub(crate) async fn tidy(&mut self) -> Result<()> {
        sqlx::raw_sql("VACUUM (ANALYZE)").execute(&mut self.beside).await?;
        match sqlx::raw_sql("CHECKPOINT").execute(&mut self.beside).await {
            // Somebody else's database: it writes when it likes.
            Err(sqlx::Error::Database(error)) if error.code().is_some_and(|code| code == NOT_ALLOWED) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(()),
        }
    }

    /// Lets go of the database in good order.
    pub(crate) async fn close(self) {
        self.services.stop().await;
        drop(self.engine);
        self.store.close().await;
    }
}

/// Who claims: a worker in the same process.
pub(crate) fn context() -> WorkerContext {
    WorkerContext::in_process()
}
