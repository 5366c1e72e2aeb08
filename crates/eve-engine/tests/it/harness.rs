//! An engine on a throw-away database, with an owner who asks and a worker who claims.

use std::time::Duration;

use eve_core::AttemptReport;
use eve_core::Delivery;
use eve_core::FailureClass;
use eve_core::Outcome;
use eve_core::RequestId;
use eve_core::Usage;
use eve_core::WorkerId;
use eve_engine::Bootstrap;
use eve_engine::BootstrapOptions;
use eve_engine::Claim;
use eve_engine::CreateOutcome;
use eve_engine::Engine;
use eve_engine::EngineOptions;
use eve_engine::FencedAttempt;
use eve_engine::LeaseTerms;
use eve_engine::NewWorker;
use eve_engine::OpContext;
use eve_engine::RequestDraft;
use eve_engine::RequestRow;
use eve_engine::WorkerContext;
use eve_store::Store;
use eve_store::places;
use eve_store::places::Misplaced;
use eve_store::places::Walk;
use eve_testkit::database::TestDatabase;
use jiff::SignedDuration;
use tokio::task::JoinHandle;

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) owner: OpContext,
    pub(crate) worker: WorkerId,
    pub(crate) store: Store,
    // Last, so that the server outlives the pools.
    pub(crate) database: TestDatabase,
}

pub(crate) fn worker() -> WorkerContext {
    WorkerContext::in_process()
}

