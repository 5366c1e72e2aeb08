//! What every request needs to know and what hardly ever changes: worker types and lanes, remembered.
//!
//! Lanes never change. A worker type is read again when it is older than [`FRESH`], so that a change elsewhere counts
//! soon; one in this process counts at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use eve_core::LaneId;
use eve_core::OrgId;
use eve_core::ProjectId;
use eve_core::WorkerTypeName;
use eve_store::OrgTx;
use eve_store::PlatformTx;
use eve_store::Store;
use eve_store::Tx;
use eve_store::lane;
use eve_store::lane::Lane;
use eve_store::worker_type;
use eve_store::worker_type::WorkerType;

use crate::Error;
use crate::clock;

/// How long a worker type is taken from memory.
const FRESH: Duration = Duration::from_secs(1);
/// Worker types and lanes remembered before all are forgotten.
const REMEMBERED: usize = 50_000;

type LaneKey = (OrgId, String, Option<ProjectId>, String);

#[derive(Default)]
struct Memory {
    types: HashMap<(OrgId, String), (Arc<WorkerType>, Instant)>,
    lanes: HashMap<LaneKey, Lane>,
    by_id: HashMap<LaneId, Lane>,
}

#[derive(Default)]
pub(crate) struct Catalog {
    memory: Mutex<Memory>,
}

impl Catalog {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remembered_type(&self, org: OrgId, name: &str) -> Option<Arc<WorkerType>> {
        let memory = self.memory();
        let (found, at) = memory.types.get(&(org, name.to_owned()))?;
        (clock::instant().duration_since(*at) < FRESH).then(|| found.clone())
    }

    fn remember_type(&self, org: OrgId, found: WorkerType) -> Arc<WorkerType> {
        let found = Arc::new(found);
        let mut memory = self.memory();
        if memory.types.len() > REMEMBERED {
            memory.types.clear();
        }
        memory.types.insert((org, found.name.as_str().to_owned()), (found.clone(), clock::instant()));
        found
    }

    /// Forgets the worker types of an organization, since one of them changed.
    pub(crate) fn forget_types(&self, org: OrgId) {
        self.memory().types.retain(|(of, _), _| *of != org);
    }

    /// The worker type of this name, if the organization has it and it is remembered or `tx` is given to look.
    pub(crate) async fn worker_type(
        &self,
        store: &Store,
        org: OrgId,
        name: &WorkerTypeName,
    ) -> Result<Option<Arc<WorkerType>>, Error> {
        if let Some(found) = self.remembered_type(org, name.as_str()) {
            return Ok(Some(found));
        }
        let mut tx = store.org(org).await?;
        let found = worker_type::worker_type_list(&mut tx, org, Some(name)).await?.into_iter().next();
        tx.commit().await?;
        Ok(found.map(|found| self.remember_type(org, found)))
    }

    /// The worker types of these lanes, looked up in the transaction where they are not remembered.
    pub(crate) async fn types_of(
        &self,
        tx: &mut impl Tx,
        lanes: impl Iterator<Item = &Lane>,
    ) -> Result<HashMap<LaneId, Arc<WorkerType>>, Error> {
        let mut found = HashMap::new();
        for lane in lanes {
            let known = match self.remembered_type(lane.org_id, &lane.worker_type) {
                Some(known) => Some(known),
                None => match lane.worker_type.parse::<WorkerTypeName>() {
                    Ok(name) => worker_type::worker_type_list(tx, lane.org_id, Some(&name))
                        .await?
                        .into_iter()
                        .next()
                        .map(|kind| self.remember_type(lane.org_id, kind)),
                    Err(_) => None,
                },
            };
            if let Some(kind) = known {
                found.insert(lane.id, kind);
            }
        }
        Ok(found)
    }

    /// The lane for these, made if need be.
    pub(crate) async fn lane(
        &self,
        store: &Store,
        org: OrgId,
        worker_type: &str,
        project: Option<ProjectId>,
        service: &str,
    ) -> Result<Lane, Error> {
        let key = (org, worker_type.to_owned(), project, service.to_owned());
        if let Some(known) = self.memory().lanes.get(&key) {
            return Ok(known.clone());
        }
        let mut tx: OrgTx = store.org(org).await?;
        let made = lane::lane_put(&mut tx, worker_type, project, service).await?;
        tx.commit().await?;
        self.remember_lane(&made);
        Ok(made)
    }

    fn remember_lane(&self, lane: &Lane) {
        let mut memory = self.memory();
        if memory.by_id.len() > REMEMBERED {
            memory.by_id.clear();
            memory.lanes.clear();
        }
        let key = (lane.org_id, lane.worker_type.clone(), lane.project_id, lane.service.clone());
        memory.lanes.insert(key, lane.clone());
        memory.by_id.insert(lane.id, lane.clone());
    }

    /// A lane that is remembered.
    pub(crate) fn known_lane(&self, id: LaneId) -> Option<Lane> {
        self.memory().by_id.get(&id).cloned()
    }

    /// Looks up those of these lanes that are not remembered.
    pub(crate) async fn learn_lanes(&self, tx: &mut PlatformTx, ids: &[LaneId]) -> Result<(), Error> {
        let unknown: Vec<LaneId> = {
            let memory = self.memory();
            ids.iter().filter(|id| !memory.by_id.contains_key(id)).copied().collect()
        };
        if unknown.is_empty() {
            return Ok(());
        }
        let found = lane::lane_list(tx, &unknown).await?;
        found.iter().for_each(|lane| self.remember_lane(lane));
        Ok(())
    }
}
