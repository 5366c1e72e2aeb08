//! Requests with parents and dependencies on their way in, in the caller's transaction: one, or many that name each other.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;

use eve_core::Blockers;
use eve_core::DependencyPolicy;
use eve_core::RequestEvent;
use eve_core::RequestId;
use eve_store::OrgTx;
use eve_store::dependency;
use eve_store::lease;
use eve_store::parked;
use eve_store::request;
use eve_store::request::NewRequest;
use eve_store::standing::standing_lock_many;

use crate::Error;
use crate::ErrorKind;
use crate::Topic;
use crate::transition;
use crate::transition::Aftermath;
use crate::transition::Ready;

/// A request that one of those names and that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MissingName {
    /// Which of those names it.
    pub(crate) index: usize,
    /// Under which field.
    pub(crate) field: &'static str,
    /// The name.
    pub(crate) id: RequestId,
}

/// What came of entering requests.
#[derive(Debug)]
pub(crate) enum Entered {
    /// They are written; the caller commits.
    Done,
    /// These names mean nothing. If they are of parents, nothing was locked or written; otherwise the caller must not
    /// commit.
    Missing(Vec<MissingName>),
}

/// Writes requests of one organization with what they wait for and whose children they are. Their `blocked_by` and
/// `parent_id` may name each other.
pub(crate) async fn enter(tx: &mut OrgTx, new: &mut [NewRequest], aftermath: &mut Aftermath) -> Result<Entered, Error> {
    let own: HashSet<RequestId> = new.iter().map(|request| request.id).collect();
    let others = |id: &RequestId| !own.contains(id);
    let mut parents: BTreeMap<RequestId, i32> = BTreeMap::new();
    for parent in new.iter().filter_map(|request| request.parent_id).filter(others) {
        *parents.entry(parent).or_default() += 1;
    }
    let parent_ids: Vec<RequestId> = parents.keys().copied().collect();
    if !parent_ids.is_empty() {
        let known = request::request_priorities(tx, &parent_ids).await?;
        let unknown = |id: &RequestId| others(id) && !known.contains_key(id);
        let missing = missing(new, "parent_id", |request| request.parent_id.into_iter().filter(unknown).collect());
        if !missing.is_empty() {
            return Ok(Entered::Missing(missing));
        }
    }
    let blockers: BTreeSet<RequestId> = new.iter().flat_map(|request| &request.blocked_by).copied().collect();
    let blockers: Vec<RequestId> = blockers.into_iter().filter(others).collect();
    // Leases first, then what is parked, then the queue: the order of locks that everybody keeps.
    let pinned: BTreeSet<RequestId> = parent_ids.iter().chain(&blockers).copied().collect();
    if !pinned.is_empty() {
        lease::lease_pin(tx, &pinned.into_iter().collect::<Vec<_>>()).await?;
    }
    if !parents.is_empty() {
        // A parent that waits for its children waits for these, too.
        let counts: Vec<(RequestId, i32)> = parents.into_iter().map(|(id, count)| (id, -count)).collect();
        parked::parked_loosen(tx, "waiting", &counts).await?;
    }
    let held = dependency::dependency_hold(tx, &blockers).await?;
    if !held.missing.is_empty() {
        let gone: HashSet<RequestId> = held.missing.into_iter().collect();
        let of = |request: &NewRequest| request.blocked_by.iter().copied().filter(|id| gone.contains(id)).collect();
        return Ok(Entered::Missing(missing(new, "blocked_by", of)));
    }
    let open: HashSet<RequestId> = held.open.into_iter().chain(own.iter().copied()).collect();
    let failed: HashSet<RequestId> = held.failed.into_iter().collect();
    let mut waits: Vec<(RequestId, RequestId)> = Vec::new();
    let mut doomed: HashMap<RequestId, u32> = HashMap::new();
    for request in new.iter_mut() {
        let names: BTreeSet<RequestId> = request.blocked_by.iter().copied().collect();
        let before = waits.len();
        waits.extend(names.iter().filter(|id| open.contains(id)).map(|id| (request.id, *id)));
        let failures = u32::try_from(names.iter().filter(|id| failed.contains(id)).count()).unwrap_or(u32::MAX);
        let fails = failures > 0 && request.on_dependency_failure == DependencyPolicy::Fail;
        request.open = i32::try_from(waits.len() - before).unwrap_or(i32::MAX).max(i32::from(fails));
        if fails {
            doomed.insert(request.id, failures);
        }
    }
    let Some((_, delayed)) = request::request_create(tx, new).await? else {
        return Err(Error::new(ErrorKind::Internal, "A lane or the user is gone. Ask again."));
    };
    dependency::dependency_add(tx, &waits).await?;
    aftermath.topics.push(Topic::Events(tx.org()));
    let delayed: HashSet<RequestId> = delayed.into_iter().collect();
    let ready = new.iter().filter(|request| request.open == 0 && !delayed.contains(&request.id));
    aftermath.ready.extend(ready.map(|one| Ready { lane: one.lane.id, priority: one.priority, id: one.id }));
    fail_doomed(tx, &doomed, aftermath).await?;
    Ok(Entered::Done)
}

/// What depends on something that failed already fails, too, with all that waits for it.
async fn fail_doomed(tx: &mut OrgTx, doomed: &HashMap<RequestId, u32>, aftermath: &mut Aftermath) -> Result<(), Error> {
    if doomed.is_empty() {
        return Ok(());
    }
    let mut ids: Vec<RequestId> = doomed.keys().copied().collect();
    ids.sort_unstable();
    let org = tx.org();
    let locked = standing_lock_many(tx, org, &ids).await?;
    let decided = locked.standing.into_iter().filter_map(|standing| {
        let failed = doomed.get(&standing.id).copied().unwrap_or_default();
        transition::decide(standing, &RequestEvent::DependencyFinished(Blockers { open: 0, failed }))
    });
    transition::write(tx, decided.collect(), aftermath).await?;
    Ok(())
}

fn missing(new: &[NewRequest], field: &'static str, of: impl Fn(&NewRequest) -> Vec<RequestId>) -> Vec<MissingName> {
    let each = new.iter().enumerate();
    each.flat_map(|(index, request)| of(request).into_iter().map(move |id| MissingName { index, field, id })).collect()
}
