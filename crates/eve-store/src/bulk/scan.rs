//! The requests that a filter finds, slice by slice.
//!
//! A slice is the next so many requests in the order of ids; of these, those that fit are answered. Where the filter names
//! only states that few requests are in, the slice is cut from the table that holds those few. What is ready is read
//! lane by lane, a slice of each, so that a million that wait are not gone through for every slice.

use eve_core::BulkFacts;
use eve_core::LaneId;
use eve_core::Priority;
use eve_core::ProjectId;
use eve_core::RequestId;
use eve_core::StateName;
use eve_core::WorkerTypeName;
use jiff::Timestamp;

use crate::OrgTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;
use crate::request::RequestFilter;
use crate::request::stamp;

/// A request that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The request.
    pub id: RequestId,
    /// Where it queues.
    pub lane: LaneId,
    /// Who does it.
    pub worker_type: String,
    /// A line for lists.
    pub title: String,
    /// Why it is held, waiting or failed.
    pub reason: Option<String>,
    /// What a verdict depends on.
    pub facts: BulkFacts,
}

/// The next requests in the order of ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slice {
    /// Those that fit.
    pub matched: Vec<Candidate>,
    /// The last of all that were looked at; nothing when there are none left.
    pub last: Option<RequestId>,
    /// How many were looked at.
    pub looked_at: usize,
}

/// Which table's requests are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// All requests.
    Requests,
    /// Those that are not finished.
    Standing,
    /// Those that finished without completing.
    Unhappy,
}

impl Source {
    /// The smallest table that holds every request which fits.
    pub fn of(filter: &RequestFilter) -> Self {
        let all = |fits: fn(StateName) -> bool| !filter.states.is_empty() && filter.states.iter().all(|s| fits(*s));
        if all(|state| !state.is_terminal()) {
            Self::Standing
        } else if all(|state| state.is_terminal() && state != StateName::Completed) {
            Self::Unhappy
        } else {
            Self::Requests
        }
    }
}

/// The next slice after a request: older ones if `newest_first`, else newer ones. Only requests from before `until`
/// fit, where it is given.
pub async fn bulk_scan(
    tx: &mut OrgTx,
    filter: &RequestFilter,
    until: Option<Timestamp>,
    after: Option<RequestId>,
    newest_first: bool,
    limit: usize,
) -> Result<Slice, StoreError> {
    super::plan_for_many(tx).await?;
    let ids = if filter.ids.is_empty() {
        slice(tx, Source::of(filter), after, newest_first, limit).await?
    } else {
        named(filter, after, newest_first, limit)
    };
    let last = ids.last().copied().map(RequestId::from_uuid);
    let matched = matching(tx, filter, until, newest_first, &ids).await?;
    Ok(Slice { matched, last, looked_at: ids.len() })
}

/// The next of those that the filter names.
fn named(filter: &RequestFilter, after: Option<RequestId>, newest_first: bool, limit: usize) -> Vec<uuid::Uuid> {
    let mut ids: Vec<uuid::Uuid> = filter.ids.iter().map(|id| id.uuid()).collect();
    ids.sort_unstable();
    ids.dedup();
    if newest_first {
        ids.reverse();
    }
    let behind =
        |id: &uuid::Uuid| after.is_none_or(|after| if newest_first { *id < after.uuid() } else { *id > after.uuid() });
    ids.into_iter().filter(behind).take(limit).collect()
}

