//! Transactions that cannot be had without saying whose they are.
//!
//! Both pools log in as a role that owns nothing. Connections of the platform pool take the role `eve_platform`;
//! those of the tenant pool see no tenant's row at all until a transaction names an organization, which only
//! [`Store::org`] can do. A forgotten tenant is therefore an empty answer, not a leak.

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

/// Longest wait for a free connection before a caller is told to come back later.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest run of one statement; nothing that Eve does takes nearly as long.
const STATEMENT_TIMEOUT: &str = "30s";
/// Longest rest inside an open transaction, which would hold back vacuum and the event stream.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "15s";

/// How to reach the database.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Log-in of a role that may take the roles `eve_service` and `eve_platform`.
    pub connect: PgConnectOptions,
    /// Connections for tenants' transactions.
    pub tenant_connections: u32,
    /// Connections for the queue, the reconcilers and key look-up.
    pub platform_connections: u32,
}

/// The database as Eve uses it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    tenant: PgPool,
    platform: PgPool,
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
                ("timezone", "UTC"),
            ])
            .application_name("eve");
        let pool = |role: &str, size: u32| {
            PgPoolOptions::new()
                .max_connections(size)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .connect_lazy_with(connect.clone().options([("role", role)]))
        };
        Self {
            tenant: pool("eve_service", options.tenant_connections),
            platform: pool("eve_platform", options.platform_connections),
            connect,
        }
    }

    /// Begins a transaction that sees one organization.
    pub async fn org(&self, org: OrgId) -> Result<OrgTx, StoreError> {
        // One round trip: the id is a UUID's own text, which needs no quoting.
        let begin = format!("BEGIN; SET LOCAL eve.org_id = '{}'", org.uuid());
        let tx = self.tenant.begin_with(AssertSqlSafe(begin)).await.during("begin")?;
        Ok(OrgTx { tx, org })
    }

    /// Begins a transaction that sees every organization.
    pub async fn platform(&self) -> Result<PlatformTx, StoreError> {
        let tx = self.platform.begin().await.during("begin")?;
        Ok(PlatformTx { tx })
    }

    /// A connection of one's own for notifications.
    pub(crate) async fn listener(&self) -> Result<sqlx::postgres::PgListener, sqlx::Error> {
        let pool = PgPoolOptions::new().max_connections(1).connect_with(self.connect.clone()).await?;
        sqlx::postgres::PgListener::connect_with(&pool).await
    }

    pub(crate) const fn platform_pool(&self) -> &PgPool {
        &self.platform
    }

    /// Waits for running transactions and closes every connection.
    pub async fn close(&self) {
        self.tenant.close().await;
        self.platform.close().await;
    }
}

mod sealed {
    pub trait Sealed {}
}

/// Either kind of transaction, for functions that serve both.
pub trait Tx: sealed::Sealed + Send {
    /// The connection, for statements of this crate only.
    #[doc(hidden)]
    fn conn(&mut self) -> &mut PgConnection;
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
