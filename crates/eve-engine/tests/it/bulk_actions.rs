use eve_core::BulkChange;
use eve_core::FailureClass;
use eve_core::Priority;
use eve_core::RequestId;
use eve_core::StateName;
use eve_engine::Bootstrap;
use eve_engine::BulkActionRow;
use eve_engine::BulkOutcome;
use eve_engine::BulkState;
use eve_engine::Engine;
use eve_engine::EngineOptions;
use eve_engine::ErrorKind;
use eve_engine::OpContext;
use eve_engine::RequestDraft;
use eve_engine::RequestFilter;
use eve_engine::RetentionPeriods;
use eve_engine::Services;
use eve_store::standing::standing_lock;

use crate::harness::World;
use crate::harness::draft;
use crate::harness::failure;
use crate::harness::sqlx_free;

const HIGH: BulkChange = BulkChange::Reprioritise(Priority::High);

fn with_states(states: &[StateName]) -> RequestFilter {
    RequestFilter { states: states.to_vec(), ..RequestFilter::default() }
}

impl World {
    async fn ask_many(&self, count: usize) -> Vec<RequestId> {
        let mut ids = Vec::new();
        for start in (0..count).step_by(1000) {
            let drafts = (start..count.min(start + 1000)).map(|number| draft(&format!("request {number}"))).collect();
            let rows = self.engine.request_create_many(&self.owner, drafts).await.expect("created");
            ids.extend(rows.into_iter().map(|row| row.id));
        }
        ids
    }

    async fn begin(&self, change: BulkChange, filter: &RequestFilter) -> BulkActionRow {
        begin(&self.engine, &self.owner, change, filter).await
    }

    /// Lets the service do an action to its end.
    async fn finish(&self, row: &BulkActionRow) -> BulkActionRow {
        let services = self.services();
        let row = self.wait(row, |row| row.state.is_finished()).await;
        services.stop().await;
        row
    }

    fn services(&self) -> Services {
        Services::start(&self.engine, RetentionPeriods::default())
    }

