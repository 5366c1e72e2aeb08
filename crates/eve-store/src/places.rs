//! Whether every request is in exactly one place: the promise that everything else rests on, looked at from outside.
//!
//! What is looked at is taken from each table in turn, so that a request that is nowhere is found as well as a row that
//! belongs to no request. Where a request is, is then read anew in one snapshot: what moved meanwhile is no finding.

use eve_core::OrgId;
use eve_core::Place;
use eve_core::RequestId;
use uuid::Uuid;

use crate::PlatformTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;

/// What is walked through, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// What was asked.
    Requests,
    /// What is in a place.
    Of(Place),
}

impl Walk {
    /// All, in the order in which they are walked through.
    pub const ALL: [Self; 5] = [
        Self::Requests,
        Self::Of(Place::Queue),
        Self::Of(Place::Parked),
        Self::Of(Place::Lease),
        Self::Of(Place::Result),
    ];

    /// The table's name.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Of(place) => table(place),
        }
    }
}

const fn table(place: Place) -> &'static str {
    match place {
        Place::Queue => "queue",
        Place::Parked => "parked",
        Place::Lease => "leases",
        Place::Result => "results",
    }
}

/// One row that was come across: enough to find it again, and to go on behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Whose it is.
    pub org: Uuid,
    /// The request.
    pub id: Uuid,
    /// In the queue, where exactly.
    pub lane: Option<i32>,
    /// In the queue, how urgent.
    pub priority: Option<i16>,
}

/// A request that is not in exactly one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misplaced {
    /// Whose it is.
    pub org_id: OrgId,
    /// The request.
    pub request_id: RequestId,
    /// Whether it was ever asked for.
    pub asked: bool,
    /// Whether it is in the queue, but in a lane that is not its own.
    pub strayed: bool,
    /// The tables that hold a row of it.
    pub places: Vec<&'static str>,
}

impl Misplaced {
    /// What is wrong, in a sentence.
    pub fn problem(&self) -> String {
        match (self.asked, self.places.as_slice()) {
            (false, places) => format!("a row in {}, but nobody asked for it", places.join(" and ")),
            (true, []) => "asked for, but in no place: nobody will ever do it".to_owned(),
            (true, [_]) if self.strayed => "in the queue, but in a lane that is not its own".to_owned(),
            (true, places) => format!("in {} at once", places.join(" and ")),
        }
    }
}

/// The newest of every table, at most so many of each.
pub async fn place_newest(tx: &mut PlatformTx, limit: i64) -> Result<Vec<Found>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT org_id AS "org!", id AS "id!", lane_id AS lane, priority
           FROM (
               (SELECT r.org_id, r.id, NULL::int AS lane_id, NULL::smallint AS priority FROM eve.organizations o
                CROSS JOIN LATERAL (SELECT n.org_id, n.id FROM eve.requests n WHERE n.org_id = o.id
                                    ORDER BY n.id DESC LIMIT $1) r ORDER BY r.id DESC LIMIT $1)
               UNION ALL
               (SELECT q.org_id, q.request_id, q.lane_id, q.priority FROM eve.lanes l
                CROSS JOIN unnest('{1,2,3,4}'::smallint[]) AS p (priority)
                CROSS JOIN LATERAL (SELECT n.* FROM eve.queue n WHERE n.lane_id = l.id AND n.priority = p.priority
                                    ORDER BY n.request_id DESC LIMIT $1) q ORDER BY q.request_id DESC LIMIT $1)
               UNION ALL
               (SELECT org_id, request_id, NULL, NULL FROM eve.parked ORDER BY request_id DESC LIMIT $1)
               UNION ALL
               (SELECT org_id, request_id, NULL, NULL FROM eve.leases ORDER BY request_id DESC LIMIT $1)
               UNION ALL
               (SELECT org_id, request_id, NULL, NULL FROM eve.results ORDER BY request_id DESC LIMIT $1)) n"#,
        limit
    )
    .fetch_all(tx.conn())
    .await
    .during("place_newest")?;
    Ok(rows.into_iter().map(|row| Found { org: row.org, id: row.id, lane: row.lane, priority: row.priority }).collect())
}

