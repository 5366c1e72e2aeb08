//! How full of dead rows the tables are that every request passes through.

use jiff::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::PlatformTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;

/// The tables whose rows come and go.
pub const HOT_TABLES: [&str; 5] = ["queue", "parked", "leases", "workers", "dependencies"];

/// One of them, as PostgreSQL's statistics have it: estimates that are a moment old.
#[derive(Debug, Clone)]
pub struct HotTable {
    /// Its name, without the schema.
    pub name: String,
    /// Rows that count.
    pub live_rows: i64,
    /// Rows that were deleted or replaced and are still there.
    pub dead_rows: i64,
    /// Bytes on the disk, indexes included.
    pub bytes: i64,
    /// When it was last vacuumed, by hand or by itself.
    pub last_vacuum_at: Option<Timestamp>,
    /// Whether it is vacuumed by itself.
    pub autovacuum: bool,
}

/// How they stand.
pub async fn hot_table_list(tx: &mut PlatformTx) -> Result<Vec<HotTable>, StoreError> {
    const OP: &str = "hot_table_list";
    let rows = sqlx::query(
        "SELECT s.relname::text AS name, s.n_live_tup AS live, s.n_dead_tup AS dead,
                pg_total_relation_size(s.relid) AS bytes, greatest(s.last_vacuum, s.last_autovacuum) AS last_vacuum_at,
                current_setting('autovacuum')::bool AND current_setting('track_counts')::bool
                AND coalesce((SELECT o.option_value::bool FROM pg_options_to_table(c.reloptions) o
                              WHERE o.option_name = 'autovacuum_enabled'), true) AS autovacuum
         FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
         WHERE s.schemaname = 'eve' AND s.relname = ANY ($1)
         ORDER BY array_position($1, s.relname::text)",
    )
    .bind(HOT_TABLES.map(str::to_owned).to_vec())
    .fetch_all(tx.conn())
    .await
    .during(OP)?;
    rows.iter().map(table).collect::<Result<_, _>>().during(OP)
}

fn table(row: &PgRow) -> Result<HotTable, sqlx::Error> {
    Ok(HotTable {
        name: row.try_get("name")?,
        live_rows: row.try_get("live")?,
        dead_rows: row.try_get("dead")?,
        bytes: row.try_get("bytes")?,
        last_vacuum_at: row.try_get::<Option<jiff_sqlx::Timestamp>, _>("last_vacuum_at")?.map(|at| at.to_jiff()),
        autovacuum: row.try_get("autovacuum")?,
    })
}