    async fn wait(&self, row: &BulkActionRow, enough: impl Fn(&BulkActionRow) -> bool) -> BulkActionRow {
        for _ in 0..1200 {
            let row = self.engine.bulk_action_get(&self.owner, row.id).await.expect("there");
            if enough(&row) {
                return row;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("it did not happen in time");
    }
}

async fn begin(engine: &Engine, ctx: &OpContext, change: BulkChange, filter: &RequestFilter) -> BulkActionRow {
    match engine.bulk_action_create(ctx, change, filter, None).await.expect("begun") {
        BulkOutcome::Created(row) => row,
        BulkOutcome::Repeated(row) => panic!("{row:?} is not new"),
    }
}

fn counts(row: &BulkActionRow) -> (BulkState, i64, i64, i64) {
    (row.state, row.done, row.skipped, row.failed)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_are_cancelled_once_each_though_the_service_dies_half_way() {
    let world = World::new().await;
    let ids = world.ask_many(10_000).await;
    let action = world.begin(BulkChange::Cancel, &RequestFilter::default()).await;
    // Whoever holds this row holds up the batch that it is in. The newest come first.
    let mut tx = world.store.org(world.owner.org_id).await.expect("begun");
    standing_lock(&mut tx, world.owner.org_id, ids[4_700]).await.expect("locked");
    let store = world.database.store();
    let dying = std::thread::spawn(|| {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let services = runtime.block_on(async {
            let engine = Engine::start(store, EngineOptions::default()).await.expect("engine");
            Services::start(&engine, RetentionPeriods::default())
        });
        (runtime, services)
    });
    let (runtime, _services) = dying.join().expect("started");
    world.wait(&action, |row| row.done == 5_000).await;
    runtime.shutdown_background();
    let half = world.engine.bulk_action_get(&world.owner, action.id).await.expect("there");
    assert_eq!(counts(&half), (BulkState::Running, 5_000, 0, 0));
    assert_eq!(half.cursor, Some(ids[5_000]));
    drop(tx);
    let done = world.finish(&action).await;
    assert_eq!(counts(&done), (BulkState::Completed, 10_000, 0, 0));
    assert!(done.started_at.is_some() && done.finished_at >= done.started_at);
    assert_eq!(world.count("SELECT count(*) FROM eve.results WHERE state = 'cancelled'"), 10_000);
    let events = "SELECT count(*) FROM eve.event_view WHERE kind = 'request:cancelled' AND actor = 'user:owner'";
    assert_eq!(world.count(events), 10_000);
    assert_eq!(world.count("SELECT count(*) FROM eve.event_view WHERE kind = 'bulk_action:completed'"), 1);
    world.assert_places();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_services_at_once_replay_each_request_once_and_no_replay() {
    let world = World::new().await;
    let ids = world.ask_many(1_000).await;
    world.finish(&world.begin(BulkChange::Cancel, &RequestFilter::default()).await).await;
    let other = Engine::start(world.database.store(), EngineOptions::default()).await.expect("another process");
    let action = world.begin(BulkChange::Replay, &RequestFilter::default()).await;
    let services = [world.services(), Services::start(&other, RetentionPeriods::default())];
    let done = world.wait(&action, |row| row.state.is_finished()).await;
    for one in services {
        one.stop().await;
    }
    assert_eq!(counts(&done), (BulkState::Completed, 1_000, 0, 0));
    let replayed = "SELECT count(*) || ' ' || count(DISTINCT replay_of) FROM eve.requests WHERE replay_of IS NOT NULL";
    assert_eq!(sqlx_free::query(&world.database, replayed).trim(), "1000 1000");
    // They queue up in the order of what they repeat.
    let claims = world.claim(1).await;
    let first = world.get(claims[0].request_id).await;
    assert_eq!((first.replay_of, first.prompt.as_str()), (Some(ids[0]), "request 0"));
    // Cancelled again, both generations count: the set is everything from before the action.
    world.finish(&world.begin(BulkChange::Cancel, &RequestFilter::default()).await).await;
    world.release(&claims[0]).await.expect("given back");
    let again = world.finish(&world.begin(BulkChange::Replay, &RequestFilter::default()).await).await;
    assert_eq!(counts(&again), (BulkState::Completed, 2_000, 0, 0));
    world.assert_places();
}

#[tokio::test(flavor = "multi_thread")]
async fn urgency_changes_wherever_a_request_is() {
    let world = World::new().await;
    let low = |prompt: &str| RequestDraft { priority: Some(Priority::Low), ..draft(prompt) };
    let running = world.ask(low("running")).await.id;
    let claim = world.run_one().await;
    let finished = world.ask(low("finished")).await.id;
    world.engine.request_cancel(&world.owner, finished).await.expect("cancelled");
    let queued = world.ask(low("queued")).await.id;
    let blocked = world.ask(RequestDraft { blocked_by: vec![queued, running], ..low("blocked") }).await.id;
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let delayed = world.ask(RequestDraft { run_at: Some(later), ..low("delayed") }).await.id;
    let paused = world.ask(low("paused")).await.id;
    world.engine.request_pause(&world.owner, paused).await.expect("paused");
    let high = world.ask(RequestDraft { priority: Some(Priority::High), ..draft("high") }).await.id;
    let done = world.finish(&world.begin(HIGH, &RequestFilter::default()).await).await;
    assert_eq!(counts(&done), (BulkState::Completed, 5, 2, 0));
    let reasons: Vec<(String, i64)> = done.reasons.skipped.into_iter().collect();
    assert_eq!(reasons, [("already_cancelled".to_owned(), 1), ("already_high".to_owned(), 1)]);
    for id in [running, queued, blocked, delayed, paused] {
        assert_eq!(world.get(id).await.priority, Priority::High);
    }
    assert_eq!(world.get(finished).await.priority, Priority::Low);
    let events = "SELECT count(*) FROM eve.event_view WHERE kind = 'request:reprioritised'";
    assert_eq!(world.count(events), 5);
    let open = format!("SELECT open FROM eve.parked WHERE request_id = '{}'", blocked.uuid());
    assert_eq!(world.count(&open), 2, "what it waits for is kept");
    world.assert_places();
    // What ran comes back as urgent as it was made, and the older of the same urgency goes first.
    world.release(&claim).await.expect("given back");
    let order: Vec<RequestId> = world.claim(1).await.iter().map(|claim| claim.request_id).collect();
    assert_eq!(order, [running]);
    assert_eq!(world.claim(1).await[0].request_id, queued);
    assert_eq!(world.claim(1).await[0].request_id, high);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_is_made_more_urgent() {
    let world = World::new().await;
    let [first, second] = world.ask_many(2).await[..] else { panic!("two") };
    let row = world.engine.request_reprioritise(&world.owner, second, Priority::Critical).await.expect("changed");
    assert_eq!((row.priority, row.state), (Priority::Critical, StateName::Pending));
    // Once more changes nothing, and says nothing.
    world.engine.request_reprioritise(&world.owner, second, Priority::Critical).await.expect("as it was");
    assert_eq!(world.count("SELECT count(*) FROM eve.event_view WHERE kind = 'request:reprioritised'"), 1);
    assert_eq!(world.claim(1).await[0].request_id, second);
    world.engine.request_cancel(&world.owner, first).await.expect("cancelled");
    let error = world.engine.request_reprioritise(&world.owner, first, Priority::Low).await.expect_err("finished");
    assert_eq!(error.kind, ErrorKind::Conflict);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_says_what_is_then_done_and_writes_nothing() {
    let world = World::new().await;
    let ids = world.ask_many(30).await;
    let dependant = world.ask(RequestDraft { blocked_by: vec![ids[29]], ..draft("waits") }).await.id;
    world.ask(RequestDraft { blocked_by: vec![dependant], ..draft("waits for that") }).await;
    let claim = world.run_one().await;
    world.settle(&claim, failure(FailureClass::AgentFailed)).await.expect("failed");
    world.run_one().await;
    world.engine.request_cancel(&world.owner, ids[1]).await.expect("being stopped");
    let before = world.count("SELECT count(*) FROM eve.event_view");
    let preview =
        world.engine.bulk_action_preview(&world.owner, BulkChange::Cancel, &RequestFilter::default()).await.expect("");
    let affected: Vec<(StateName, i64)> = preview.affected.iter().map(|(state, count)| (*state, *count)).collect();
    assert_eq!(affected, [(StateName::Blocked, 2), (StateName::Pending, 28)]);
    assert_eq!(preview.skipped.get("already_failed"), Some(&1));
    assert_eq!(preview.skipped.get("already_stopping"), Some(&1));
    assert_eq!((preview.sample.len(), preview.complete), (20, true));
    assert_eq!(world.count("SELECT count(*) FROM eve.event_view"), before);
    assert_eq!(world.count("SELECT count(*) FROM eve.bulk_actions"), 0);
    let done = world.finish(&world.begin(BulkChange::Cancel, &RequestFilter::default()).await).await;
    assert_eq!(counts(&done), (BulkState::Completed, 30, 2, 0));
    assert_eq!(done.reasons.skipped, preview.skipped);
    assert_eq!(
        world.count("SELECT count(*) FROM eve.results WHERE state = 'cancelled'"),
        30,
        "none failed for another"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_finds_what_a_list_shows() {
    let world = World::new().await;
    let parent = world.ask(draft("parent")).await;
    let child = world.ask(RequestDraft { parent_id: Some(parent.id), ..draft("a Child with 100% of_it") }).await;
    let review = world.ask(RequestDraft { worker_type: Some("code-review".into()), ..draft("review") }).await;
    let failed = world.run_one().await;
    world.settle(&failed, failure(FailureClass::AgentFailed)).await.expect("failed");
    let base = RequestFilter::default;
    let filters = [
        (RequestFilter { parent_id: Some(parent.id), ..base() }, vec![child.id]),
        (RequestFilter { worker_type: Some("code-review".parse().expect("a name")), ..base() }, vec![review.id]),
        (RequestFilter { text: Some("CHILD WITH 100% OF_".into()), ..base() }, vec![child.id]),
        (RequestFilter { text: Some("of%it".into()), ..base() }, vec![]),
        (RequestFilter { created_after: Some(child.created_at), ..base() }, vec![child.id, review.id]),
        (RequestFilter { created_before: Some(child.created_at), ..base() }, vec![parent.id]),
        (RequestFilter { ids: vec![review.id, parent.id, review.id], ..base() }, vec![parent.id, review.id]),
        (with_states(&[StateName::Pending]), vec![child.id, review.id]),
        (with_states(&[StateName::Failed]), vec![parent.id]),
        (with_states(&[StateName::Failed, StateName::Pending]), vec![parent.id, child.id, review.id]),
        (with_states(&[StateName::Completed]), vec![]),
        (RequestFilter { answer: Some(true), ..with_states(&[StateName::Waiting]) }, vec![]),
    ];
    for (filter, expected) in filters {
        let (rows, _) = world.engine.request_list(&world.owner, &filter, None, 100).await.expect("listed");
        let mut listed: Vec<RequestId> = rows.iter().map(|row| row.id).collect();
        listed.sort_unstable();
        assert_eq!(listed, expected, "{filter:?}");
        let preview = world.engine.bulk_action_preview(&world.owner, HIGH, &filter).await.expect("looked");
        let seen: i64 = preview.affected.values().chain(preview.skipped.values()).sum();
        assert_eq!(usize::try_from(seen).expect("few"), expected.len(), "{filter:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_later_or_moves_on_is_left_alone() {
    let world = World::new().await;
    let [first, second] = world.ask_many(2).await[..] else { panic!("two") };
    let action = world.begin(BulkChange::Cancel, &with_states(&[StateName::Pending])).await;
    let later = world.ask(draft("later")).await.id;
    assert_eq!(world.run_one().await.request_id, first);
    let done = world.finish(&action).await;
    assert_eq!(counts(&done), (BulkState::Completed, 1, 0, 0));
    let states = [world.get(first).await.state, world.get(second).await.state, world.get(later).await.state];
    assert_eq!(states, [StateName::Processing, StateName::Cancelled, StateName::Pending]);
    // Without a state in the filter, what runs is told to stop.
    let done = world.finish(&world.begin(BulkChange::Cancel, &RequestFilter::default()).await).await;
    assert_eq!(counts(&done), (BulkState::Completed, 2, 1, 0));
    assert_eq!(world.get(first).await.stop.as_deref(), Some("cancel"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_is_stopped_and_does_nothing_more() {
    let world = World::new().await;
    world.ask_many(3).await;
    let action = world.begin(BulkChange::Cancel, &RequestFilter::default()).await;
    let stopped = world.engine.bulk_action_cancel(&world.owner, action.id).await.expect("stopped");
    assert_eq!(counts(&stopped), (BulkState::Cancelled, 0, 0, 0));
    let error = world.engine.bulk_action_cancel(&world.owner, action.id).await.expect_err("over");
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Conflict, "The bulk action is already cancelled."));
    let done = world.finish(&world.begin(HIGH, &RequestFilter::default()).await).await;
    assert_eq!(counts(&done), (BulkState::Completed, 3, 0, 0));
    assert_eq!(world.count("SELECT count(*) FROM eve.queue"), 3, "none was cancelled");
    let (rows, more) = world.engine.bulk_action_list(&world.owner, None, 1).await.expect("listed");
    assert_eq!((rows[0].id, more), (done.id, true));
    let (rows, more) = world.engine.bulk_action_list(&world.owner, Some(done.id), 1).await.expect("listed");
    assert_eq!((rows[0].id, more), (action.id, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_that_cannot_be_changed_does_not_keep_the_others() {
    let world = World::new().await;
    let ids = world.ask_many(20).await;
    // As damage to one row would have it: its result cannot be written.
    sqlx_free::execute(
        &world.database,
        &format!(
            "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'damaged'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON eve.results FOR EACH ROW
                 WHEN (NEW.request_id = '{}') EXECUTE FUNCTION public.refuse()",
            ids[7].uuid()
        ),
    );
    let done = world.finish(&world.begin(BulkChange::Cancel, &RequestFilter::default()).await).await;
    assert_eq!(counts(&done), (BulkState::Completed, 19, 0, 1));
    assert_eq!(done.reasons.failed.get("internal"), Some(&1));
    assert_eq!(world.get(ids[7]).await.state, StateName::Pending);
    world.assert_places();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_again_is_counted_with_its_reason() {
    let world = World::new().await;
    world.ask_many(2).await;
    let kind = RequestDraft { worker_type: Some("code-review".into()), ..draft("review") };
    world.ask(kind).await;
    world.finish(&world.begin(BulkChange::Cancel, &RequestFilter::default()).await).await;
    // Nothing takes a worker type away yet; a name that no type has stands for one that is gone.
    sqlx_free::execute(
        &world.database,
        "ALTER TABLE eve.lanes DROP CONSTRAINT lanes_org_id_worker_type_fkey;
         UPDATE eve.lanes SET worker_type = 'gone' WHERE worker_type = 'code-review'",
    );
    let done = world.finish(&world.begin(BulkChange::Replay, &RequestFilter::default()).await).await;
    assert_eq!(counts(&done), (BulkState::Completed, 2, 0, 1));
    assert_eq!(done.reasons.failed.get("invalid_worker_type"), Some(&1));
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_neither_see_nor_touch_nor_hold_up_each_other() {
    let world = World::new().await;
    let key = Bootstrap::organization(&world.store, "other", "other@localhost").await.expect("founded");
    let other = world.engine.authenticate(&key).await.expect("its key");
    let mine = world.ask_many(5_000).await;
    let theirs = world.engine.request_create_many(&other, vec![draft("theirs")]).await.expect("created");
    let action = world.begin(BulkChange::Cancel, &RequestFilter::default()).await;
    let named = RequestFilter { ids: vec![mine[0], theirs[0].id], ..RequestFilter::default() };
    let small = begin(&world.engine, &other, BulkChange::Cancel, &named).await;
    assert_eq!(
        world.engine.bulk_action_get(&other, action.id).await.expect_err("not theirs").kind,
        ErrorKind::NotFound
    );
    let error = world.engine.bulk_action_cancel(&other, action.id).await.expect_err("not theirs");
    assert_eq!(error.kind, ErrorKind::NotFound);
    let (rows, _) = world.engine.bulk_action_list(&other, None, 100).await.expect("listed");
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [small.id]);
    let preview = world.engine.bulk_action_preview(&other, BulkChange::Cancel, &named).await.expect("looked");
    assert_eq!(preview.affected.values().sum::<i64>(), 1, "of the two that it names, one is theirs");
    let done = world.finish(&action).await;
    assert_eq!(counts(&done), (BulkState::Completed, 5_000, 0, 0));
    let small = world.engine.bulk_action_get(&other, small.id).await.expect("theirs");
    assert_eq!(counts(&small), (BulkState::Completed, 1, 0, 0));
    assert!(small.finished_at < done.finished_at, "a small action of another does not wait for a large one");
    let many = RequestFilter { ids: vec![mine[0]; 1001], ..RequestFilter::default() };
    let error = world.engine.bulk_action_preview(&other, HIGH, &many).await.expect_err("too many");
    assert_eq!(error.message, "`ids` names at most 1000 requests.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_makes_one_action_and_there_is_a_limit_to_them() {
    let world = World::new().await;
    let filter = RequestFilter::default();
    let create =
        |change, key: Option<&'static str>| world.engine.bulk_action_create(&world.owner, change, &filter, key);
    let first = match create(BulkChange::Replay, Some("k")).await.expect("begun") {
        BulkOutcome::Created(row) | BulkOutcome::Repeated(row) => row.id,
    };
    match create(BulkChange::Replay, Some("k")).await.expect("the same") {
        BulkOutcome::Repeated(row) => assert_eq!(row.id, first),
        BulkOutcome::Created(row) => panic!("{row:?}"),
    }
    let error = create(BulkChange::Cancel, Some("k")).await.expect_err("another call");
    assert_eq!(error.kind, ErrorKind::IdempotencyConflict);
    for _ in 0..99 {
        create(BulkChange::Replay, None).await.expect("begun");
    }
    let error = create(BulkChange::Replay, None).await.expect_err("too many");
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert_eq!(world.count("SELECT count(*) FROM eve.bulk_actions"), 100);
}
