//! How long the oldest waits, and what was lost: what the database itself knows of the queue's trouble.

use eve_core::OrgId;
use eve_core::Priority;
use eve_core::RequestId;
use jiff::Timestamp;

use crate::PlatformTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;

/// Failures of one organization that are looked through for quarantined ones, the newest first.
const FAILURES: i64 = 1000;
/// Attempts that are looked through for expired ones, the newest requests' first.
const ATTEMPTS: i64 = 20_000;

/// The oldest that waits for one worker type of one organization at one priority.
#[derive(Debug, Clone)]
pub struct QueueAge {
    /// Whose it is.
    pub org_id: OrgId,
    /// The organization's name in addresses.
    pub org: String,
    /// The worker type.
    pub worker_type: String,
    /// How urgent.
    pub priority: Priority,
    /// The oldest.
    pub request_id: RequestId,
    /// When it was asked for, or became due if that was later.
    pub since: Timestamp,
    /// The same in seconds, by the database's clock.
    pub seconds: f64,
}

/// Whose requests to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Everybody's.
    All,
    /// One organization's.
    Only(OrgId),
    /// Everybody's but one organization's.
    Others(OrgId),
}

/// The oldest that wait, at most so many, the oldest first. It costs one index probe for each lane.
pub async fn queue_age_list(tx: &mut PlatformTx, whose: Whose, limit: i64) -> Result<Vec<QueueAge>, StoreError> {
    let (org, is) = match whose {
        Whose::All => (None, true),
        Whose::Only(org) => (Some(org.uuid()), true),
        Whose::Others(org) => (Some(org.uuid()), false),
    };
    let rows = sqlx::query!(
        r#"WITH RECURSIVE l AS (
               (SELECT lane_id, priority, request_id FROM eve.queue ORDER BY lane_id, priority, request_id LIMIT 1)
               UNION ALL
               SELECT n.* FROM l CROSS JOIN LATERAL (
                   SELECT q.lane_id, q.priority, q.request_id FROM eve.queue q
                   WHERE (q.lane_id, q.priority) > (l.lane_id, l.priority)
                   ORDER BY q.lane_id, q.priority, q.request_id LIMIT 1) n)
           SELECT h.org_id AS "org_id!", o.slug AS "org!", h.worker_type AS "worker_type!", h.priority AS "priority!",
                  h.request_id AS "request_id!", coalesce(r.run_at, r.created_at) AS "since!",
                  extract(epoch FROM clock_timestamp() - coalesce(r.run_at, r.created_at))::float8 AS "seconds!"
           FROM (SELECT DISTINCT ON (a.org_id, a.worker_type, l.priority) a.org_id, a.worker_type, l.priority, l.request_id
                 FROM l JOIN eve.lanes a ON a.id = l.lane_id AND ($2::uuid IS NULL OR (a.org_id = $2) = $3)
                 ORDER BY a.org_id, a.worker_type, l.priority, l.request_id) h
           JOIN eve.organizations o ON o.id = h.org_id
           JOIN eve.requests r ON r.org_id = h.org_id AND r.id = h.request_id
           ORDER BY coalesce(r.run_at, r.created_at) LIMIT $1"#,
        limit,
        org,
        is
    )
    .fetch_all(tx.conn())
    .await
    .during("queue_age_list")?;
    rows.into_iter()
        .map(|row| {
            let priority = Priority::from_number(row.priority).ok_or_else(|| StoreError::Impossible {
                table: "queue",
                detail: format!("priority {}", row.priority),
            })?;
            Ok(QueueAge {
                org_id: OrgId::from_uuid(row.org_id),
                org: row.org,
                worker_type: row.worker_type,
                priority,
                request_id: RequestId::from_uuid(row.request_id),
                since: row.since.to_jiff(),
                seconds: row.seconds,
            })
        })
        .collect()
}

/// What was lost in the last day, as far as a bounded look shows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    /// Workers that were given up.
    pub workers_lost: i64,
    /// Attempts whose lease ran out.
    pub attempts_expired: i64,
    /// Requests that were quarantined.
    pub quarantined: i64,
}

/// What was lost in the last day.
pub async fn loss_count(tx: &mut PlatformTx) -> Result<Losses, StoreError> {
    sqlx::query_as!(
        Losses,
        r#"SELECT (SELECT count(*) FROM eve.workers
                   WHERE state = 'lost' AND last_seen_at > now() - interval '1 day') AS "workers_lost!",
                  (SELECT count(*) FROM (SELECT state, ended_at FROM eve.attempts ORDER BY request_id DESC LIMIT $2) a
                   WHERE a.state = 'expired' AND a.ended_at > now() - interval '1 day') AS "attempts_expired!",
                  (SELECT count(*) FROM eve.organizations o
                   CROSS JOIN LATERAL (SELECT z.error_code, z.created_at FROM eve.results z
                                       WHERE z.org_id = o.id AND z.state <> 'completed'
                                       ORDER BY z.request_id DESC LIMIT $1) z
                   WHERE z.error_code = 'quarantined' AND z.created_at > now() - interval '1 day') AS "quarantined!""#,
        FAILURES,
        ATTEMPTS
    )
    .fetch_one(tx.conn())
    .await
    .during("loss_count")
}
