//! Claiming: takes what was planned out of the queue, gives it leases, and adds what an attempt needs to know.

use std::collections::HashMap;

use eve_core::AttemptId;
use eve_core::Fence;
use eve_core::LaneId;
use eve_core::OrgId;
use eve_core::Place;
use eve_core::Priority;
use eve_core::ProjectId;
use eve_core::RequestEvent;
use eve_core::RequestId;
use eve_core::UserId;
use eve_core::WorkerId;
use eve_store::PlatformTx;
use eve_store::attempt;
use eve_store::lane::Lane;
use eve_store::lease;
use eve_store::queue;
use eve_store::queue::Head;
use eve_store::queue::Pick;
use eve_store::request;
use eve_store::request::Brief;
use eve_store::standing::LeaseFacts;
use eve_store::standing::Standing;
use eve_store::worker;
use eve_store::worker_type::WorkerType;

use super::Dispatcher;
use super::book::Taken;
use super::limits::Rooms;
use super::plan::Draw;
use super::plan::Group;
use super::plan::Plan;
use crate::Error;
use crate::ErrorKind;
use crate::clock;

/// A request in a worker's hands: all that it needs to run it.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The attempt that this makes.
    pub attempt_id: AttemptId,
    /// Its fence.
    pub fence: Fence,
    /// The organization.
    pub org_id: OrgId,
    /// The request.
    pub request_id: RequestId,
    /// Who asked.
    pub user_id: UserId,
    /// The project.
    pub project_id: Option<ProjectId>,
    /// Who does it.
    pub worker_type: String,
    /// A line for branch names.
    pub title: String,
    /// What to do.
    pub prompt: String,
    /// The skill of the worker type.
    pub instructions: String,
    /// The repository to work in.
    pub repository: Option<String>,
    /// The branch or commit to start from.
    pub branch: Option<String>,
    /// Variables for the agent.
    pub context: serde_json::Value,
    /// The harness, of the request or else of the worker type.
    pub harness: Option<String>,
    /// The model, of the request or else of the worker type.
    pub model: Option<String>,
    /// Longest run.
    pub timeout_seconds: i32,
    /// Longest silence.
    pub idle_timeout_seconds: i32,
    /// The agent's session of an earlier attempt that ended with a question or was cut short.
    pub resume_session: Option<String>,
}

/// What a step claimed.
#[derive(Default)]
pub(super) struct Claimed {
    /// For each demand, or why it gets nothing.
    pub(super) answers: Vec<Result<Vec<Claim>, Error>>,
    pub(super) taken: Vec<Taken>,
    pub(super) limited: bool,
}

impl Claimed {
    /// How many requests, for all workers.
    pub(super) fn count(&self) -> usize {
        self.answers.iter().filter_map(|answer| answer.as_ref().ok()).map(Vec::len).sum()
    }
}

/// A request that was taken, and for whom.
struct Given<'plan> {
    standing: Standing,
    lease: LeaseFacts,
    demand: usize,
    lane: &'plan Lane,
}

impl Dispatcher {
    /// Claims for the demands of a plan.
    pub(super) async fn take(&self, tx: &mut PlatformTx, plan: &Plan) -> Result<Claimed, Error> {
        let workers: Vec<WorkerId> = plan.demands.iter().map(|demand| demand.wanted.worker).collect();
        let active = worker::worker_list_active(tx, &workers).await?;
        let mut answers: Vec<Result<Vec<Claim>, Error>> = workers
            .iter()
            .map(|worker| if active.contains(worker) { Ok(Vec::new()) } else { Err(unknown_worker()) })
            .collect();
        let mut rooms = Rooms::count(tx, &self.catalog, &workers).await?;
        let limited = rooms.is_some();
        let groups = plan.groups(&answers, rooms.as_ref());
        let draws = self.state().draw(plan, &groups, &self.catalog, self.ageing, rooms.as_mut());
        if draws.is_empty() {
            return Ok(Claimed { answers, taken: Vec::new(), limited });
        }
        let picks: Vec<Pick> = draws.iter().map(|draw| draw.pick).collect();
        let rows = queue::queue_take(tx, &picks).await?;
        let (given, mut taken) = self.allot(plan, &groups, &draws, rows)?;
        look_behind(tx, &mut taken).await?;
        let rows: Vec<(&Standing, &LeaseFacts)> = given.iter().map(|one| (&one.standing, &one.lease)).collect();
        lease::lease_enter(tx, &rows).await?;
        for (demand, claim) in self.brief(tx, given).await? {
            if let Some(Ok(claims)) = answers.get_mut(demand) {
                claims.push(claim);
            }
        }
        Ok(Claimed { answers, taken, limited })
    }

