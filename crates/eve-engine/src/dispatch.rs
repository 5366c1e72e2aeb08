//! The dispatcher: gathers what workers want and report, and does it in few, large transactions.
//!
//! It waits for nothing: a step takes whatever came while the last one ran. An idle system therefore answers at once,
//! and a loaded one gathers hundreds of settlements and claims in one commit. Every process has its own and none is a
//! leader: SKIP LOCKED keeps two from taking the same request, and limits are counted under a lock. What it remembers
//! (which lanes have something, who was served) only decides where it looks first; a sweep of the queue's heads corrects
//! it, so forgetting costs time and never a request.

mod book;
mod claim;
mod demand;
mod hand_out;
mod limits;
mod plan;
mod settle;
mod submit;

use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use eve_core::Ageing;
use eve_core::FairShare;
use eve_core::LaneId;
use eve_core::ProjectId;
use eve_core::StateName;
use eve_core::WorkerId;
use eve_crash::Point;
use eve_store::Store;
use eve_store::lease::Fenced;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::Metrics;
use crate::catalog::Catalog;
use crate::clock;
use crate::hub::Hub;
use crate::transition::Aftermath;

use book::Book;
pub use claim::Claim;
use demand::Demand;
pub(crate) use demand::Wanted;
pub(crate) use settle::Ending;
use settle::Settled;
use settle::Settlement;
use submit::Submissions;
pub(crate) use submit::Submitted;

/// Most settlements in one transaction.
const SETTLE_BATCH: usize = 500;
/// Most settlements that wait for their transaction; whoever comes then is asked to come again.
const ENDINGS: usize = 50_000;
/// Most workers that wait at once; whoever comes then is asked to come again.
const DEMANDS: usize = 10_000;
/// Most requests claimed in one transaction.
const CLAIM_BATCH: usize = 500;
/// Steps that may run at once: while one waits for the disk, another may work. Only one of them claims.
const STEPS: usize = eve_store::DISPATCH_CONNECTIONS as usize;
/// Least and longest rest between two sweeps of the queue's heads.
const SWEEP: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Rest after a claim that found no room for anything.
const LIMITED_REST: Duration = Duration::from_millis(50);
/// A sweep that takes long comes more seldom: it may take up a twentieth of the time.
const SWEEP_SHARE: u32 = 20;

/// What the dispatcher remembers.
struct State {
    settlements: VecDeque<Settlement>,
    demands: Vec<Demand>,
    book: Book,
    share: FairShare,
    steps: usize,
    claiming: bool,
    next_demand: u64,
    /// Demands whose callers' time is up while a step has them in hand.
    leaving: HashSet<u64>,
    /// Whether there are concurrency limits, as far as is known.
    limited: bool,
    /// No claim before this: what is ready had no room.
    rest_until: Option<Instant>,
    /// The worker that ran something of a project last.
    affinity: HashMap<ProjectId, WorkerId>,
}

impl State {
    fn new() -> Self {
        Self {
            settlements: VecDeque::new(),
            demands: Vec::new(),
            book: Book::default(),
            share: FairShare::default(),
            steps: 0,
            claiming: false,
            next_demand: 0,
            leaving: HashSet::new(),
            limited: true,
            rest_until: None,
            affinity: HashMap::new(),
        }
    }
}

pub(crate) struct Dispatcher {
    store: Store,
    hub: Arc<Hub>,
    catalog: Arc<Catalog>,
    metrics: Metrics,
    ageing: Ageing,
    state: Mutex<State>,
    submissions: Mutex<Submissions>,
    stop: CancellationToken,
}

