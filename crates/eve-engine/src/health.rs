//! What the queue knows about itself: who waits longest, what was lost, how news arrives, and whether every request is
//! in exactly one place.
//!
//! Only an owner or an admin may ask. Those of the organization that the installation was founded with see every
//! organization's lanes; all others see their own, and of the rest only how long the oldest waits.

use std::time::Duration;
use std::time::Instant;

use eve_store::PlatformTx;
use eve_store::health;
use eve_store::health::DatabaseHealth;
use eve_store::health::Losses;
use eve_store::health::QueueAge;
use eve_store::health::Whose;
use eve_store::organization;
use eve_store::places;
use eve_store::places::Found;
use eve_store::places::Misplaced;
use eve_store::places::Walk;
use eve_store::queue;

use crate::Engine;
use crate::Error;
use crate::OpContext;
use crate::clock;
use crate::hub::ListenerReport;
use crate::metrics::Counted;
use crate::metrics::Gauges;

/// Most lanes whose age is told.
const AGES: i64 = 20;
/// Most lanes whose age becomes a metric.
const METRIC_AGES: i64 = 100;
/// What is read for the metrics counts this long, however often they are asked for.
const GAUGES_TTL: Duration = Duration::from_secs(2);
/// Requests that a look at the places takes from each table when not all are asked for: the newest.
const PLACES_RECENT: i64 = 2_000;
/// Rows that one call of a full look at the places takes from a table.
const PLACES_PAGE: i64 = 5_000;
/// Most requests told of in one answer; one alone is a fault, and a thousand are no more use.
const MISPLACED_SHOWN: usize = 100;

/// What the queue knows about itself.
#[derive(Debug)]
pub struct QueueHealth {
    /// The oldest that waits, by organization, worker type and priority; the longest waiting first.
    pub oldest: Vec<QueueAge>,
    /// How long the oldest of the organizations waits that the caller may not see, in seconds.
    pub others_seconds: Option<f64>,
    /// What was lost in the last day, in the whole installation.
    pub losses: Losses,
    /// How other processes' news reaches this one.
    pub listener: ListenerReport,
    /// What this process counted since its start.
    pub counted: Counted,
}

/// Which requests to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlacesScope {
    /// The newest of every table.
    Recent,
    /// All of them, a page at a time; from the start, or where the last page's `next` says.
    Deep(Option<String>),
}

/// What a look at the places came to.
#[derive(Debug)]
pub struct PlacesReport {
    /// Rows looked at.
    pub checked: usize,
    /// How many requests are not in exactly one place.
    pub found: usize,
    /// Those of them that the caller may see, at most a hundred.
    pub misplaced: Vec<Misplaced>,
    /// Where a full look goes on.
    pub next: Option<String>,
}

impl Engine {
    /// Facts about the database, for operators.
    ///
    /// # Errors
    /// When the caller is no admin, or the database does not answer.
    pub async fn database_health(&self, ctx: &OpContext) -> Result<DatabaseHealth, Error> {
        ctx.require_admin()?;
        let mut tx = self.store().platform().await?;
        let health = health::database_health(&mut tx).await?;
        tx.commit().await?;
        Ok(health)
    }

    /// What the queue knows about itself, for operators.
    ///
    /// # Errors
    /// When the caller is no admin, or the database does not answer.
    pub async fn queue_health(&self, ctx: &OpContext) -> Result<QueueHealth, Error> {
        ctx.require_admin()?;
        let mut tx = self.store().platform().await?;
        let (oldest, others_seconds) = if sees_all(&mut tx, ctx).await? {
            (health::queue_age_list(&mut tx, Whose::All, AGES).await?, None)
        } else {
            let others = health::queue_age_list(&mut tx, Whose::Others(ctx.org_id), 1).await?;
            let own = health::queue_age_list(&mut tx, Whose::Only(ctx.org_id), AGES).await?;
            (own, others.first().map(|oldest| oldest.seconds))
        };
        let losses = health::loss_count(&mut tx).await?;
        tx.commit().await?;
        Ok(QueueHealth {
            oldest,
            others_seconds,
            losses,
            listener: self.hub().listener_report(),
            counted: self.inner.metrics.counted(),
        })
    }

