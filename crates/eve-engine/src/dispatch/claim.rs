//! Claiming: what the waiting workers get, chosen fairly, in one transaction.

use std::collections::HashMap;

use eve_core::AttemptId;
use eve_core::Candidate;
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
use jiff::SignedDuration;

use super::CLAIM_BATCH;
use super::Dispatcher;
use super::State;
use super::book::Taken;
use super::demand::Demand;
use super::demand::moment;
use super::limits::Rooms;
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

/// Projects whose last worker is remembered before all are forgotten.
const AFFINITIES: usize = 10_000;

/// Workers that wait, taken in hand by a step.
pub(super) struct Plan {
    pub(super) demands: Vec<Demand>,
    /// What the book said when the plan was made.
    version: u64,
}

/// What a step claimed.
#[derive(Default)]
pub(super) struct Claimed {
    /// For each demand, or why it gets nothing.
    answers: Vec<Result<Vec<Claim>, Error>>,
    taken: Vec<Taken>,
    limited: bool,
}

impl Claimed {
    /// How many requests, for all workers.
    pub(super) fn count(&self) -> usize {
        self.answers.iter().filter_map(|answer| answer.as_ref().ok()).map(Vec::len).sum()
    }
}

/// A stretch to take from, and for which demands.
struct Draw {
    pick: Pick,
    lane: Lane,
    /// Which group of demands gets how many, in order.
    groups: Vec<(usize, usize)>,
}

/// Demands that may take the same and count in the same account.
struct Group {
    demands: Vec<usize>,
    slots: usize,
    account: Option<String>,
}

impl Plan {
    fn groups(&self, answers: &[Result<Vec<Claim>, Error>], rooms: Option<&Rooms>) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        let mut total = CLAIM_BATCH;
        for (index, demand) in self.demands.iter().enumerate() {
            if answers.get(index).is_none_or(Result::is_err) {
                continue;
            }
            let slots = demand.wanted.limit.min(total);
            total -= slots;
            let account = rooms.and_then(|rooms| rooms.accounts.get(&demand.wanted.worker).cloned());
            let same = groups.iter_mut().find(|group| {
                group.account == account
                    && group
                        .demands
                        .first()
                        .and_then(|first| self.demands.get(*first))
                        .is_some_and(|first| first.wanted.types == demand.wanted.types)
            });
            match same {
                Some(group) => {
                    group.demands.push(index);
                    group.slots += slots;
                }
                None => groups.push(Group { demands: vec![index], slots, account }),
            }
        }
        groups
    }
}

impl State {
    /// Whether something is ready that a demand takes.
    pub(super) fn has_for(&self, demand: &Demand, catalog: &crate::catalog::Catalog) -> bool {
        self.book
            .ready()
            .any(|(lane, ..)| catalog.known_lane(lane).is_some_and(|lane| demand.serves(&lane.worker_type)))
    }

    pub(super) fn is_resting(&self) -> bool {
        self.rest_until.is_some_and(|until| clock::instant() < until)
    }

    /// Takes the waiting demands in hand, if anything is ready for any of them.
    pub(super) fn plan(&mut self, catalog: &crate::catalog::Catalog) -> Option<Plan> {
        if self.is_resting() || !self.demands.iter().any(|demand| self.has_for(demand, catalog)) {
            return None;
        }
        self.rest_until = None;
        Some(Plan { demands: std::mem::take(&mut self.demands), version: self.book.version() })
    }

    /// Decides what to take from where.
    fn draw(
        &mut self,
        plan: &Plan,
        groups: &[Group],
        catalog: &crate::catalog::Catalog,
        ageing: eve_core::Ageing,
        mut rooms: Option<&mut Rooms>,
    ) -> Vec<Draw> {
        let now = clock::now().as_millisecond();
        let mut ready: Vec<(Lane, Priority, RequestId, RequestId)> = self
            .book
            .ready()
            .filter_map(|(lane, priority, after, head)| Some((catalog.known_lane(lane)?, priority, after, head)))
            .collect();
        ready.sort_unstable_by_key(|(.., head)| *head);
        let mut draws: Vec<Draw> = ready
            .iter()
            .map(|(lane, priority, after, _)| Draw {
                pick: Pick { lane: lane.id, priority: *priority, after: *after, want: 0 },
                lane: lane.clone(),
                groups: Vec::new(),
            })
            .collect();
        for (number, group) in groups.iter().enumerate() {
            let Some(first) = group.demands.first().and_then(|first| plan.demands.get(*first)) else { continue };
            let eligible: Vec<usize> = (0..ready.len())
                .filter(|index| ready.get(*index).is_some_and(|one| first.serves(&one.0.worker_type)))
                .collect();
            let candidates: Vec<Candidate> = eligible
                .iter()
                .filter_map(|index| ready.get(*index))
                .map(|(lane, priority, _, head)| {
                    let waited = SignedDuration::from_millis(now - moment(*head));
                    Candidate { org: lane.org_id, level: ageing.level(*priority, waited) }
                })
                .collect();
            let account = group.account.as_deref();
            let grants = self.share.divide(&candidates, group.slots, |candidate| {
                let lane = eligible.get(candidate).and_then(|index| ready.get(*index)).map(|one| &one.0);
                match (rooms.as_deref_mut(), lane) {
                    (Some(rooms), Some(lane)) => rooms.admit(lane, account),
                    (None, _) | (_, None) => true,
                }
            });
            for (index, grant) in eligible.into_iter().zip(grants).filter(|(_, grant)| *grant > 0) {
                if let Some(draw) = draws.get_mut(index) {
                    draw.pick.want += i32::try_from(grant).unwrap_or(i32::MAX);
                    draw.groups.push((number, grant));
                }
            }
        }
        draws.retain(|draw| draw.pick.want > 0);
        draws
    }