impl Dispatcher {
    pub(crate) fn start(
        store: Store,
        hub: Arc<Hub>,
        catalog: Arc<Catalog>,
        metrics: Metrics,
        ageing: Ageing,
    ) -> Arc<Self> {
        let this = Arc::new(Self {
            store,
            hub,
            catalog,
            metrics,
            ageing,
            state: Mutex::new(State::new()),
            submissions: Mutex::default(),
            stop: CancellationToken::new(),
        });
        tokio::spawn(sweep(Arc::downgrade(&this), this.hub.queue_news(), this.stop.clone()));
        this
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for requests until `wait` is over or `stop` fires. What is claimed is returned, or given back.
    pub(crate) async fn claim(
        self: &Arc<Self>,
        wanted: Wanted,
        wait: Duration,
        stop: &CancellationToken,
    ) -> Result<Vec<Claim>, Error> {
        let (reply, mut answer) = oneshot::channel();
        let id = {
            let mut state = self.state();
            if state.demands.len() >= DEMANDS {
                return Err(Error::unavailable());
            }
            state.enter_demand(wanted, reply)
        };
        let guard = demand::Guard::new(self, id);
        // One look at the queue itself, in case nobody told of what is in it.
        self.look_if_unsure().await?;
        self.kick();
        tokio::select! {
            biased;
            claims = &mut answer => return guard.answered(claims),
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => {}
        }
        if self.state().leave_demand(id, &self.catalog) {
            return Ok(Vec::new());
        }
        self.kick();
        // A step has this demand in hand: its answer is on the way, and must not be lost.
        guard.answered(answer.await)
    }

    /// Ends attempts. Answers with how each request stands then, or that its fence is old.
    pub(crate) async fn settle(self: &Arc<Self>, endings: Vec<(Fenced, Ending)>) -> Vec<Result<StateName, Error>> {
        let mut answers = Vec::with_capacity(endings.len());
        {
            let mut state = self.state();
            if state.settlements.len() + endings.len() > ENDINGS {
                return endings.iter().map(|_| Err(Error::unavailable())).collect();
            }
            for (fenced, ending) in endings {
                let (reply, answer) = oneshot::channel();
                state.settlements.push_back(Settlement { fenced, ending, reply: Some(reply) });
                answers.push(answer);
            }
        }
        self.kick();
        let mut out = Vec::with_capacity(answers.len());
        for answer in answers {
            out.push(answer.await.unwrap_or_else(|_| Err(Error::unavailable())));
        }
        out
    }

    /// Starts a step if there is something to do and nobody does it.
    fn kick(self: &Arc<Self>) {
        let mut state = self.state();
        while state.steps < STEPS {
            let Some(work) = self.take_work(&mut state) else { return };
            state.steps += 1;
            let this = self.clone();
            tokio::spawn(async move {
                let mut next = Some(work);
                while let Some(work) = next {
                    this.step(work).await;
                    let mut state = this.state();
                    next = this.take_work(&mut state);
                    if next.is_none() {
                        state.steps -= 1;
                    }
                }
            });
        }
    }

    fn take_work(&self, state: &mut State) -> Option<Work> {
        let count = state.settlements.len().min(SETTLE_BATCH);
        let settlements: Vec<Settlement> = state.settlements.drain(..count).collect();
        let plan = if state.claiming { None } else { state.plan(&self.catalog) };
        state.claiming |= plan.is_some();
        if plan.is_none() && !state.claiming {
            for demand in state.dismissed(&self.catalog) {
                demand.answer(Ok(Vec::new()));
            }
        }
        (!settlements.is_empty() || plan.is_some()).then_some(Work { settlements, plan })
    }

    /// One transaction for all of it; if that fails, one for each settlement, so that none suffers for another.
    async fn step(self: &Arc<Self>, mut work: Work) {
        let outcome = self.try_step(&mut work).await;
        match outcome {
            Ok(done) => {
                self.answer(&mut work.settlements, done.answers);
                self.finish(done.aftermath);
                if let Some(plan) = work.plan {
                    self.hand_out(plan, done.claimed);
                }
            }
            Err(error) if work.settlements.len() + usize::from(work.plan.is_some()) <= 1 => {
                self.fail(work, &error);
            }
            Err(error) => {
                tracing::debug!(%error, "a batch failed; its parts are tried one by one");
                for settlement in work.settlements {
                    let mut alone = Work { settlements: vec![settlement], plan: None };
                    match self.try_step(&mut alone).await {
                        Ok(done) => {
                            self.answer(&mut alone.settlements, done.answers);
                            self.finish(done.aftermath);
                        }
                        Err(error) => self.fail(alone, &error),
                    }
                }
                if let Some(plan) = work.plan {
                    self.fail(Work { settlements: Vec::new(), plan: Some(plan) }, &error);
                }
            }
        }
    }

    async fn try_step(&self, work: &mut Work) -> Result<Done, Error> {
        let mut tx = self.store.dispatch().await?;
        let mut aftermath = Aftermath::default();
        let answers = settle::write(&mut tx, &work.settlements, &mut aftermath).await?;
        let lanes: Vec<LaneId> = answers.iter().filter_map(Settled::lane).collect();
        self.catalog.learn_lanes(&mut tx, &lanes).await?;
        if !answers.is_empty() {
            eve_crash::pass(Point::SettleWritten);
        }
        let claimed = match &work.plan {
            Some(plan) => self.take(&mut tx, plan).await?,
            None => claim::Claimed::default(),
        };
        if claimed.count() > 0 {
            eve_crash::pass(Point::ClaimTaken);
        }
        tx.commit().await?;
        if !answers.is_empty() {
            eve_crash::pass(Point::SettleCommitted);
        }
        if claimed.count() > 0 {
            eve_crash::pass(Point::ClaimCommitted);
        }
        Ok(Done { answers, aftermath, claimed })
    }

    fn fail(self: &Arc<Self>, work: Work, error: &Error) {
        for mut settlement in work.settlements {
            settlement.answer(Err(error.again()));
        }
        if let Some(plan) = work.plan {
            let mut state = self.state();
            state.claiming = false;
            for demand in plan.demands {
                state.leaving.remove(&demand.id);
                demand.answer(Err(error.again()));
            }
        }
    }

    /// After a commit: tells those who ended attempts, and counts.
    fn answer(&self, settlements: &mut [Settlement], answers: Vec<Settled>) {
        for (settlement, answer) in settlements.iter_mut().zip(answers) {
            settlement.answer(match answer {
                Settled::Written { state, lane, org } => {
                    if let (Ending::Report(report), Some(lane)) = (&settlement.ending, self.catalog.known_lane(lane)) {
                        self.metrics.count_usage(&lane.worker_type, org, report);
                    }
                    Ok(state)
                }
                Settled::Repeated(state) => Ok(state),
                Settled::Stale(operation) => {
                    self.metrics.stale_write(operation);
                    Err(Error::stale())
                }
            });
        }
        self.state().rest_until = None;
    }

    /// After a commit: tells whoever waits, and looks at what became ready.
    pub(crate) fn finish(self: &Arc<Self>, aftermath: Aftermath) {
        let Aftermath { mut topics, ready, finished } = aftermath;
        for (lane, state) in finished {
            if let Some(lane) = self.catalog.known_lane(lane) {
                self.metrics.count_finished(&lane.worker_type, state);
            }
        }
        if !ready.is_empty() {
            let mut state = self.state();
            for one in &ready {
                state.book.note(one.lane, one.priority, one.id);
            }
            drop(state);
            topics.push(crate::Topic::Queue);
        }
        self.hub.wake(&topics);
        if !ready.is_empty() {
            self.kick();
        }
    }

    /// Reads the heads of all lanes, unless that was done moments ago.
    async fn look_if_unsure(self: &Arc<Self>) -> Result<(), Error> {
        if self.state().book.is_fresh(clock::instant()) { Ok(()) } else { self.look().await }
    }

    async fn look(self: &Arc<Self>) -> Result<(), Error> {
        let (begun, version) = (clock::instant(), self.state().book.version());
        let mut tx = self.store.platform().await?;
        let heads = eve_store::queue::queue_heads(&mut tx).await?;
        let limited = eve_store::limit::limit_exists(&mut tx).await?;
        let lanes: Vec<_> = heads.iter().map(|head| head.lane).collect();
        self.catalog.learn_lanes(&mut tx, &lanes).await?;
        tx.commit().await?;
        let took = clock::instant().duration_since(begun);
        let rest = (took * SWEEP_SHARE).clamp(SWEEP.0, SWEEP.1);
        let mut state = self.state();
        // Somebody may have set the first limit since.
        if limited || state.book.version() == version {
            state.limited = limited;
        }
        state.book.looked(&heads, version, clock::instant() + rest);
        Ok(())
    }

    /// Counts limits from now on, here and in other processes, and looks whether there is more room.
    pub(crate) fn limits_changed(self: &Arc<Self>) {
        {
            let mut state = self.state();
            // What was known before may be wrong now, and a look that is under way may be older than the change.
            state.limited = true;
            state.rest_until = None;
            state.book.doubt();
        }
        self.hub.wake(&[crate::Topic::Queue]);
        self.kick();
    }

    /// Stops looking by itself. What is under way ends.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }
}

/// The floor under all wake-ups.
async fn sweep(dispatcher: std::sync::Weak<Dispatcher>, news: Arc<tokio::sync::Notify>, stop: CancellationToken) {
    loop {
        let told = tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SWEEP.0) => false,
            () = news.notified() => true,
        };
        let Some(this) = dispatcher.upgrade() else { return };
        if told {
            this.state().book.doubt();
        }
        let wanted = {
            let state = this.state();
            !state.demands.is_empty() && !state.book.is_fresh(clock::instant())
        };
        if wanted && let Err(error) = this.look().await {
            tracing::debug!(%error, "the queue could not be looked at");
        }
        this.kick();
    }
}

/// What one step does.
struct Work {
    settlements: Vec<Settlement>,
    plan: Option<plan::Plan>,
}

/// What one step did.
struct Done {
    answers: Vec<Settled>,
    aftermath: Aftermath,
    claimed: claim::Claimed,
}