    /// Gives what was taken to demands, most urgent first.
    fn allot<'plan>(
        &self,
        plan: &Plan,
        groups: &[Group],
        draws: &'plan [Draw],
        rows: Vec<Standing>,
    ) -> Result<(Vec<Given<'plan>>, Vec<Taken>), Error> {
        let mut by: HashMap<(LaneId, Priority), Vec<Standing>> = HashMap::new();
        for row in rows {
            by.entry((row.lane, row.priority)).or_default().push(row);
        }
        let mut left: Vec<usize> = plan.demands.iter().map(|demand| demand.wanted.limit).collect();
        let (mut given, mut taken) = (Vec::new(), Vec::new());
        let mut state = self.state();
        for draw in draws {
            let mut rows = by.remove(&(draw.pick.lane, draw.pick.priority)).unwrap_or_default();
            rows.sort_unstable_by_key(|row| row.id);
            let wanted = usize::try_from(draw.pick.want).unwrap_or(0);
            taken.push(Taken {
                lane: draw.pick.lane,
                priority: draw.pick.priority,
                last: rows.last().map(|row| row.id),
                next: None,
            });
            state.share.refund(draw.lane.org_id, wanted.saturating_sub(rows.len()));
            let mut rows = rows.into_iter();
            for (group, count) in &draw.groups {
                let Some(group) = groups.get(*group) else { continue };
                for standing in rows.by_ref().take(*count) {
                    // As many were asked for as there are slots, so there is one for each.
                    let Some((demand, worker_id)) = state.assign(plan, group, &mut left, &draw.lane) else { continue };
                    given.push(give(standing, worker_id, demand, &draw.lane)?);
                }
            }
        }
        Ok((given, taken))
    }

    /// Adds what the attempts need to know.
    async fn brief(&self, tx: &mut PlatformTx, given: Vec<Given<'_>>) -> Result<Vec<(usize, Claim)>, Error> {
        let ids: Vec<(OrgId, RequestId)> = given.iter().map(|one| (one.standing.org_id, one.standing.id)).collect();
        let briefs = request::request_brief_list(tx, &ids).await?;
        let mut briefs: HashMap<RequestId, Brief> = briefs.into_iter().map(|brief| (brief.id, brief)).collect();
        let again: Vec<RequestId> =
            given.iter().filter(|one| one.standing.life.fence > Fence(1)).map(|one| one.standing.id).collect();
        let mut sessions: HashMap<RequestId, String> = if again.is_empty() {
            HashMap::new()
        } else {
            attempt::attempt_session_list(tx, &again).await?.into_iter().collect()
        };
        let lanes: HashMap<LaneId, &Lane> = given.iter().map(|one| (one.lane.id, one.lane)).collect();
        let kinds = self.catalog.types_of(tx, lanes.into_values()).await?;
        let mut claims = Vec::with_capacity(given.len());
        for one in &given {
            let id = one.standing.id;
            let (Some(brief), Some(kind)) = (briefs.remove(&id), kinds.get(&one.lane.id)) else {
                return Err(Error::new(ErrorKind::Internal, format!("Request {id} is in the queue and nowhere else.")));
            };
            let mut claim = claim(&one.standing, one.lease.attempt_id, one.lane, brief, kind);
            claim.resume_session = sessions.remove(&id);
            claims.push((one.demand, claim));
        }
        Ok(claims)
    }
}

/// Finds out what waits behind what was taken. Where nothing was there to take, nothing is.
async fn look_behind(tx: &mut PlatformTx, taken: &mut [Taken]) -> Result<(), Error> {
    let cursors: Vec<Head> =
        taken.iter().filter_map(|one| Some(Head { lane: one.lane, priority: one.priority, id: one.last? })).collect();
    if cursors.is_empty() {
        return Ok(());
    }
    let next: HashMap<(LaneId, Priority), RequestId> = queue::queue_heads_after(tx, &cursors)
        .await?
        .into_iter()
        .map(|head| ((head.lane, head.priority), head.id))
        .collect();
    for one in taken {
        one.next = next.get(&(one.lane, one.priority)).copied();
    }
    Ok(())
}

fn unknown_worker() -> Error {
    Error::new(ErrorKind::NotFound, "This worker is not known here, or was given up. Register again.")
}

fn give(mut standing: Standing, worker_id: WorkerId, demand: usize, lane: &Lane) -> Result<Given<'_>, Error> {
    let attempt_id = AttemptId::from_uuid(eve_store::new_id());
    let fence = Fence(standing.life.fence.0 + 1);
    let event = RequestEvent::Claimed { attempt: attempt_id, fence };
    standing.life = standing.life.apply(&event, standing.now, clock::jitter())?.life;
    standing.place = Place::Lease;
    let lease = LeaseFacts {
        attempt_id,
        worker_id,
        claimed_at: standing.now,
        started_at: None,
        harness: None,
        session_id: None,
    };
    Ok(Given { standing, lease, demand, lane })
}

/// Puts together what a worker needs.
pub(super) fn claim(standing: &Standing, attempt_id: AttemptId, lane: &Lane, brief: Brief, kind: &WorkerType) -> Claim {
    Claim {
        attempt_id,
        fence: standing.life.fence,
        org_id: standing.org_id,
        request_id: standing.id,
        user_id: brief.user_id,
        project_id: lane.project_id,
        worker_type: lane.worker_type.clone(),
        title: brief.title,
        prompt: brief.prompt,
        instructions: kind.instructions.clone(),
        repository: brief.repository,
        branch: brief.branch,
        context: brief.context,
        harness: brief.harness.or_else(|| kind.harness.clone()),
        model: brief.model.or_else(|| kind.model.clone()),
        timeout_seconds: brief.timeout_seconds.unwrap_or(kind.timeout_seconds),
        idle_timeout_seconds: kind.idle_timeout_seconds,
        resume_session: None,
    }
}