    /// Whether every request is in exactly one place.
    ///
    /// # Errors
    /// When the caller is no admin, the position is none that a report named, or the database does not answer.
    pub async fn places_check(&self, ctx: &OpContext, scope: PlacesScope) -> Result<PlacesReport, Error> {
        ctx.require_admin()?;
        let mut tx = self.store().platform().await?;
        let mut walk = Walk::Requests;
        let (rows, next) = match scope {
            PlacesScope::Recent => (places::place_newest(&mut tx, PLACES_RECENT).await?, None),
            PlacesScope::Deep(position) => {
                let at = position.as_deref().map_or(Ok(Position::START), Position::parse)?;
                walk = at.walk()?;
                let rows = places::place_page(&mut tx, walk, at.after, PLACES_PAGE).await?;
                let next = at.next(&rows);
                (rows, next.map(Position::text))
            }
        };
        let mut misplaced = places::misplaced_list(&mut tx, &rows).await?;
        if walk != Walk::Requests {
            // What was asked for was come across among the requests.
            misplaced.retain(|one| !one.asked || one.strayed);
        }
        let (checked, found) = (rows.len(), misplaced.len());
        if !sees_all(&mut tx, ctx).await? {
            misplaced.retain(|one| one.org_id == ctx.org_id);
        }
        tx.commit().await?;
        misplaced.truncate(MISPLACED_SHOWN);
        Ok(PlacesReport { checked, found, misplaced, next })
    }

    /// The counters of this process, with what the database says now, or said a moment ago.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn metrics_render(&self) -> Result<String, Error> {
        let listener = self.hub().listener_report();
        if !self.inner.gauges_read.is_fresh() {
            let mut tx = self.store().platform().await?;
            let depth = queue::queue_depth_total(&mut tx).await?;
            let oldest = health::queue_age_list(&mut tx, Whose::All, METRIC_AGES).await?;
            let holders = health::holder_list(&mut tx).await?;
            let hot_tables = health::hot_table_list(&mut tx).await?;
            tx.commit().await?;
            self.inner.metrics.show(&Gauges { depth, oldest, holders, hot_tables });
            self.inner.gauges_read.note();
        }
        Ok(self.inner.metrics.render(listener))
    }
}

/// Whether the caller's organization is the one that the installation was founded with.
async fn sees_all(tx: &mut PlatformTx, ctx: &OpContext) -> Result<bool, Error> {
    Ok(organization::organization_first(tx).await? == Some(ctx.org_id))
}

/// When the gauges were read last.
#[derive(Debug, Default)]
pub(crate) struct GaugesRead(std::sync::Mutex<Option<Instant>>);

impl GaugesRead {
    fn is_fresh(&self) -> bool {
        let last = *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        last.is_some_and(|last| clock::instant().duration_since(last) < GAUGES_TTL)
    }

    fn note(&self) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(clock::instant());
    }
}

/// Where a full look at the places is: in which table, behind which row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    walk: usize,
    after: Option<Found>,
}

impl Position {
    const START: Self = Self { walk: 0, after: None };

    fn walk(self) -> Result<Walk, Error> {
        Walk::ALL.get(self.walk).copied().ok_or_else(Self::invalid)
    }

    fn invalid() -> Error {
        Error::invalid("`after` is not what a look at the places gave out as `next`. Start again without it.")
    }

    /// Behind this page, or at the next table.
    fn next(self, page: &[Found]) -> Option<Self> {
        let full = i64::try_from(page.len()).unwrap_or(i64::MAX) >= PLACES_PAGE;
        match page.last() {
            Some(last) if full => Some(Self { after: Some(*last), ..self }),
            _ if self.walk + 1 < Walk::ALL.len() => Some(Self { walk: self.walk + 1, after: None }),
            _ => None,
        }
    }

    fn text(self) -> String {
        let Some(Found { org, id, lane, priority }) = self.after else { return self.walk.to_string() };
        format!("{}.{org}.{id}.{}.{}", self.walk, lane.unwrap_or_default(), priority.unwrap_or_default())
    }

    fn parse(text: &str) -> Result<Self, Error> {
        let parts: Vec<&str> = text.split('.').collect();
        let read = || -> Option<Self> {
            let walk = parts.first()?.parse().ok().filter(|walk| *walk < Walk::ALL.len())?;
            match parts.as_slice() {
                [_] => Some(Self { walk, after: None }),
                [_, org, id, lane, priority] => {
                    let (lane, priority) = (Some(lane.parse().ok()?), Some(priority.parse().ok()?));
                    Some(Self {
                        walk,
                        after: Some(Found { org: org.parse().ok()?, id: id.parse().ok()?, lane, priority }),
                    })
                }
                _ => None,
            }
        };
        read().ok_or_else(Self::invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_being_written_down() {
        let after = Found { org: eve_store::new_id(), id: eve_store::new_id(), lane: Some(7), priority: Some(2) };
        for position in [Position::START, Position { walk: 4, after: None }, Position { walk: 1, after: Some(after) }] {
            assert_eq!(Position::parse(&position.text()).unwrap(), position);
        }
        for text in ["", "5", "x", "1.2", "0.a.b.c.d"] {
            assert!(Position::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_full_look_walks_through_every_table() {
        let mut at = Position::START;
        let mut walked = vec![at.walk().unwrap()];
        while let Some(next) = at.next(&[]) {
            at = next;
            walked.push(at.walk().unwrap());
        }
        assert_eq!(walked, Walk::ALL);
    }
}
