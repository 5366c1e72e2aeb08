//! Who holds back clean-up: the oldest snapshots and transactions, whatever they hang on.
//!
//! A row that was deleted stays until nobody can see it any more. How far back that is, the xmin horizon, is said by the
//! oldest of: connections with a snapshot or an open transaction, transactions that were prepared and never ended,
//! replication slots, and standbys that report what they read. The event stream stops at the oldest open transaction,
//! too. Another's statement may hold what is secret, so of those only the first word leaves the database.

use jiff::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::PlatformTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;

/// Most of one kind of those that hold back clean-up which are told of; the oldest is what matters.
const HOLDERS: i64 = 10;

/// What holds back clean-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolderKind {
    /// A connection with a snapshot or an open transaction.
    Connection,
    /// A transaction of a two-phase commit that was prepared and not ended. It outlives restarts.
    PreparedTransaction,
    /// A replication slot, which keeps rows or log for a consumer, whether that comes back or not.
    ReplicationSlot,
    /// A standby that reports what its readers still need.
    Standby,
}

impl HolderKind {
    const ALL: [Self; 4] = [Self::Connection, Self::PreparedTransaction, Self::ReplicationSlot, Self::Standby];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::PreparedTransaction => "prepared_transaction",
            Self::ReplicationSlot => "replication_slot",
            Self::Standby => "standby",
        }
    }
}

/// One that holds back clean-up.
#[derive(Debug, Clone)]
pub struct Holder {
    /// What it is.
    pub kind: HolderKind,
    /// Its process, if it has one.
    pub pid: Option<i32>,
    /// Its name: of the application, the prepared transaction, or the slot.
    pub name: String,
    /// Whose it is.
    pub user: Option<String>,
    /// In which database.
    pub database: Option<String>,
    /// What it does, such as `idle in transaction`; of a slot, `active` or `inactive`.
    pub state: Option<String>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// The same in seconds, by the database's clock.
    pub seconds: Option<f64>,
    /// How many transactions began since; nothing where it keeps log only.
    pub transactions: Option<i64>,
    /// The first word of its last statement, or one of Eve's own without the values in it.
    pub command: Option<String>,
    /// Bytes of log that a slot keeps from being removed.
    pub kept_log_bytes: Option<i64>,
}

/// A value as SQL has it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Holder {
    /// How to make it let go: a statement for an administrator, or what to do elsewhere.
    pub fn mend(&self) -> String {
        let name = literal(&self.name);
        match self.kind {
            HolderKind::Connection => {
                format!("end it: SELECT pg_terminate_backend({});", self.pid.unwrap_or_default())
            }
            HolderKind::PreparedTransaction => {
                let database = self.database.as_deref().unwrap_or("its database");
                format!("end it, connected to {database}: ROLLBACK PREPARED {name}; or COMMIT PREPARED {name};")
            }
            HolderKind::ReplicationSlot if self.pid.is_some() => {
                "its consumer is behind: let it catch up, or stop it and drop the slot".to_owned()
            }
            HolderKind::ReplicationSlot => {
                format!("start its consumer, or drop it: SELECT pg_drop_replication_slot({name});")
            }
            HolderKind::Standby => {
                "end the long query on the standby, or turn hot_standby_feedback off there".to_owned()
            }
        }
    }
}