    /// Which demand of a group gets a request: the worker that ran the project last, if it has a slot, since it has the
    /// repository at hand; otherwise the one that waits longest.
    fn assign(&mut self, plan: &Plan, group: &Group, left: &mut [usize], lane: &Lane) -> Option<(usize, WorkerId)> {
        let free = |index: &&usize| left.get(**index).is_some_and(|slots| *slots > 0);
        let last = lane.project_id.and_then(|project| self.affinity.get(&project).copied());
        let worker = |index: usize| plan.demands.get(index).map(|demand| demand.wanted.worker);
        let liked = last.and_then(|last| group.demands.iter().filter(free).find(|index| worker(**index) == Some(last)));
        let index = *liked.or_else(|| group.demands.iter().find(free))?;
        if let Some(slots) = left.get_mut(index) {
            *slots -= 1;
        }
        let worker = worker(index)?;
        if let Some(project) = lane.project_id {
            if self.affinity.len() > AFFINITIES {
                self.affinity.clear();
            }
            self.affinity.insert(project, worker);
        }
        Some((index, worker))
    }
}

/// A request that was taken, and for whom.
struct Given {
    standing: Standing,
    lease: LeaseFacts,
    demand: usize,
    lane: Lane,
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
        let rows: Vec<(Standing, LeaseFacts)> =
            given.iter().map(|one| (one.standing.clone(), one.lease.clone())).collect();
        lease::lease_enter(tx, &rows).await?;
        for (demand, claim) in self.brief(tx, given).await? {
            if let Some(Ok(claims)) = answers.get_mut(demand) {
                claims.push(claim);
            }
        }
        Ok(Claimed { answers, taken, limited })
    }

    /// Gives what was taken to demands, most urgent first.
    fn allot(
        &self,
        plan: &Plan,
        groups: &[Group],
        draws: &[Draw],
        rows: Vec<Standing>,
    ) -> Result<(Vec<Given>, Vec<Taken>), Error> {
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
                    given.push(give(standing, worker_id, demand, draw.lane.clone())?);
                }
            }
        }
        Ok((given, taken))
    }

    /// Adds what the attempts need to know.
    async fn brief(&self, tx: &mut PlatformTx, given: Vec<Given>) -> Result<Vec<(usize, Claim)>, Error> {
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
        let lanes: HashMap<LaneId, &Lane> = given.iter().map(|one| (one.lane.id, &one.lane)).collect();
        let kinds = self.catalog.types_of(tx, lanes.into_values()).await?;
        let mut claims = Vec::with_capacity(given.len());
        for one in &given {
            let id = one.standing.id;
            let (Some(brief), Some(kind)) = (briefs.remove(&id), kinds.get(&one.lane.id)) else {
                return Err(Error::new(ErrorKind::Internal, format!("Request {id} is in the queue and nowhere else.")));
            };
            let mut claim = claim(&one.standing, one.lease.attempt_id, &one.lane, brief, kind);
            claim.resume_session = sessions.remove(&id);
            claims.push((one.demand, claim));
        }
        Ok(claims)
    }

    /// After the commit: the claims go out, and those that nobody waits for any more go back.
    pub(super) fn hand_out(self: &std::sync::Arc<Self>, plan: Plan, claimed: Claimed) {
        let mut unheard = Vec::new();
        let mut topics = Vec::new();
        let count = claimed.count();
        self.metrics.count_claims(count);
        let mut state = self.state();
        state.claiming = false;
        // Only a look at what is there now may say that there are none: this claim may have counted before there were.
        state.limited |= claimed.limited;
        let version = plan.version;
        claimed.taken.iter().for_each(|taken| state.book.took(taken, version));
        if count == 0 && claimed.limited {
            // What is ready has no room: look again when something ends, or soon.
            state.rest_until = Some(clock::instant() + super::LIMITED_REST);
        }
        for (demand, answer) in plan.demands.into_iter().zip(claimed.answers) {
            let leaving = state.leaving.remove(&demand.id);
            match answer {
                Ok(claims)
                    if claims.is_empty()
                        && (!leaving || (!state.is_resting() && state.has_for(&demand, &self.catalog))) =>
                {
                    if leaving {
                        state.leaving.insert(demand.id);
                    }
                    state.demands.push(demand);
                }
                answer => {
                    if let Ok(claims) = &answer {
                        topics.extend(claims.iter().map(|claim| crate::Topic::Request(claim.request_id)));
                    }
                    unheard.extend(demand.answer(answer));
                }
            }
        }
        let resting = state.is_resting();
        drop(state);
        self.hub.wake(&topics);
        self.give_back(unheard);
        if resting {
            let this = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(super::LIMITED_REST).await;
                this.kick();
            });
        }
    }

    /// Releases claims whose worker went away before it heard of them.
    pub(super) fn give_back(self: &std::sync::Arc<Self>, claims: Vec<Claim>) {
        if claims.is_empty() {
            return;
        }
        tracing::debug!(count = claims.len(), "claims that nobody waited for are given back");
        let mut state = self.state();
        state.settlements.extend(claims.into_iter().map(|claim| super::Settlement {
            fenced: (claim.request_id, claim.fence),
            ending: super::Ending::Release,
            reply: None,
        }));
        drop(state);
        self.kick();
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

fn give(mut standing: Standing, worker_id: WorkerId, demand: usize, lane: Lane) -> Result<Given, Error> {
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
