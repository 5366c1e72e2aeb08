//! Requests of all kinds, so that every seam is passed: with and without keys, due later, waiting for others, called
//! off, with a repository, failing, and with a worker that dies.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::ensure;
use eve_crash::Point;
use jiff::Timestamp;
use sqlx::PgConnection;
use tokio::task::JoinHandle;

use super::SLOTS;
use crate::bed::Bed;
use crate::evidence::client::Client;
use crate::evidence::client::Expect;
use crate::evidence::client::Work;
use crate::evidence::database;
use crate::world::WorkerPlan;

/// Most rounds under way: a server that is down is asked no more than that.
const ROUNDS: usize = 3;
/// Most requests that wait or run: a queue that grows would make everything wait, and nothing crash.
const BACKLOG: u64 = 12;
/// Least time between two rounds.
const REST: Duration = Duration::from_millis(250);
/// Plain requests in a round.
const PLAIN: usize = 6;
/// A chain that fails from its head on, longer than one transaction follows.
const CHAIN: usize = 11;
/// When a request that is called off would be due.
const FAR: Duration = Duration::from_secs(3600);
/// When a request is due that the promoter queues.
const NEAR: Duration = Duration::from_millis(300);

/// Keeps requests flowing.
pub(super) struct Traffic {
    rounds: Vec<JoinHandle<()>>,
    last: Option<Instant>,
    count: usize,
    repository: PathBuf,
    spare: Option<usize>,
    spare_since: Instant,
    conn: PgConnection,
}

impl Traffic {
    /// Makes the repository that some of the work is done in.
    pub(super) async fn new(bed: &mut Bed) -> anyhow::Result<Self> {
        let repository = bed.world.path("repository");
        git(&["init", "--quiet", "--initial-branch=main", &repository.to_string_lossy()])?;
        let inside = repository.to_string_lossy().into_owned();
        let person = ["-c", "user.name=torture", "-c", "user.email=torture@localhost"];
        let commit = ["-C", &inside, "commit", "--quiet", "--allow-empty", "--message=empty"];
        git(&[&person[..], &commit[..]].concat())?;
        Ok(Self {
            rounds: Vec::new(),
            last: None,
            count: 0,
            repository,
            spare: None,
            spare_since: Instant::now(),
            conn: bed.look().await?,
        })
    }

    /// Starts a round if it is time for one.
    pub(super) async fn go_on(&mut self, bed: &mut Bed, point: Point) -> anyhow::Result<()> {
        self.rounds.retain(|round| !round.is_finished());
        self.lose_a_worker(bed, point).await?;
        if self.rounds.len() >= ROUNDS || self.last.is_some_and(|last| last.elapsed() < REST) {
            return Ok(());
        }
        if database::busy(&mut self.conn).await? > BACKLOG {
            return Ok(());
        }
        self.last = Some(Instant::now());
        self.count += 1;
        let gate = bed.world.path(&format!("gate-{}", self.count));
        self.rounds.push(tokio::spawn(round(bed.client.clone(), point, self.repository.clone(), gate)));
        Ok(())
    }

    /// Points of the reaper need workers that are lost, and points of entering workers that enter.
    async fn lose_a_worker(&mut self, bed: &mut Bed, point: Point) -> anyhow::Result<()> {
        let lose = matches!(point, Point::ReaperExpired | Point::ReaperTaken | Point::ReaperCommitted);
        if !lose && point != Point::WorkerEntered {
            return Ok(());
        }
        let rest = if lose { Duration::from_millis(1_500) } else { Duration::from_millis(400) };
        if self.spare.is_some() && self.spare_since.elapsed() < rest {
            return Ok(());
        }
        if let Some(index) = self.spare.take() {
            bed.world.kill_worker(index);
        }
        let plan = WorkerPlan { slots: SLOTS, ..WorkerPlan::default() };
        self.spare = Some(bed.world.add_worker(&plan).await?);
        self.spare_since = Instant::now();
        Ok(())
    }

    /// Waits until everything that was begun is asked.
    pub(super) async fn ended(&mut self) -> anyhow::Result<()> {
        for round in self.rounds.drain(..) {
            round.await?;
        }
        Ok(())
    }

