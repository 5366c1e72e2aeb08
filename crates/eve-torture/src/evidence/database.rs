//! The third ledger: PostgreSQL, read by its superuser, who sees every tenant.
//!
//! All SQL of the harness is here, and everything about attempts in one query: an attempt that is over is a row of
//! `attempts`, or the one that a result names.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use anyhow::Context;
use eve_core::AttemptId;
use eve_core::RequestId;
use eve_testkit::database::TestDatabase;
use sqlx::Connection;
use sqlx::PgConnection;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::clock;

/// A request as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) id: RequestId,
    /// The number that the client gave it.
    pub(crate) number: u64,
    /// The places that have a row of it.
    pub(crate) places: Vec<String>,
    /// How it stands, by the view that the product itself reads.
    pub(crate) state: String,
    /// The fence, wherever it stands.
    pub(crate) fence: u64,
    /// Attempts that counted.
    pub(crate) burned: u64,
    pub(crate) result: Option<ResultRecord>,
    /// The kinds of its events, in order.
    pub(crate) events: Vec<String>,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResultRecord {
    pub(crate) state: String,
    pub(crate) attempt: Option<AttemptId>,
    pub(crate) fence: u64,
    pub(crate) error_code: Option<String>,
    pub(crate) branch: Option<String>,
}

/// An attempt that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttemptRecord {
    pub(crate) id: AttemptId,
    pub(crate) request: RequestId,
    pub(crate) fence: u64,
    /// `settled`, `released` or `expired`.
    pub(crate) state: String,
    pub(crate) failure_class: Option<String>,
    /// The process of its worker, as far as is known: numbers come again.
    pub(crate) worker_pid: Option<u32>,
    /// When it was claimed and over, in milliseconds since the host's start.
    pub(crate) claimed_at: u64,
    pub(crate) ended_at: u64,
}

/// Everything that is compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Records {
    pub(crate) requests: Vec<Record>,
    pub(crate) attempts: Vec<AttemptRecord>,
    /// Which request each idempotency key made.
    pub(crate) keys: BTreeMap<String, RequestId>,
}

/// Opens a connection of one's own.
pub(crate) async fn connect(database: &TestDatabase) -> anyhow::Result<PgConnection> {
    Ok(PgConnection::connect_with(&database.admin()).await?)
}

const REQUESTS: &str = "
SELECT r.id, (r.metadata->>'torture')::bigint AS number, v.state, v.fence, v.burned,
       array_remove(ARRAY[CASE WHEN q.request_id IS NOT NULL THEN 'queue' END,
                          CASE WHEN p.request_id IS NOT NULL THEN 'parked' END,
                          CASE WHEN l.request_id IS NOT NULL THEN 'leases' END,
                          CASE WHEN z.request_id IS NOT NULL THEN 'results' END], NULL) AS places,
       z.state AS result_state, z.attempt_id, z.fence AS result_fence, z.error_code, z.branch,
       coalesce(e.kinds, '{}') AS events
FROM eve.requests r
LEFT JOIN eve.request_view v ON v.id = r.id
LEFT JOIN eve.queue q ON q.request_id = r.id
LEFT JOIN eve.parked p ON p.request_id = r.id
LEFT JOIN eve.leases l ON l.request_id = r.id
LEFT JOIN eve.results z ON z.request_id = r.id
LEFT JOIN (SELECT request_id, array_agg(kind ORDER BY xid, seq) AS kinds FROM eve.event_view
           WHERE request_id IS NOT NULL GROUP BY request_id) e ON e.request_id = r.id
WHERE r.metadata ? 'torture'";

const ATTEMPTS: &str = "
SELECT a.id, a.request_id, a.fence, a.state, a.failure_class, split_part(w.name, ':', 2) AS worker_pid,
       (extract(epoch FROM a.claimed_at) * 1000)::bigint AS claimed_ms,
       (extract(epoch FROM a.ended_at) * 1000)::bigint AS ended_ms
FROM eve.attempt_view a LEFT JOIN eve.workers w ON w.id = a.worker_id
ORDER BY 2, 3";

const KEYS: &str = "SELECT key, request_id FROM eve.idempotency_keys";

/// Reads the ledger in one snapshot.
pub(crate) async fn read(conn: &mut PgConnection) -> anyhow::Result<Records> {
    let mut tx = conn.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let offset = clock::wall_offset_ms();
    let mut records = Records::default();
    for row in sqlx::query(REQUESTS).fetch_all(&mut *tx).await? {
        records.requests.push(record(&row)?);
    }
    for row in sqlx::query(ATTEMPTS).fetch_all(&mut *tx).await? {
        records.attempts.push(AttemptRecord {
            id: AttemptId::from_uuid(row.try_get(0)?),
            request: RequestId::from_uuid(row.try_get(1)?),
            fence: number(&row, "fence")?,
            state: row.try_get("state")?,
            failure_class: row.try_get("failure_class")?,
            worker_pid: row.try_get::<Option<String>, _>("worker_pid")?.and_then(|pid| pid.parse().ok()),
            claimed_at: since_start(row.try_get("claimed_ms")?, offset),
            ended_at: since_start(row.try_get("ended_ms")?, offset),
        });
    }
    for row in sqlx::query(KEYS).fetch_all(&mut *tx).await? {
        records.keys.insert(row.try_get("key")?, RequestId::from_uuid(row.try_get("request_id")?));
    }
    tx.commit().await?;
    Ok(records)
}

