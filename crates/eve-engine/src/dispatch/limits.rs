//! Concurrency limits: how much room each scope has left.
//!
//! Rooms are counted from the leases, in the transaction that claims, under a lock that every claim takes while there
//! are limits. So they are exact for any number of processes, and a worker that dies leaves no count behind to mend.

use std::collections::HashMap;

use eve_core::OrgId;
use eve_store::PlatformTx;
use eve_store::lane::Lane;
use eve_store::lease;
use eve_store::limit;
use eve_store::limit::LimitRow;

use crate::Error;
use crate::catalog::Catalog;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Scope {
    Organization(OrgId),
    Project(OrgId, String),
    WorkerType(Option<OrgId>, String),
    Service(String),
    Account(String),
}

impl Scope {
    fn of(row: LimitRow) -> Option<Self> {
        match (row.scope.as_str(), row.org_id) {
            ("organization", Some(org)) => Some(Self::Organization(org)),
            ("project", Some(org)) => Some(Self::Project(org, row.name)),
            ("worker_type", org) => Some(Self::WorkerType(org, row.name)),
            ("service", None) => Some(Self::Service(row.name)),
            ("account", None) => Some(Self::Account(row.name)),
            _ => None,
        }
    }

    /// Every scope that an attempt counts in.
    fn all(lane: &Lane, account: Option<&str>) -> Vec<Self> {
        let mut scopes = vec![
            Self::Organization(lane.org_id),
            Self::WorkerType(None, lane.worker_type.clone()),
            Self::WorkerType(Some(lane.org_id), lane.worker_type.clone()),
        ];
        scopes.extend(lane.project_id.map(|project| Self::Project(lane.org_id, project.to_string())));
        scopes.extend((!lane.service.is_empty()).then(|| Self::Service(lane.service.clone())));
        scopes.extend(account.map(|account| Self::Account(account.to_owned())));
        scopes
    }
}

/// Room left in the scopes that have a limit.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    left: HashMap<Scope, i64>,
    /// The account of each worker that has one.
    pub(super) accounts: HashMap<eve_core::WorkerId, String>,
}

impl Rooms {
    /// Counts. Without any limit there is nothing to count and nothing is locked.
    pub(super) async fn count(
        tx: &mut PlatformTx,
        catalog: &Catalog,
        workers: &[eve_core::WorkerId],
    ) -> Result<Option<Self>, Error> {
        if !limit::limit_exists(tx).await? {
            return Ok(None);
        }
        limit::limit_lock(tx).await?;
        let mut left: HashMap<Scope, i64> = limit::limit_list(tx, None)
            .await?
            .into_iter()
            .filter_map(|row| {
                let max = i64::from(row.max_running);
                Scope::of(row).map(|scope| (scope, max))
            })
            .collect();
        let counts = lease::lease_counts(tx).await?;
        let lanes: Vec<_> = counts.iter().map(|count| count.lane).collect();
        catalog.learn_lanes(tx, &lanes).await?;
        for count in counts {
            let Some(lane) = catalog.known_lane(count.lane) else { continue };
            for scope in Scope::all(&lane, count.account.as_deref()) {
                if let Some(room) = left.get_mut(&scope) {
                    *room -= count.running;
                }
            }
        }
        let accounts = limit::worker_accounts(tx, workers).await?.into_iter().collect();
        Ok(Some(Self { left, accounts }))
    }

    /// Takes a place for one more attempt, if every scope that it counts in has one.
    pub(super) fn admit(&mut self, lane: &Lane, account: Option<&str>) -> bool {
        let scopes = Scope::all(lane, account);
        if scopes.iter().any(|scope| self.left.get(scope).is_some_and(|room| *room <= 0)) {
            return false;
        }
        for scope in &scopes {
            if let Some(room) = self.left.get_mut(scope) {
                *room -= 1;
            }
        }
        true
    }
}
