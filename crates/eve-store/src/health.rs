//! What an operator wants to know about the database.

use sqlx::Row;

use crate::PlatformTx;
use crate::Store;
use crate::StoreError;
use crate::Tx;
use crate::error::During;

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
    /// Seconds since the oldest snapshot that holds back vacuum was taken.
    pub oldest_snapshot_seconds: f64,
    /// Dead rows in the hot tables.
    pub dead_rows: i64,
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
                coalesce((SELECT extract(epoch FROM max(now() - xact_start))::float8 FROM pg_stat_activity
                          WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()), 0) AS oldest,
                coalesce((SELECT sum(n_dead_tup)::bigint FROM pg_stat_user_tables
                          WHERE schemaname = 'eve' AND relname IN ('queue', 'leases', 'parked', 'dependencies', 'workers')), 0) AS dead,
                current_setting('fsync') = 'on' AND current_setting('synchronous_commit') <> 'off' AS durable,
                EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') AS vector",
    )
    .fetch_one(tx.conn())
    .await
    .during("database_health")?;
    let read = || -> Result<DatabaseHealth, sqlx::Error> {
        Ok(DatabaseHealth {
            server_version: row.try_get("server_version")?,
            login_role: row.try_get("login_role")?,
            login_is_privileged: row.try_get("privileged")?,
            owned_tables: row.try_get("owned")?,
            unprotected_tables: row.try_get("unprotected")?,
            oldest_snapshot_seconds: row.try_get("oldest")?,
            dead_rows: row.try_get("dead")?,
            durable: row.try_get("durable")?,
            vector_available: row.try_get("vector")?,
        })
    };
    read().during("database_health")
}