fn record(row: &PgRow) -> anyhow::Result<Record> {
    let result = match row.try_get::<Option<String>, _>("result_state")? {
        None => None,
        Some(state) => Some(ResultRecord {
            state,
            attempt: row.try_get::<Option<Uuid>, _>("attempt_id")?.map(AttemptId::from_uuid),
            fence: number(row, "result_fence")?,
            error_code: row.try_get("error_code")?,
            branch: row.try_get("branch")?,
        }),
    };
    Ok(Record {
        id: RequestId::from_uuid(row.try_get("id")?),
        number: number(row, "number")?,
        places: row.try_get("places")?,
        state: row.try_get::<Option<String>, _>("state")?.unwrap_or_default(),
        fence: row.try_get::<Option<i64>, _>("fence")?.and_then(|fence| fence.try_into().ok()).unwrap_or_default(),
        burned: row.try_get::<Option<i16>, _>("burned")?.and_then(|count| count.try_into().ok()).unwrap_or_default(),
        result,
        events: row.try_get("events")?,
    })
}

fn number(row: &PgRow, column: &str) -> anyhow::Result<u64> {
    Ok(row.try_get::<i64, _>(column)?.try_into()?)
}

fn since_start(wall_ms: i64, offset: i64) -> u64 {
    u64::try_from(wall_ms.saturating_add(offset)).unwrap_or_default()
}

/// How many of the clients' requests are not finished.
pub(crate) async fn unfinished(conn: &mut PgConnection) -> anyhow::Result<u64> {
    let sql = "SELECT (SELECT count(*) FROM eve.queue) + (SELECT count(*) FROM eve.parked) + (SELECT count(*) FROM eve.leases)";
    let count: i64 = sqlx::query_scalar(sql).fetch_one(conn).await?;
    count.try_into().context("a count")
}

/// How many of them are ready or run.
pub(crate) async fn busy(conn: &mut PgConnection) -> anyhow::Result<u64> {
    let sql = "SELECT (SELECT count(*) FROM eve.queue) + (SELECT count(*) FROM eve.leases)";
    let count: i64 = sqlx::query_scalar(sql).fetch_one(conn).await?;
    count.try_into().context("a count")
}

/// How many requests are finished.
pub(crate) async fn finished(conn: &mut PgConnection) -> anyhow::Result<u64> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM eve.results").fetch_one(conn).await?;
    count.try_into().context("a count")
}

/// How many results and lines of logs say this.
pub(crate) async fn late_words(conn: &mut PgConnection, words: &str) -> anyhow::Result<u64> {
    let sql = "SELECT (SELECT count(*) FROM eve.results WHERE summary = $1)
                    + (SELECT count(*) FROM eve.attempt_events WHERE event->>'text' = $1)";
    let count: i64 = sqlx::query_scalar(sql).bind(words).fetch_one(conn).await?;
    count.try_into().context("a count")
}

/// When something was claimed first after a moment (both in milliseconds since 1970), if anything was.
pub(crate) async fn claimed_after(conn: &mut PgConnection, wall_ms: i64) -> anyhow::Result<Option<i64>> {
    let sql = "SELECT (extract(epoch FROM min(claimed_at)) * 1000)::bigint
               FROM (SELECT claimed_at FROM eve.leases UNION ALL SELECT claimed_at FROM eve.attempts) c
               WHERE claimed_at > to_timestamp($1::bigint / 1000.0)";
    Ok(sqlx::query_scalar(sql).bind(wall_ms).fetch_one(conn).await?)
}

/// The database that a world begins with.
pub(crate) const OWN: &str = "eve";

/// Everything that defines a schema, but for partitions, which come and go.
const SCHEMA: &str = r"
SELECT format('column %s.%s %s %s', table_name, column_name, data_type, is_nullable)
FROM information_schema.columns WHERE table_schema = 'eve' AND table_name !~ '_[0-9]{10}_[0-9]{10}$'
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'eve' AND tablename !~ '_[0-9]{10}_[0-9]{10}$'
UNION ALL SELECT format('constraint %s %s', conrelid::regclass, pg_get_constraintdef(oid))
FROM pg_constraint WHERE connamespace = 'eve'::regnamespace AND conrelid::regclass::text !~ '_[0-9]{10}_[0-9]{10}$'
UNION ALL SELECT format('policy %s %s %s %s', tablename, policyname, roles, qual) FROM pg_policies WHERE schemaname = 'eve'
UNION ALL SELECT format('function %s %s', proname, md5(prosrc)) FROM pg_proc WHERE pronamespace = 'eve'::regnamespace
UNION ALL SELECT format('migration %s %s', version, success) FROM _sqlx_migrations";

/// What defines the schema of a database.
pub(crate) async fn schema(database: &TestDatabase, name: &str) -> anyhow::Result<BTreeSet<String>> {
    let mut conn = PgConnection::connect_with(&database.admin().database(name)).await?;
    let rows: Vec<String> = sqlx::query_scalar(SCHEMA).fetch_all(&mut conn).await?;
    Ok(rows.into_iter().collect())
}

/// Makes an empty database. The name is the harness's own and needs no quoting.
pub(crate) async fn create(conn: &mut PgConnection, name: &str) -> anyhow::Result<()> {
    let sql = format!("CREATE DATABASE {name} OWNER eve_owner");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(conn).await?;
    Ok(())
}
