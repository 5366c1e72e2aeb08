//! Planning a claim: which waiting workers are served together, and how much of which lane each of them gets.
//!
//! Nothing here reads or writes the database: what is ready is what the book remembers, and taking it will tell.

use eve_core::Candidate;
use eve_core::Priority;
use eve_core::RequestId;
use eve_core::WorkerId;
use eve_store::lane::Lane;
use eve_store::queue::Pick;
use jiff::SignedDuration;

use super::CLAIM_BATCH;
use super::State;
use super::claim::Claim;
use super::demand::Demand;
use super::demand::moment;
use super::limits::Rooms;
use crate::Error;
use crate::clock;

/// Projects whose last worker is remembered before all are forgotten.
const AFFINITIES: usize = 10_000;

/// Workers that wait, taken in hand by a step.
pub(super) struct Plan {
    pub(super) demands: Vec<Demand>,
    /// What the book said when the plan was made.
    pub(super) version: u64,
}

/// A stretch to take from, and for which demands.
pub(super) struct Draw {
    pub(super) pick: Pick,
    pub(super) lane: Lane,
    /// Which group of demands gets how many, in order.
    pub(super) groups: Vec<(usize, usize)>,
}

/// Demands that may take the same and count in the same account.
pub(super) struct Group {
    demands: Vec<usize>,
    slots: usize,
    account: Option<String>,
}

impl Plan {
    pub(super) fn groups(&self, answers: &[Result<Vec<Claim>, Error>], rooms: Option<&Rooms>) -> Vec<Group> {
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
    pub(super) fn draw(
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
    pub(super) fn assign(
        &mut self,
        plan: &Plan,
        group: &Group,
        left: &mut [usize],
        lane: &Lane,
    ) -> Option<(usize, WorkerId)> {
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