/// The next rows of a table in the order of its key, behind the last one of the page before.
pub async fn place_page(
    tx: &mut PlatformTx,
    walk: Walk,
    after: Option<Found>,
    limit: i64,
) -> Result<Vec<Found>, StoreError> {
    let after = after.unwrap_or(Found { org: Uuid::nil(), id: Uuid::nil(), lane: None, priority: None });
    macro_rules! page {
        ($sql:literal, $($argument:expr),+) => {
            sqlx::query_as!(Found, $sql, $($argument),+, limit).fetch_all(tx.conn()).await.during("place_page")
        };
    }
    match walk {
        Walk::Requests => page!(
            r#"SELECT org_id AS org, id, NULL::int AS lane, NULL::smallint AS priority FROM eve.requests
               WHERE (org_id, id) > ($1, $2) ORDER BY org_id, id LIMIT $3"#,
            after.org,
            after.id
        ),
        Walk::Of(Place::Queue) => page!(
            r#"SELECT org_id AS org, request_id AS id, lane_id AS "lane?", priority AS "priority?" FROM eve.queue
               WHERE (lane_id, priority, request_id) > ($1, $2, $3) ORDER BY lane_id, priority, request_id LIMIT $4"#,
            after.lane.unwrap_or(i32::MIN),
            after.priority.unwrap_or(i16::MIN),
            after.id
        ),
        Walk::Of(Place::Parked) => page!(
            r#"SELECT org_id AS org, request_id AS id, NULL::int AS lane, NULL::smallint AS priority FROM eve.parked
               WHERE request_id > $1 ORDER BY request_id LIMIT $2"#,
            after.id
        ),
        Walk::Of(Place::Lease) => page!(
            r#"SELECT org_id AS org, request_id AS id, NULL::int AS lane, NULL::smallint AS priority FROM eve.leases
               WHERE request_id > $1 ORDER BY request_id LIMIT $2"#,
            after.id
        ),
        Walk::Of(Place::Result) => page!(
            r#"SELECT org_id AS org, request_id AS id, NULL::int AS lane, NULL::smallint AS priority FROM eve.results
               WHERE request_id > $1 ORDER BY request_id LIMIT $2"#,
            after.id
        ),
    }
}

/// Which of these are not in exactly one place, all of them read in one snapshot. What went meanwhile, with its
/// partition, is nothing to tell.
pub async fn misplaced_list(tx: &mut PlatformTx, found: &[Found]) -> Result<Vec<Misplaced>, StoreError> {
    let orgs: Vec<Uuid> = found.iter().map(|one| one.org).collect();
    let ids: Vec<Uuid> = found.iter().map(|one| one.id).collect();
    let lanes: Vec<Option<i32>> = found.iter().map(|one| one.lane).collect();
    let rows = sqlx::query!(
        r#"SELECT org AS "org!", id AS "id!", asked AS "asked!", strayed AS "strayed!", queued AS "queued!",
                  parked AS "parked!", leased AS "leased!", finished AS "finished!"
           FROM (SELECT f.org, f.id, r.id IS NOT NULL AS asked,
                        coalesce(f.lane <> r.lane_id, false) AND EXISTS (
                            SELECT FROM eve.queue q WHERE q.lane_id = f.lane AND q.priority = ANY ('{1,2,3,4}'::smallint[])
                                                      AND q.request_id = f.id) AS strayed,
                        EXISTS (SELECT FROM eve.queue q
                                WHERE q.lane_id = coalesce(f.lane, r.lane_id)
                                  AND q.priority = ANY ('{1,2,3,4}'::smallint[]) AND q.request_id = f.id) AS queued,
                        EXISTS (SELECT FROM eve.parked p WHERE p.request_id = f.id) AS parked,
                        EXISTS (SELECT FROM eve.leases e WHERE e.request_id = f.id) AS leased,
                        EXISTS (SELECT FROM eve.results z WHERE z.request_id = f.id) AS finished
                 FROM unnest($1::uuid[], $2::uuid[], $3::int[]) AS f (org, id, lane)
                 LEFT JOIN eve.requests r ON r.org_id = f.org AND r.id = f.id) w
           WHERE strayed OR queued::int + parked::int + leased::int + finished::int <> asked::int"#,
        &orgs,
        &ids,
        &lanes as &[Option<i32>]
    )
    .fetch_all(tx.conn())
    .await
    .during("misplaced_list")?;
    let mut misplaced: Vec<Misplaced> = rows
        .into_iter()
        .map(|row| Misplaced {
            org_id: OrgId::from_uuid(row.org),
            request_id: RequestId::from_uuid(row.id),
            asked: row.asked,
            strayed: row.strayed,
            places: [
                (row.queued, Place::Queue),
                (row.parked, Place::Parked),
                (row.leased, Place::Lease),
                (row.finished, Place::Result),
            ]
            .into_iter()
            .filter(|(is_there, _)| *is_there)
            .map(|(_, place)| table(place))
            .collect(),
        })
        .collect();
    // One that is in two places was come across in both.
    misplaced.sort_by_key(|one| (one.request_id, one.strayed));
    misplaced.dedup_by_key(|one| one.request_id);
    Ok(misplaced)
}
