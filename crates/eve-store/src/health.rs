//! What an operator wants to know about the database.

mod horizon;
mod hot_tables;
mod queue_ages;

use sqlx::Row;

use crate::PlatformTx;
use crate::Store;
use crate::StoreError;
use crate::Tx;
use crate::error::During;

pub use horizon::Holder;
pub use horizon::HolderKind;
pub use horizon::holder_list;
pub use hot_tables::HOT_TABLES;
pub use hot_tables::HotTable;
pub use hot_tables::hot_table_list;
pub use queue_ages::Losses;
pub use queue_ages::QueueAge;
pub use queue_ages::Whose;
pub use queue_ages::loss_count;
pub use queue_ages::queue_age_list;

/// Facts about the database and the log-in.
#[derive(Debug, Clone)]
pub struct DatabaseHealth {
    /// The server's version, such as `18.6`.
    pub server_version: String,
    /// The role that the process logged in as.
    pub login_role: String,
    /// Whether that role is a superuser or may pass row-level security, which it should not.
    pub login_is_privileged: bool,
    /// Tables of Eve's that the log-in owns, which should be none.
    pub owned_tables: i64,
    /// Tables of Eve's with an `org_id` but without forced row-level security, which should be none.
    pub unprotected_tables: Vec<String>,
    /// Seconds since the oldest snapshot that holds back vacuum was taken, as far as that can be seen.
    pub oldest_snapshot_seconds: f64,
    /// Transactions that began since the oldest of those that hold back vacuum.
    pub oldest_snapshot_transactions: i64,
    /// Who holds back vacuum, the oldest first.
    pub holders: Vec<Holder>,
    /// Whether the state of other log-ins' connections can be seen.
    pub sees_others: bool,
    /// Dead rows in the hot tables.
    pub dead_rows: i64,
    /// Each of the hot tables.
    pub hot_tables: Vec<HotTable>,
    /// Longest run of one of Eve's own statements in milliseconds; 0 is no limit.
    pub statement_timeout_ms: i64,
    /// Longest rest inside one of Eve's own transactions in milliseconds; 0 is no limit.
    pub idle_in_transaction_timeout_ms: i64,
    /// How full the queue of notifications is, from 0 to 1: at 1, commits that notify fail.
    pub notification_queue: f64,
    /// Whether commits are durable.
    pub durable: bool,
    /// Whether the extension for semantic search can be installed.
    pub vector_available: bool,
}

/// Whether the database answers.
pub async fn database_ping(store: &Store) -> Result<(), StoreError> {
    sqlx::query("SELECT 1").execute(store.platform_pool()).await.during("database_ping")?;
    Ok(())
}

/// Looks at the database.
pub async fn database_health(tx: &mut PlatformTx) -> Result<DatabaseHealth, StoreError> {
    // Catalogues only, and version-dependent ones at that, hence not checked at build time.
    let row = sqlx::query(
        "SELECT current_setting('server_version') AS server_version,
                session_user::text AS login_role,
                (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = session_user) AS privileged,
                (SELECT count(*) FROM pg_tables WHERE schemaname = 'eve' AND tableowner = session_user) AS owned,
                ARRAY(SELECT c.relname::text FROM pg_class c
                      JOIN pg_namespace n ON n.oid = c.relnamespace
                      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'org_id' AND NOT a.attisdropped
                      WHERE n.nspname = 'eve' AND c.relkind IN ('r', 'p')
                        AND NOT (c.relrowsecurity AND c.relforcerowsecurity) ORDER BY 1) AS unprotected,
                pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_others,
                (SELECT setting::int8 FROM pg_settings WHERE name = 'statement_timeout') AS statement_timeout_ms,
                (SELECT setting::int8 FROM pg_settings
                 WHERE name = 'idle_in_transaction_session_timeout') AS idle_in_transaction_timeout_ms,
                pg_notification_queue_usage() AS notification_queue,
                current_setting('fsync') = 'on' AND current_setting('synchronous_commit') <> 'off' AS durable,
                EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') AS vector",
    )
    .fetch_one(tx.conn())
    .await
    .during("database_health")?;
    let holders = holder_list(tx).await?;
    let hot_tables = hot_table_list(tx).await?;
    let read = move || -> Result<DatabaseHealth, sqlx::Error> {
        Ok(DatabaseHealth {
            server_version: row.try_get("server_version")?,
            login_role: row.try_get("login_role")?,
            login_is_privileged: row.try_get("privileged")?,
            owned_tables: row.try_get("owned")?,
            unprotected_tables: row.try_get("unprotected")?,
            oldest_snapshot_seconds: holders
                .iter()
                .filter(|one| one.transactions.is_some())
                .filter_map(|one| one.seconds)
                .fold(0.0, f64::max),
            oldest_snapshot_transactions: holders.iter().filter_map(|one| one.transactions).max().unwrap_or(0),
            holders,
            sees_others: row.try_get("sees_others")?,
            dead_rows: hot_tables.iter().map(|table| table.dead_rows).sum(),
            hot_tables,
            statement_timeout_ms: row.try_get("statement_timeout_ms")?,
            idle_in_transaction_timeout_ms: row.try_get("idle_in_transaction_timeout_ms")?,
            notification_queue: row.try_get("notification_queue")?,
            durable: row.try_get("durable")?,
            vector_available: row.try_get("vector")?,
        })
    };
    read().during("database_health")
}