/// A worker that waits for work when this returns, and asks again if it hears of none.
pub(crate) async fn wait_for_work(engine: &Engine, who: WorkerId, limit: usize) -> JoinHandle<Vec<Claim>> {
    let engine = engine.clone();
    let waits = tokio::spawn(async move {
        let types = ["*".to_owned()];
        loop {
            let claims = engine.queue_claim(&worker(), who, &types, limit, Duration::from_secs(20)).await;
            let claims = claims.expect("claimed");
            if !claims.is_empty() {
                return claims;
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    waits
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_lease(SignedDuration::from_secs(30)).await
    }

    pub(crate) async fn with_lease(ttl: SignedDuration) -> Self {
        Self::on(TestDatabase::start(), ttl).await
    }

    pub(crate) async fn on(database: TestDatabase, ttl: SignedDuration) -> Self {
        let store = database.store();
        let keys = Bootstrap::run(&store, BootstrapOptions::default()).await.expect("bootstrap");
        let options = EngineOptions { lease: LeaseTerms::with_ttl(ttl), ..EngineOptions::default() };
        let engine = Engine::start(store.clone(), options).await.expect("engine");
        let owner = engine.authenticate(&keys.api_key).await.expect("the owner's key");
        let worker = Self::enter(&engine).await;
        Self { engine, owner, worker, store, database }
    }

    pub(crate) async fn enter(engine: &Engine) -> WorkerId {
        let new = NewWorker {
            name: "test".into(),
            version: "0".into(),
            worker_types: vec!["*".into()],
            harnesses: serde_json::json!([]),
            slots: 8,
            account: None,
        };
        engine.worker_register(&worker(), &new).await.expect("entered")
    }

    pub(crate) async fn ask(&self, draft: RequestDraft) -> RequestRow {
        match self.engine.request_create(&self.owner, draft, None).await.expect("created") {
            CreateOutcome::Created(row) | CreateOutcome::Repeated(row) => row,
        }
    }

    pub(crate) async fn claim(&self, limit: usize) -> Vec<Claim> {
        self.claim_waiting(limit, Duration::ZERO).await
    }

    pub(crate) async fn claim_waiting(&self, limit: usize, wait: Duration) -> Vec<Claim> {
        self.claim_as(self.worker, limit, wait).await
    }

    pub(crate) async fn claim_as(&self, who: WorkerId, limit: usize, wait: Duration) -> Vec<Claim> {
        let types = ["*".to_owned()];
        self.engine.queue_claim(&worker(), who, &types, limit, wait).await.expect("claimed")
    }

    /// Claims the one request that is due and starts it.
    pub(crate) async fn run_one(&self) -> Claim {
        let claim = self.claim(1).await.pop().expect("something is due");
        self.engine.attempt_start(&worker(), FencedAttempt::from(&claim), "command").await.expect("started");
        claim
    }

    pub(crate) async fn settle(
        &self,
        claim: &Claim,
        outcome: Outcome,
    ) -> Result<eve_core::StateName, eve_engine::Error> {
        let reports = vec![(FencedAttempt::from(claim), report(outcome))];
        self.engine.attempt_settle(&worker(), reports).await?.pop().expect("one answer")
    }

    pub(crate) async fn get(&self, id: RequestId) -> RequestRow {
        self.engine.request_get(&self.owner, id).await.expect("there")
    }

    pub(crate) async fn release(&self, claim: &Claim) -> Result<eve_core::StateName, eve_engine::Error> {
        let attempts = [FencedAttempt::from(claim)];
        self.engine.attempt_release(&worker(), &attempts).await?.pop().expect("one answer")
    }

    /// Lets the lease of a worker run out now, by the database's own clock.
    pub(crate) fn expire(&self, worker: WorkerId) {
        let id = worker.uuid();
        let sql = format!("UPDATE eve.workers SET lease_until = now() - interval '1 second' WHERE id = '{id}'");
        sqlx_free::execute(&self.database, &sql);
    }

    /// Waits until the database has been up for so long that silent workers are given up.
    pub(crate) async fn past_restart_grace(&self) {
        let sql = "SELECT count(*) FROM (SELECT pg_postmaster_start_time() AS at) s \
                   WHERE s.at < clock_timestamp() - interval '7 seconds'";
        while self.count(sql) == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    /// Every request is in exactly one place, and nothing is anywhere that is no request.
    pub(crate) fn assert_places(&self) {
        let misplaced = misplaced(&self.database);
        assert!(misplaced.is_empty(), "{misplaced:#?}");
    }

    pub(crate) fn count(&self, sql: &str) -> i64 {
        sqlx_free::query(&self.database, sql).trim().parse().expect("a number")
    }
}

/// What is not in exactly one place, of all that there is. On a thread of its own, so that every test may ask.
fn misplaced(database: &TestDatabase) -> Vec<Misplaced> {
    let look = async {
        let store = database.store();
        let mut tx = store.platform().await?;
        let mut misplaced = Vec::new();
        for walk in Walk::ALL {
            let found = places::place_page(&mut tx, walk, None, i64::MAX).await?;
            misplaced.extend(places::misplaced_list(&mut tx, &found).await?);
        }
        tx.commit().await?;
        store.close().await;
        Ok::<_, eve_store::StoreError>(misplaced)
    };
    std::thread::scope(|scope| {
        let look = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(look).expect("the places can be looked at")
        });
        look.join().expect("the look ends")
    })
}

/// Statements that no function of the store makes, through `psql` as the superuser.
pub(crate) mod sqlx_free {
    use std::process::Command;

    use eve_testkit::database::TestDatabase;

    pub(crate) fn query_as(database: &TestDatabase, role: &str, sql: &str) -> Result<String, String> {
        let output = Command::new("psql")
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, &database.url(role)])
            .output()
            .expect("psql runs");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    pub(crate) fn query(database: &TestDatabase, sql: &str) -> String {
        query_as(database, "postgres", sql).expect("the statement runs")
    }

    pub(crate) fn execute(database: &TestDatabase, sql: &str) {
        query(database, sql);
    }
}

pub(crate) fn draft(prompt: &str) -> RequestDraft {
    RequestDraft { prompt: prompt.to_owned(), ..RequestDraft::default() }
}

pub(crate) fn success() -> Outcome {
    Outcome::Succeeded { output: serde_json::json!({"text": "done"}), summary: "done".into() }
}

pub(crate) fn failure(class: FailureClass) -> Outcome {
    Outcome::Failed { class, message: "because".into(), retry_at: None }
}

pub(crate) fn report(outcome: Outcome) -> AttemptReport {
    AttemptReport {
        outcome,
        usage: Usage { input_tokens: 1000, output_tokens: 50, ..Usage::default() },
        delivery: Delivery::default(),
        duration_ms: 1234,
        session_id: Some("session".into()),
        exit_code: Some(0),
        dropped_bytes: 0,
    }
}
