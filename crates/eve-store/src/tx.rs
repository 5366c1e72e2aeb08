//! Transactions that cannot be had without saying whose they are.
//!
//! Both pools log in as a role that owns nothing. Connections of the platform pool take the role `eve_platform`;
//! those of the tenant pool see no tenant's row at all until a transaction names an organization, which only
//! [`Store::org`] can do. A forgotten tenant is therefore an empty answer, not a leak.

mod intake;

use std::time::Duration;

use eve_core::OrgId;
use sqlx::AssertSqlSafe;
use sqlx::PgConnection;
use sqlx::PgPool;
use sqlx::Postgres;
use sqlx::Transaction;
use sqlx::postgres::PgConnectOptions;
use sqlx::postgres::PgPoolOptions;

use crate::StoreError;
use crate::error::During;
use intake::Intakes;

pub use intake::Intake;

/// Longest wait for a free connection before a caller is told to come back later.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest run of one statement; nothing that Eve does takes nearly as long.
const STATEMENT_TIMEOUT: &str = "30s";
/// Longest rest inside an open transaction, which would hold back vacuum and the event stream.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "15s";

/// Rest after which a connection is asked whether it still lives.
const ASK_AFTER: Duration = Duration::from_secs(1);
/// Most connections that are found broken before a caller is told that the database does not answer.
const BROKEN_CONNECTIONS: usize = 32;
/// The statements of queue, intake and services take arrays and reach everything by key: one plan is right for all
/// calls, and planning would cost more than running. It is often made while the tables are still empty, when reading
/// them whole looks cheapest, so that is ruled out where there is a key.
const PLANNED_ONCE: [(&str, &str); 2] = [("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off")];
/// Connections that serve nothing but heartbeats. Each is a commit, and a slow disk takes milliseconds for one.
const HEARTBEAT_CONNECTIONS: u32 = 4;
/// Transactions of [`Store::dispatch`] at once. A pool hands its connections out in turn, and each has to hear of every
/// statement and plan it before it is fast: a dozen of them for two transactions at once was an eighth of what a worker
/// process cost that worked for a second.
pub const DISPATCH_CONNECTIONS: u32 = 2;

/// How to reach the database.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Log-in of a role that may take the roles `eve_service` and `eve_platform`.
    pub connect: PgConnectOptions,
    /// Connections for tenants' transactions.
    pub tenant_connections: u32,
    /// Connections for the services, key look-up and what workers say while they run.
    pub platform_connections: u32,
}

/// The database as Eve uses it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    tenant: PgPool,
    intake: Intakes,
    platform: PgPool,
    dispatch: PgPool,
    heartbeat: PgPool,
    connect: PgConnectOptions,
}

impl Store {
    /// Opens both pools; the first connection is made when it is needed.
    pub fn open(options: StoreOptions) -> Self {
        let connect = options
            .connect
            .options([
                ("statement_timeout", STATEMENT_TIMEOUT),
                ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
                // Compiling any of the statements would take longer than running it.
                ("jit", "off"),
                ("timezone", "UTC"),
            ])
            .application_name("eve");
        let planned_once = connect.clone().options(PLANNED_ONCE);
        let pool = |connect: &PgConnectOptions, role: &str, size: u32| {
            PgPoolOptions::new()
                .max_connections(size)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                // Asking each time whether a connection still lives would cost every transaction a round trip. One that
                // was used a moment ago does, or fails its next statement.
                .test_before_acquire(false)
                .before_acquire(|conn, meta| {
                    Box::pin(async move {
                        if meta.idle_for > ASK_AFTER {
                            sqlx::Connection::ping(conn).await?;
                        }
                        Ok(true)
                    })
                })
                .connect_lazy_with(connect.clone().options([("role", role)]))
        };
        Self {
            // Lists have conditions that may be left out, so what is best depends on the call.
            tenant: pool(&connect, "eve_service", options.tenant_connections),
            intake: Intakes::new(planned_once.clone().options([("role", "eve_service")])),
            platform: pool(&planned_once, "eve_platform", options.platform_connections),
            dispatch: pool(&planned_once, "eve_platform", DISPATCH_CONNECTIONS),
            heartbeat: pool(&planned_once, "eve_platform", HEARTBEAT_CONNECTIONS),
            connect,
        }
    }

    /// Begins a transaction that sees one organization.
    pub async fn org(&self, org: OrgId) -> Result<OrgTx, StoreError> {
        begin_org(&self.tenant, org).await
    }

    /// A connection that sees one organization and on which each statement is a transaction of its own.
    pub async fn intake(&self, org: OrgId) -> Result<Intake, StoreError> {
        self.intake.take(org).await
    }

