//! Connections for single statements of one organization: taking requests in costs one round trip.
//!
//! A transaction names its tenant by SET LOCAL, which takes a round trip before the statement and one after it. These
//! connections keep the name of a tenant between statements instead, and are told another one before they serve it. That
//! is why they are handed out here, by tenant, and are in no pool that anybody else takes from.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use eve_core::OrgId;
use sqlx::AssertSqlSafe;
use sqlx::ConnectOptions;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;

use super::BROKEN_CONNECTIONS;
use super::Tenant;
use super::Tx;
use super::is_broken;
use super::sealed::Sealed;
use crate::StoreError;
use crate::error::During;

/// Connections at rest that are kept; those in use are as many as their users.
const KEPT: usize = 8;

/// Connections at rest.
#[derive(Debug, Clone)]
pub(super) struct Intakes {
    connect: PgConnectOptions,
    resting: Arc<Mutex<Option<Vec<Bound>>>>,
}

/// A connection and whom it sees.
#[derive(Debug)]
struct Bound {
    conn: PgConnection,
    org: Option<OrgId>,
}

impl Intakes {
    pub(super) fn new(connect: PgConnectOptions) -> Self {
        Self { connect, resting: Arc::new(Mutex::new(Some(Vec::new()))) }
    }

    fn rested(&self, org: OrgId) -> Option<Bound> {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        let resting = resting.as_mut()?;
        let index = resting.iter().position(|bound| bound.org == Some(org)).or(resting.len().checked_sub(1))?;
        Some(resting.swap_remove(index))
    }

    /// A connection that sees this organization and no other.
    pub(super) async fn take(&self, org: OrgId) -> Result<Intake, StoreError> {
        for _ in 0..BROKEN_CONNECTIONS {
            let mut bound = match self.rested(org) {
                Some(bound) => bound,
                None => Bound { conn: self.connect.connect().await.during("intake_connect")?, org: None },
            };
            if bound.org != Some(org) {
                bound.org = None;
                // The id is a UUID's own text, which needs no quoting.
                let set = format!("SET eve.org_id = '{}'", org.uuid());
                match sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut bound.conn).await {
                    Ok(_) => bound.org = Some(org),
                    Err(error) if is_broken(&error) => continue,
                    Err(error) => return Err(error).during("intake_bind"),
                }
            }
            return Ok(Intake { bound, org, home: self.clone() });
        }
        Err(sqlx::Error::PoolTimedOut).during("intake_connect")
    }

    /// Lets go of the connections at rest, and of the others when they come back.
    pub(super) fn close(&self) {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// A connection that sees one organization, for one statement after the other.
#[derive(Debug)]
pub struct Intake {
    bound: Bound,
    org: OrgId,
    home: Intakes,
}

impl Intake {
    /// Gives the connection back after its last statement ended well. Dropping it closes the connection instead.
    pub fn done(self) {
        let Self { bound, home, .. } = self;
        let mut resting = home.resting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resting) = resting.as_mut().filter(|resting| resting.len() < KEPT) {
            resting.push(bound);
        }
    }
}

impl Sealed for Intake {}
impl Tx for Intake {
    fn conn(&mut self) -> &mut PgConnection {
        &mut self.bound.conn
    }
}
impl Tenant for Intake {
    fn org(&self) -> OrgId {
        self.org
    }
}