/// Those that hold back most, the oldest first; at most ten of each kind.
pub async fn holder_list(tx: &mut PlatformTx) -> Result<Vec<Holder>, StoreError> {
    const OP: &str = "holder_list";
    // Of connections to other databases only an open transaction counts, a snapshot does not. Vacuum's own processes
    // do not count either. What differs between versions is asked of the row as JSON.
    let rows = sqlx::query(
        "SELECT *, extract(epoch FROM clock_timestamp() - since)::float8 AS seconds FROM (
         SELECT *, row_number() OVER (PARTITION BY kind ORDER BY transactions DESC NULLS LAST, since NULLS LAST,
                                                                 kept_log_bytes DESC NULLS LAST) AS rank FROM (
             SELECT CASE WHEN r.pid IS NULL THEN 'connection' ELSE 'standby' END AS kind, a.pid,
                    coalesce(a.application_name, '') AS name, a.usename::text AS user, a.datname::text AS database,
                    a.state, a.xact_start AS since,
                    greatest(age(a.backend_xmin), age(a.backend_xid))::int8 AS transactions,
                    CASE WHEN a.usename = session_user AND a.application_name IN ('eve', 'eve-listen')
                         THEN left(regexp_replace(regexp_replace(btrim(a.query), '''[^'']*''', '''…''', 'g'),
                                                  '\\s+', ' ', 'g'), 80)
                         ELSE upper(substring(a.query FROM '^\\s*([A-Za-z]+)')) END AS command,
                    NULL::int8 AS kept_log_bytes
             FROM pg_stat_activity a
             LEFT JOIN pg_stat_replication r ON r.pid = a.pid
             WHERE a.pid <> pg_backend_pid() AND a.usesysid IS NOT NULL
               AND (a.backend_xid IS NOT NULL
                    OR a.backend_xmin IS NOT NULL AND (r.pid IS NOT NULL OR a.datname = current_database()))
               AND coalesce(a.query, '') !~* '^\\s*vacuum\\y'
             UNION ALL
             SELECT 'prepared_transaction', NULL, gid, owner::text, database::text, 'prepared', prepared,
                    age(transaction)::int8, NULL, NULL
             FROM pg_prepared_xacts
             UNION ALL
             SELECT 'replication_slot', s.active_pid, s.slot_name::text, NULL, s.database::text,
                    CASE WHEN s.active THEN 'active' ELSE 'inactive' END,
                    (to_jsonb(s) ->> 'inactive_since')::timestamptz,
                    greatest(age(s.xmin), age(s.catalog_xmin))::int8, NULL,
                    CASE WHEN NOT pg_is_in_recovery()
                         THEN pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::int8 END
             FROM pg_replication_slots s
             WHERE NOT s.temporary) h) r
         WHERE rank <= $1
         ORDER BY transactions DESC NULLS LAST, since NULLS LAST, kept_log_bytes DESC NULLS LAST",
    )
    .bind(HOLDERS)
    .fetch_all(tx.conn())
    .await
    .during(OP)?;
    rows.iter().map(holder).collect::<Result<_, _>>().during(OP)
}

fn holder(row: &PgRow) -> Result<Holder, sqlx::Error> {
    let kind: &str = row.try_get("kind")?;
    let kind = HolderKind::ALL.into_iter().find(|one| one.name() == kind);
    Ok(Holder {
        kind: kind.ok_or_else(|| sqlx::Error::ColumnNotFound("kind".to_owned()))?,
        pid: row.try_get("pid")?,
        name: row.try_get("name")?,
        user: row.try_get("user")?,
        database: row.try_get("database")?,
        state: row.try_get("state")?,
        since: row.try_get::<Option<jiff_sqlx::Timestamp>, _>("since")?.map(|at| at.to_jiff()),
        seconds: row.try_get("seconds")?,
        transactions: row.try_get("transactions")?,
        command: row.try_get("command")?,
        kept_log_bytes: row.try_get("kept_log_bytes")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(kind: HolderKind, pid: Option<i32>, name: &str) -> Holder {
        Holder {
            kind,
            pid,
            name: name.to_owned(),
            user: None,
            database: Some("eve".to_owned()),
            state: None,
            since: None,
            seconds: None,
            transactions: None,
            command: None,
            kept_log_bytes: None,
        }
    }

    #[test]
    fn whatever_holds_back_vacuum_can_be_made_to_let_go() {
        let mend = |kind, pid, name| holder(kind, pid, name).mend();
        assert_eq!(mend(HolderKind::Connection, Some(7), "psql"), "end it: SELECT pg_terminate_backend(7);");
        let prepared = mend(HolderKind::PreparedTransaction, None, "it's");
        assert!(prepared.contains("connected to eve: ROLLBACK PREPARED 'it''s';"), "{prepared}");
        let slot = mend(HolderKind::ReplicationSlot, None, "lost");
        assert!(slot.contains("SELECT pg_drop_replication_slot('lost');"), "{slot}");
        assert!(!mend(HolderKind::ReplicationSlot, Some(7), "used").contains("SELECT"), "it cannot be dropped in use");
        assert!(mend(HolderKind::Standby, Some(7), "s").contains("hot_standby_feedback"));
    }
}