async fn slice(
    tx: &mut OrgTx,
    source: Source,
    after: Option<RequestId>,
    newest_first: bool,
    limit: usize,
) -> Result<Vec<uuid::Uuid>, StoreError> {
    let org = tx.org().uuid();
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (standing, unhappy) = (source == Source::Standing, source == Source::Unhappy);
    if newest_first {
        sqlx::query_scalar!(
            r#"SELECT id AS "id!" FROM (
                   (SELECT id FROM eve.requests WHERE NOT $3 AND NOT $4 AND org_id = $1 AND id < $2
                    ORDER BY org_id DESC, id DESC LIMIT $5)
                   UNION ALL
                   (SELECT request_id FROM eve.results
                    WHERE $4 AND org_id = $1 AND state <> 'completed' AND request_id < $2
                    ORDER BY org_id DESC, request_id DESC LIMIT $5)
                   UNION ALL
                   (SELECT request_id FROM eve.leases WHERE $3 AND org_id = $1 AND request_id < $2)
                   UNION ALL
                   (SELECT request_id FROM eve.parked WHERE $3 AND org_id = $1 AND request_id < $2)
                   UNION ALL
                   (SELECT q.request_id FROM eve.lanes l
                    CROSS JOIN unnest('{1,2,3,4}'::smallint[]) AS p (priority)
                    CROSS JOIN LATERAL (
                        SELECT q.request_id FROM eve.queue q
                        WHERE q.lane_id = l.id AND q.priority = p.priority AND q.request_id < $2
                        ORDER BY q.request_id DESC LIMIT $5) q
                    WHERE $3 AND l.org_id = $1)) s
               ORDER BY id DESC LIMIT $5"#,
            org,
            after.map_or(uuid::Uuid::max(), RequestId::uuid),
            standing,
            unhappy,
            limit
        )
        .fetch_all(tx.conn())
        .await
        .during("bulk_scan")
    } else {
        sqlx::query_scalar!(
            r#"SELECT id AS "id!" FROM (
                   (SELECT id FROM eve.requests WHERE NOT $3 AND NOT $4 AND org_id = $1 AND id > $2
                    ORDER BY org_id, id LIMIT $5)
                   UNION ALL
                   (SELECT request_id FROM eve.results
                    WHERE $4 AND org_id = $1 AND state <> 'completed' AND request_id > $2
                    ORDER BY org_id, request_id LIMIT $5)
                   UNION ALL
                   (SELECT request_id FROM eve.leases WHERE $3 AND org_id = $1 AND request_id > $2)
                   UNION ALL
                   (SELECT request_id FROM eve.parked WHERE $3 AND org_id = $1 AND request_id > $2)
                   UNION ALL
                   (SELECT q.request_id FROM eve.lanes l
                    CROSS JOIN unnest('{1,2,3,4}'::smallint[]) AS p (priority)
                    CROSS JOIN LATERAL (
                        SELECT q.request_id FROM eve.queue q
                        WHERE q.lane_id = l.id AND q.priority = p.priority AND q.request_id > $2
                        ORDER BY q.request_id LIMIT $5) q
                    WHERE $3 AND l.org_id = $1)) s
               ORDER BY id LIMIT $5"#,
            org,
            after.map_or(uuid::Uuid::nil(), RequestId::uuid),
            standing,
            unhappy,
            limit
        )
        .fetch_all(tx.conn())
        .await
        .during("bulk_scan")
    }
}

/// Those of these requests that fit, in the order asked for.
async fn matching(
    tx: &mut OrgTx,
    filter: &RequestFilter,
    until: Option<Timestamp>,
    newest_first: bool,
    ids: &[uuid::Uuid],
) -> Result<Vec<Candidate>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let states: Vec<String> = filter.states.iter().map(|state| state.name().to_owned()).collect();
    let rows = sqlx::query!(
        r#"SELECT id AS "id!", lane_id AS "lane_id!", worker_type AS "worker_type!", title AS "title!", state, reason,
                  priority AS "priority!", stop
           FROM eve.request_view v
           WHERE org_id = $1 AND id = ANY ($2) AND ($3::timestamptz IS NULL OR created_at < $3)
             AND (cardinality($4::text[]) = 0 OR state = ANY ($4))
             AND ($5::text IS NULL OR worker_type = $5)
             AND ($6::uuid IS NULL OR project_id = $6)
             AND ($7::uuid IS NULL OR parent_id = $7)
             AND ($8::timestamptz IS NULL OR created_at >= $8)
             AND ($9::timestamptz IS NULL OR created_at < $9)
             AND ($10::text IS NULL OR strpos(lower(title), lower($10)) > 0 OR strpos(lower(prompt), lower($10)) > 0)
             AND ($11::bool IS NULL OR state <> 'waiting' OR (reason = 'answer') = $11)
           ORDER BY id"#,
        tx.org().uuid(),
        ids,
        until.map(stamp) as _,
        &states,
        filter.worker_type.as_ref().map(WorkerTypeName::as_str),
        filter.project_id.map(ProjectId::uuid),
        filter.parent_id.map(RequestId::uuid),
        filter.created_after.map(stamp) as _,
        filter.created_before.map(stamp) as _,
        filter.text,
        filter.answer
    )
    .fetch_all(tx.conn())
    .await
    .during("bulk_match")?;
    let candidates = rows.into_iter().map(|row| {
        let impossible = |detail: String| StoreError::Impossible { table: "requests", detail };
        let facts = BulkFacts {
            state: row
                .state
                .as_deref()
                .and_then(StateName::from_name)
                .ok_or_else(|| impossible(format!("{} is nowhere", row.id)))?,
            priority: Priority::from_number(row.priority)
                .ok_or_else(|| impossible(format!("priority {}", row.priority)))?,
            stopping: row.stop.as_deref() == Some("cancel"),
        };
        Ok(Candidate {
            id: RequestId::from_uuid(row.id),
            lane: LaneId(row.lane_id),
            worker_type: row.worker_type,
            title: row.title,
            reason: row.reason,
            facts,
        })
    });
    let mut candidates = candidates.collect::<Result<Vec<_>, StoreError>>()?;
    if newest_first {
        candidates.reverse();
    }
    Ok(candidates)
}
