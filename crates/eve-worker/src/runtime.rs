//! The worker: claims, runs what it claimed, says that it is alive, and leaves nothing behind when it goes.

use std::collections::HashMap;
use std::collections::HashSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use eve_api_types::Assignment;
use eve_api_types::AttemptSignal;
use eve_api_types::ClaimRequest;
use eve_api_types::FencedAttempt;
use eve_api_types::HarnessInfo;
use eve_api_types::HeartbeatRequest;
use eve_api_types::RegisterRequest;
use eve_api_types::WorkerState;
use eve_core::AttemptId;
use eve_crash::Point;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::attempt;
use crate::attempt::Over;
use crate::attempt::Tools;
use crate::boot_time::BootTime;
use crate::control_plane::ControlPlane;
use crate::control_plane::PlaneError;
use crate::endings::Ending;
use crate::endings::Endings;
use crate::inventory::HostEnvironment;
use crate::inventory::Inventory;
use crate::keeper;
use crate::session::Session;
use crate::supervisor::Directive;
use crate::supervisor::Reins;
use crate::workspace::WorkspaceError;
use crate::workspace::WorkspaceOptions;
use crate::workspace::Workspaces;

/// How long a claim waits for work.
const CLAIM_WAIT: Duration = Duration::from_secs(20);
/// First and longest rest when the control plane does not answer.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How long a worker without room on its disk claims nothing before it looks again.
const DISK_REST: Duration = Duration::from_secs(1);
/// How often leftovers of earlier attempts are looked for, and how old they must be.
const LEFTOVERS: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(3600));

/// What a worker is and has.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Host and process, for people.
    pub name: String,
    /// What it serves; `*` for everything.
    pub worker_types: Vec<String>,
    /// Attempts at once.
    pub slots: u32,
    /// The account that the agents are signed in with, where a concurrency limit shall count by it.
    pub account: Option<String>,
    /// Where workspaces live.
    pub workspaces: PathBuf,
    /// How workspaces are made.
    pub workspace: WorkspaceOptions,
    /// The command that starts a keeper: this program and `keeper`.
    pub keeper: Vec<OsString>,
    /// The worker's own environment.
    pub host: HostEnvironment,
    /// How long running attempts may go on when the worker is to stop.
    pub drain: Duration,
}

/// An attempt that is being run.
struct Live {
    fenced: FencedAttempt,
    directive: watch::Sender<Directive>,
}

type LiveMap = Mutex<HashMap<AttemptId, Arc<Live>>>;

fn lock(live: &LiveMap) -> MutexGuard<'_, HashMap<AttemptId, Arc<Live>>> {
    live.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A worker that has been entered.
pub struct Worker {
    tools: Arc<Tools>,
    options: WorkerOptions,
    registration: RegisterRequest,
    session: Mutex<Arc<Session>>,
    endings: Endings,
    live: LiveMap,
    /// Nobody waits for what runs any more.
    leaving: CancellationToken,
}

impl Worker {
    /// Makes the workspaces and enters the worker, trying until the control plane answers.
    ///
    /// # Errors
    /// When the workspaces cannot be written, or the control plane refuses.
    pub async fn enter(
        plane: Arc<dyn ControlPlane>,
        inventory: Inventory,
        options: WorkerOptions,
    ) -> Result<Self, WorkerError> {
        let workspaces = Workspaces::new(options.workspaces.clone(), options.workspace.clone())?;
        let registration = RegisterRequest {
            name: options.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            worker_types: options.worker_types.clone(),
            harnesses: inventory
                .entries
                .iter()
                .map(|entry| HarnessInfo {
                    name: entry.name.clone(),
                    kind: entry.kind.name().to_owned(),
                    version: entry.version.clone(),
                    signed_in: entry.signed_in.word().to_owned(),
                })
                .collect(),
            slots: options.slots,
            account: options.account.clone(),
        };
        let mut rest = RETRY.0;
        let (answer, asked_at) = loop {
            let asked_at = BootTime::now();
            match plane.worker_register(&registration).await {
                Ok(answer) => break (answer, asked_at),
                Err(PlaneError::Unavailable(error)) => {
                    tracing::warn!(error, ?rest, "cannot enter yet");
                    tokio::time::sleep(rest).await;
                    rest = (rest * 2).min(RETRY.1);
                }
                Err(error @ (PlaneError::Refused(_) | PlaneError::Stale)) => return Err(error.into()),
            }
        };
        eve_crash::pass(Point::Entered);
        let endings = Endings::start(plane.clone());
        let tools = Tools {
            plane,
            workspaces,
            inventory,
            host: options.host.clone(),
            keeper: options.keeper.clone(),
            name: options.name.clone(),
        };
        Ok(Self {
            options,
            registration,
            session: Mutex::new(Arc::new(Session::new(&answer, asked_at))),
            endings,
            live: Mutex::default(),
            leaving: CancellationToken::new(),
            tools: Arc::new(tools),
        })
    }