    /// How many requests must complete: half of the plain ones, since those without a key may get lost unheard.
    pub(super) const fn minimum(&self) -> usize {
        self.count * PLAIN / 2
    }

    /// Looks whether branches hold what the attempts of the results made: how many do, and which do not.
    pub(super) async fn branches(&self, bed: &Bed) -> anyhow::Result<(usize, Vec<String>)> {
        let evidence = bed.evidence().await?;
        let (mut right, mut wrong) = (0, Vec::new());
        for record in &evidence.records.requests {
            let Some(result) = &record.result else { continue };
            let (Some(branch), Some(attempt)) = (&result.branch, result.attempt) else { continue };
            let object = format!("{branch}:result.txt");
            let show = ["-C", &self.repository.to_string_lossy(), "show", &object].map(str::to_owned);
            let output = Command::new("git").args(show).output()?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if text.trim_end().ends_with(&attempt.to_string()) {
                right += 1;
            } else {
                wrong.push(format!("{} on {branch}", record.id));
            }
        }
        Ok((right, wrong))
    }
}

fn git(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("git").args(arguments).output().context("git")?;
    ensure!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn due_in(time: Duration) -> String {
    Timestamp::now().saturating_add(time).unwrap_or_default().to_string()
}

async fn round(client: Client, point: Point, repository: PathBuf, gate: PathBuf) {
    let mut works: Vec<Work> = (0..PLAIN)
        .map(|index| Work { keyed: index % 2 == 0, ..Work::of(20 + 40 * u64::try_from(index).unwrap_or_default()) })
        .collect();
    if matches!(point, Point::PromoterTaken | Point::PromoterCommitted) {
        works.extend((0..2).map(|_| Work::of(20).with("run_at", due_in(NEAR))));
    }
    if matches!(point, Point::HandOverBegun | Point::HandedOver) {
        let of_repository =
            || Work::of(20).told("write=result.txt").with("repository", repository.to_string_lossy().into_owned());
        works.extend((0..2).map(|_| of_repository()));
    }
    if point == Point::TransitionAttempts {
        // An attempt that succeeds is recorded with its result.
        works.extend((0..PLAIN).map(|_| Work::of(20).told("exit=3").expecting(Expect::Failed("agent_failed"))));
    }
    client.ask_all(works, PLAIN).await;
    if point == Point::RequestAloneCommitted {
        dependants(&client).await;
    }
    if point == Point::ChangeCommitted {
        call_off(&client).await;
    }
    if matches!(point, Point::ReleaseTaken | Point::ReleaseCommitted) {
        chain(&client, gate).await;
    }
}

/// Asks for something, and for more that waits for it.
async fn dependants(client: &Client) {
    let Some(first) = client.ask(&Work::of(20)).await else { return };
    let after = |index: usize| {
        Work { keyed: index.is_multiple_of(2), ..Work::of(20) }.with("blocked_by", vec![first.to_string()])
    };
    client.ask_all((0..PLAIN).map(after).collect(), PLAIN).await;
}

/// Asks for something far off, and calls it off until that is heard.
async fn call_off(client: &Client) {
    let far = Work::of(20).with("run_at", due_in(FAR)).expecting(Expect::Cancelled);
    let Some(id) = client.ask(&far).await else { return };
    while !matches!(client.cancel(id).await.map(|cancel| cancel.code), Some(200 | 409)) {
        tokio::time::sleep(REST).await;
    }
}

/// A request that fails once everything waits for it.
async fn chain(client: &Client, gate: PathBuf) {
    let head = Work::of(20).told(format!("gate={}", gate.display())).told("exit=3");
    let mut before = client.ask(&head.expecting(Expect::Failed("agent_failed"))).await;
    for _ in 1..CHAIN {
        let Some(id) = before else { break };
        let next = Work::of(20).with("blocked_by", vec![id.to_string()]);
        before = client.ask(&next.expecting(Expect::Failed("dependency_failed"))).await;
    }
    // Without it, the head would work for ever.
    let _ = std::fs::write(gate, "");
}
