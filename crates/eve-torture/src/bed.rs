//! A world, a client and a look into the database: what every scenario starts with and ends with.

use std::time::Duration;
use std::time::Instant;

use anyhow::ensure;
use eve_core::RequestId;
use sqlx::PgConnection;

use crate::checker;
use crate::checker::Verdict;
use crate::evidence::Evidence;
use crate::evidence::client::Client;
use crate::evidence::client::Work;
use crate::evidence::database;
use crate::evidence::world;
use crate::say::say;
use crate::wait::QUIET;
use crate::wait::SOON;
use crate::wait::until;
use crate::world::Settings;
use crate::world::WorkerPlan;
use crate::world::World;
use crate::world::program;

/// Findings that are shown with all that the ledgers have on them.
const SHOWN: usize = 5;
/// Lines of a ledger that are shown of one request.
const SHOWN_LINES: usize = 40;

/// A world with somebody who asks it for things.
pub(crate) struct Bed {
    pub(crate) world: World,
    pub(crate) client: Client,
}

impl Bed {
    /// Starts a world.
    pub(crate) async fn start(settings: Settings) -> anyhow::Result<Self> {
        let world = World::start(settings).await?;
        let servers = world.servers.iter().map(|server| server.front.url()).collect();
        let client = Client::new(servers, &world.api_key()?, program("torture-agent")?, world.world_dir())?;
        Ok(Self { world, client })
    }

    /// Starts so many workers, and waits until they are entered.
    pub(crate) async fn add_workers(&mut self, count: usize, plan: &WorkerPlan) -> anyhow::Result<()> {
        let before = self.world.workers.len();
        let servers = self.world.servers.len().max(1);
        for index in 0..count {
            self.world.add_worker(&WorkerPlan { server: (before + index) % servers, ..plan.clone() }).await?;
        }
        self.workers_entered().await
    }

    /// Waits until every worker that was started says that it works.
    pub(crate) async fn workers_entered(&mut self) -> anyhow::Result<()> {
        let workers = &mut self.world.workers;
        until("the workers are entered", SOON, async || {
            let mut ready = true;
            for worker in workers.iter_mut() {
                let log = worker.daemon.log();
                let works = log.contains("Working:");
                ensure!(works || worker.daemon.has_ended().is_none(), "{} did not start: {log}", worker.daemon.name);
                ready &= works;
            }
            Ok(ready.then_some(()))
        })
        .await
    }

    /// Asks for many things in the background.
    pub(crate) fn ask(&self, works: Vec<Work>, at_once: usize) -> tokio::task::JoinHandle<Vec<Option<RequestId>>> {
        let client = self.client.clone();
        tokio::spawn(async move { client.ask_all(works, at_once).await })
    }

    /// A look into the database.
    pub(crate) async fn look(&self) -> anyhow::Result<PgConnection> {
        database::connect(&self.world.database).await
    }

    /// Waits until nothing is unfinished, or for as long as that may take. Says whether it came to that.
    pub(crate) async fn quiet(&self) -> anyhow::Result<bool> {
        self.quiet_within(QUIET).await
    }

    /// The same, with another limit.
    pub(crate) async fn quiet_within(&self, limit: Duration) -> anyhow::Result<bool> {
        let began = Instant::now();
        let mut conn = self.look().await?;
        while began.elapsed() < limit {
            if database::unfinished(&mut conn).await? == 0 {
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(false)
    }

    /// The three ledgers as they are now.
    pub(crate) async fn evidence(&self) -> anyhow::Result<Evidence> {
        let records = database::read(&mut self.look().await?).await?;
        let deaths = self.world.deaths.clone();
        Ok(Evidence { asked: self.client.ledger(), lines: world::read(&self.world.world_dir())?, records, deaths })
    }

    /// Waits for quiet and checks. What is wrong is shown with everything that is known about it.
    pub(crate) async fn verdict(&mut self, minimum: usize) -> anyhow::Result<Verdict> {
        self.quiet().await?;
        let evidence = self.evidence().await?;
        let verdict = checker::check(&evidence, minimum);
        if !verdict.is_good() {
            show(&evidence, &verdict);
        }
        Ok(verdict)
    }

    /// Ends the world. Its directory goes if everything was as promised.
    pub(crate) fn end(mut self, good: bool) {
        if good {
            self.world.passed();
        }
    }
}

/// Prints what is wrong, and what each ledger has on the requests that it is wrong about.
fn show(evidence: &Evidence, verdict: &Verdict) {
    if let Some(too_few) = &verdict.too_few {
        say(&format!("VIOLATION too few: {too_few}"));
    }
    for (kind, count) in verdict.kinds() {
        say(&format!("VIOLATION {kind}: {count}"));
    }
    for finding in verdict.findings.iter().take(SHOWN) {
        say(&format!("--- {finding}"));
        let Some(id) = finding.request else { continue };
        for asked in evidence.asked.iter().filter(|asked| asked.acknowledged() == Some(id)) {
            say(&format!("client: {asked:?}"));
        }
        for line in evidence.lines.iter().filter(|line| line.request == id).take(SHOWN_LINES) {
            say(&format!("world: {}", line.text));
        }
        for record in evidence.records.requests.iter().filter(|record| record.id == id) {
            say(&format!("database: {record:?}"));
        }
        for attempt in evidence.records.attempts.iter().filter(|attempt| attempt.request == id) {
            say(&format!("database: {attempt:?}"));
        }
    }
}