    fn session(&self) -> Arc<Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Works until told to stop, then lets running attempts end, or gives them back when the drain limit is over or
    /// `hurry` says so.
    pub async fn run(self, stop: CancellationToken, hurry: CancellationToken) {
        let this = Arc::new(self);
        let gone = CancellationToken::new();
        let heartbeat = tokio::spawn(this.clone().beat(stop.clone(), gone.clone()));
        let leftovers = tokio::spawn(this.clone().tidy(gone.clone()));
        let tasks = TaskTracker::new();
        this.claim_until(&stop, &tasks).await;
        tasks.close();
        this.drain(&tasks, &hurry).await;
        // Heartbeats went on until the last attempt was settled.
        gone.cancel();
        for task in [heartbeat, leftovers] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the worker failed");
            }
        }
    }

    async fn claim_until(self: &Arc<Self>, stop: &CancellationToken, tasks: &TaskTracker) {
        let mut rest = RETRY.0;
        let slots = Arc::new(tokio::sync::Semaphore::new(self.options.slots as usize));
        let mut had_room = true;
        while !stop.is_cancelled() {
            let first = tokio::select! {
                () = stop.cancelled() => return,
                permit = slots.clone().acquire_owned() => permit,
            };
            let Ok(first) = first else { return };
            let free = slots.available_permits();
            let session = self.session();
            if session.is_over() {
                // What is claimed now would have to be given back at once.
                tokio::time::sleep(RETRY.0).await;
                continue;
            }
            // Whatever began here would fail, and whoever fails soonest gets the most.
            let has_room = self.tools.workspaces.has_room();
            if has_room != had_room {
                tracing::warn!(has_room, "the disk of the workspaces: nothing is claimed without room");
                had_room = has_room;
            }
            if !has_room {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(DISK_REST) => continue,
                }
            }
            let request = ClaimRequest {
                worker_id: session.id,
                worker_types: self.options.worker_types.clone(),
                limit: u32::try_from(free + 1).unwrap_or(u32::MAX),
                wait_ms: u64::try_from(CLAIM_WAIT.as_millis()).unwrap_or(u64::MAX),
            };
            let answer = tokio::select! {
                () = stop.cancelled() => return,
                answer = self.tools.plane.queue_claim(&request) => answer,
            };
            match answer {
                Ok(answer) => {
                    rest = RETRY.0;
                    if !answer.assignments.is_empty() {
                        eve_crash::pass(Point::Claimed);
                    }
                    let mut permits = vec![first];
                    for assignment in answer.assignments {
                        let permit = match permits.pop() {
                            Some(permit) => permit,
                            None => match slots.clone().acquire_owned().await {
                                Ok(permit) => permit,
                                Err(_) => return,
                            },
                        };
                        let (this, session) = (self.clone(), session.clone());
                        tasks.spawn(async move {
                            this.carry_out(&session, assignment).await;
                            drop(permit);
                        });
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, ?rest, "cannot claim");
                    tokio::time::sleep(rest).await;
                    rest = (rest * 2).min(RETRY.1);
                }
            }
        }
    }

    /// An attempt belongs to the session that it was claimed with, whatever the worker is called by now.
    async fn carry_out(&self, session: &Session, assignment: Assignment) {
        let Assignment { request_id, attempt_id, fence, .. } = assignment;
        let fenced = FencedAttempt { request_id, attempt_id, fence };
        let (directive, told) = watch::channel(Directive::Run);
        let live = Arc::new(Live { fenced, directive });
        // First be found by whoever gives the session up, then ask whether that has been.
        lock(&self.live).insert(assignment.attempt_id, live.clone());
        tracing::info!(
            request_id = %assignment.request_id, attempt_id = %assignment.attempt_id, org_id = %assignment.org_id,
            worker_type = assignment.worker_type, number = assignment.number, "attempt begins"
        );
        let over = if session.is_given_up() {
            tracing::warn!(%request_id, %attempt_id, "claimed by a worker that was given up since");
            Over::Release
        } else {
            let reins = Reins { directive: told, lease_until: session.lease_until() };
            attempt::run(&self.tools, &assignment, fenced, reins).await
        };
        eve_crash::pass(Point::EndTold);
        self.conclude(session, &assignment, &live, over).await;
        eve_crash::pass(Point::EndHeard);
        lock(&self.live).remove(&assignment.attempt_id);
        if let Err(error) = self.tools.workspaces.cleanup(assignment.attempt_id).await {
            tracing::warn!(attempt_id = %assignment.attempt_id, error = error.explain(), "a workspace stays behind");
        }
    }

    /// Tells the control plane until it answers, or says that the lease is gone. An end that nobody hears of would leave
    /// the request with a worker that is alive and does not run it. Only who leaves, and is silent for longer than its
    /// lease, need not tell: it will be missed.
    async fn conclude(&self, session: &Session, assignment: &Assignment, live: &Live, over: Over) {
        let attempt_id = assignment.attempt_id;
        let request_id = assignment.request_id;
        let mut rest = RETRY.0;
        loop {
            let told = match &over {
                Over::Report(report) => self.endings.tell(live.fenced, Ending::Report(report.clone())).await,
                Over::Release => self.endings.tell(live.fenced, Ending::Release).await.map(|_| "given back"),
                Over::Abandon => Ok("abandoned, its lease was given away"),
            };
            match told {
                Ok(status) => {
                    tracing::info!(%request_id, %attempt_id, status, "attempt over");
                    return;
                }
                Err(PlaneError::Stale) => {
                    tracing::warn!(%request_id, %attempt_id, "attempt over, but its lease was given away");
                    return;
                }
                Err(PlaneError::Refused(error)) => {
                    tracing::error!(%request_id, %attempt_id, error, "the end of an attempt was refused");
                    return;
                }
                Err(PlaneError::Unavailable(error)) => {
                    let lost = *live.directive.borrow() == Directive::Lost;
                    if lost || (self.leaving.is_cancelled() && session.is_over()) {
                        tracing::warn!(%request_id, %attempt_id, error, lost, "attempt over, its end untold");
                        return;
                    }
                    tracing::warn!(%request_id, %attempt_id, error, ?rest, "the end of an attempt cannot be told yet");
                    tokio::time::sleep(rest).await;
                    rest = (rest * 2).min(RETRY.1);
                }
            }
        }
    }

    async fn drain(&self, tasks: &TaskTracker, hurry: &CancellationToken) {
        if tasks.is_empty() {
            return;
        }
        tracing::info!(running = tasks.len(), limit = ?self.options.drain, "waiting for running attempts");
        let ended = tokio::select! {
            () = tasks.wait() => true,
            () = hurry.cancelled() => false,
            () = tokio::time::sleep(self.options.drain) => false,
        };
        if !ended {
            self.leaving.cancel();
            let running: Vec<Arc<Live>> = lock(&self.live).values().cloned().collect();
            tracing::info!(running = running.len(), "giving running attempts back");
            for live in running {
                live.directive.send_if_modified(|directive| {
                    let change = *directive == Directive::Run;
                    if change {
                        *directive = Directive::Shutdown;
                    }
                    change
                });
            }
            tasks.wait().await;
        }
    }

    async fn beat(self: Arc<Self>, stop: CancellationToken, gone: CancellationToken) {
        let mut rest = RETRY.0;
        loop {
            let session = self.session();
            let attempts: Vec<Arc<Live>> = lock(&self.live).values().cloned().collect();
            let last = gone.is_cancelled();
            let state = match (last, stop.is_cancelled()) {
                (true, _) => WorkerState::Stopped,
                (false, true) => WorkerState::Draining,
                (false, false) => WorkerState::Active,
            };
            let request = HeartbeatRequest {
                worker_id: session.id,
                state,
                attempts: attempts.iter().map(|live| live.fenced).collect(),
            };
            let wait = if last { Duration::ZERO } else { session.heartbeat };
            let sent_at = BootTime::now();
            let answer = tokio::select! {
                answer = self.tools.plane.worker_heartbeat(&request, wait) => answer,
                // There is something else to say. Nothing is lost with an answer that nobody waits for: the lease holds at
                // least as long as is known.
                () = stop.cancelled(), if state == WorkerState::Active => continue,
                () = gone.cancelled(), if !last => continue,
            };
            match answer {
                Ok(answer) => {
                    rest = RETRY.0;
                    // What is lost must not have the new time.
                    for (live, signal) in attempts.iter().zip(answer.signals) {
                        heed(live, signal);
                    }
                    session.heard(sent_at);
                }
                Err(PlaneError::Unavailable(error)) => {
                    tracing::warn!(error, "the heartbeat was not heard");
                    if !last {
                        tokio::time::sleep(rest).await;
                        rest = (rest * 2).min(RETRY.1);
                    }
                }
                Err(error @ (PlaneError::Refused(_) | PlaneError::Stale)) => {
                    tracing::warn!(%error, running = attempts.len(), "this worker was given up; entering again");
                    session.give_up();
                    for live in lock(&self.live).values() {
                        heed(live, AttemptSignal::Lost);
                    }
                    let asked_at = BootTime::now();
                    if !last && let Ok(answer) = self.tools.plane.worker_register(&self.registration).await {
                        let next = Arc::new(Session::new(&answer, asked_at));
                        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = next;
                        // The new lease runs: what went wrong before must not delay its first heartbeat.
                        rest = RETRY.0;
                    }
                    tokio::time::sleep(rest).await;
                }
            }
            if last {
                return;
            }
            // The call itself waits. A claim or an end changes what the next heartbeat must carry, but none is urgent: a
            // lease outlives several of them, and a wish to stop what is not named yet ends the wait.
            let left = (sent_at + session.heartbeat).left();
            tokio::select! {
                () = gone.cancelled() => {}
                () = tokio::time::sleep(left.min(RETRY.0)) => {}
            }
        }
    }

    async fn tidy(self: Arc<Self>, gone: CancellationToken) {
        loop {
            match tokio::task::spawn_blocking(keeper::clear_leftovers).await {
                Ok(0) => {}
                Ok(cgroups) => tracing::warn!(cgroups, "ended what killed keepers had left"),
                Err(error) => tracing::error!(%error, "what killed keepers left was not looked for"),
            }
            let live: HashSet<AttemptId> = lock(&self.live).keys().copied().collect();
            match self.tools.workspaces.collect_leftovers(&live, LEFTOVERS.1).await {
                Ok(done) if done.attempts > 0 => tracing::info!(attempts = done.attempts, "removed old workspaces"),
                Ok(_) => {}
                Err(error) => tracing::warn!(error = error.explain(), "old workspaces stay behind"),
            }
            tokio::select! {
                () = gone.cancelled() => return,
                () = tokio::time::sleep(LEFTOVERS.0) => {}
            }
        }
    }
}

fn heed(live: &Live, signal: AttemptSignal) {
    match signal {
        AttemptSignal::Continue => {}
        AttemptSignal::Stop => {
            live.directive.send_if_modified(|directive| {
                let change = *directive == Directive::Run;
                if change {
                    *directive = Directive::Stop;
                }
                change
            });
        }
        AttemptSignal::Lost => {
            live.directive.send_replace(Directive::Lost);
        }
    }
}

/// A worker could not be entered.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The workspaces cannot be written.
    #[error("workspaces")]
    Workspaces(#[from] WorkspaceError),
    /// The control plane refused.
    #[error("entering")]
    Enter(#[from] PlaneError),
}

#[cfg(test)]
mod tests;