    /// Begins a transaction that sees every organization.
    pub async fn platform(&self) -> Result<PlatformTx, StoreError> {
        begin(&self.platform).await
    }

    /// The same on one of the few connections that are kept for claims and endings.
    pub async fn dispatch(&self) -> Result<PlatformTx, StoreError> {
        begin(&self.dispatch).await
    }

    /// The same on a connection that is kept for heartbeats, so that no load on the others lets a lease run out.
    pub async fn heartbeat(&self) -> Result<PlatformTx, StoreError> {
        begin(&self.heartbeat).await
    }

    /// A connection of one's own for notifications.
    pub(crate) async fn listener(&self) -> Result<sqlx::postgres::PgListener, sqlx::Error> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .connect_with(self.connect.clone().application_name("eve-listen"))
            .await?;
        sqlx::postgres::PgListener::connect_with(&pool).await
    }

    pub(crate) const fn platform_pool(&self) -> &PgPool {
        &self.platform
    }

    /// Waits for running transactions and closes every connection.
    pub async fn close(&self) {
        self.tenant.close().await;
        self.intake.close();
        self.platform.close().await;
        self.dispatch.close().await;
        self.heartbeat.close().await;
    }
}

/// After the database was restarted every connection at rest is broken. Finding that out by beginning a transaction
/// costs nothing but the connection, so the next is tried.
pub(crate) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        // The server says that it goes away.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code == "57P01" || code == "57P02"),
        _ => false,
    }
}

async fn begin_org(pool: &PgPool, org: OrgId) -> Result<OrgTx, StoreError> {
    // One round trip: the id is a UUID's own text, which needs no quoting.
    let begin = format!("BEGIN; SET LOCAL eve.org_id = '{}'", org.uuid());
    for _ in 0..BROKEN_CONNECTIONS {
        match begin_whole(pool, Some(begin.clone())).await {
            Err(error) if is_broken(&error) => {}
            other => return Ok(OrgTx { tx: other.during("begin")?, org }),
        }
    }
    Ok(OrgTx { tx: begin_whole(pool, Some(begin)).await.during("begin")?, org })
}

async fn begin(pool: &PgPool) -> Result<PlatformTx, StoreError> {
    for _ in 0..BROKEN_CONNECTIONS {
        match begin_whole(pool, None).await {
            Err(error) if is_broken(&error) => {}
            other => return Ok(PlatformTx { tx: other.during("begin")? }),
        }
    }
    Ok(PlatformTx { tx: begin_whole(pool, None).await.during("begin")? })
}

/// Begins a transaction, in words of one's own if there are any, and to the end even if the caller is gone meanwhile.
///
/// A BEGIN that is given up half-way is answered all the same, and its connection goes back into the pool in a
/// transaction that nobody knows of: the next one on it would run in that, with a `now()` of long ago.
async fn begin_whole(pool: &PgPool, words: Option<String>) -> sqlx::Result<Transaction<'static, Postgres>> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move {
        match words {
            Some(words) => pool.begin_with(AssertSqlSafe(words)).await,
            None => pool.begin().await,
        }
    });
    begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

mod sealed {
    /// Kept from being implemented elsewhere.
    pub trait Sealed {}
}

/// Either kind of transaction, for functions that serve both.
pub trait Tx: sealed::Sealed + Send {
    /// The connection, for statements of this crate only.
    #[doc(hidden)]
    fn conn(&mut self) -> &mut PgConnection;
}

/// What sees one organization.
pub trait Tenant: Tx {
    /// Which.
    fn org(&self) -> OrgId;
}

impl Tenant for OrgTx {
    fn org(&self) -> OrgId {
        self.org
    }
}

/// A transaction that sees one organization.
#[derive(Debug)]
pub struct OrgTx {
    tx: Transaction<'static, Postgres>,
    org: OrgId,
}

impl OrgTx {
    /// Whose transaction this is.
    pub const fn org(&self) -> OrgId {
        self.org
    }

    /// Makes everything durable.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.tx.commit().await.during("commit")
    }
}

/// A transaction that sees every organization.
#[derive(Debug)]
pub struct PlatformTx {
    tx: Transaction<'static, Postgres>,
}

impl PlatformTx {
    /// Makes everything durable.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.tx.commit().await.during("commit")
    }
}

impl sealed::Sealed for OrgTx {}
impl Tx for OrgTx {
    fn conn(&mut self) -> &mut PgConnection {
        &mut self.tx
    }
}

impl sealed::Sealed for PlatformTx {}
impl Tx for PlatformTx {
    fn conn(&mut self) -> &mut PgConnection {
        &mut self.tx
    }
}
