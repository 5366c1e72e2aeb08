//! What the queue knows about itself, on databases in which something is wrong.

use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use eve_engine::Bootstrap;
use eve_engine::DatabaseHealth;
use eve_engine::Holder;
use eve_engine::HolderKind;
use eve_engine::OpContext;
use eve_engine::PlacesReport;
use eve_engine::PlacesScope;
use eve_engine::RetentionPeriods;
use eve_engine::Services;
use eve_testkit::database::TestDatabase;
use jiff::SignedDuration;

use crate::harness::World;
use crate::harness::draft;
use crate::harness::sqlx_free;

/// How often it is looked for what takes a moment to show.
const LOOKS: usize = 400;
const REST: Duration = Duration::from_millis(50);

/// A program that keeps a transaction open until it is dropped.
struct OpenTransaction(Child);

impl OpenTransaction {
    fn begin(world: &World, statements: &str) -> Self {
        let mut child = Command::new("psql")
            .args(["-X", "-q", &world.database.url("postgres")])
            .env("PGAPPNAME", "reporting")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("psql runs");
        let mut stdin = child.stdin.take().expect("its input");
        std::io::Write::write_all(&mut stdin, statements.as_bytes()).expect("it reads");
        // Open, so that it waits for more.
        child.stdin = Some(stdin);
        Self(child)
    }
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn health(world: &World) -> DatabaseHealth {
    world.engine.database_health(&world.owner).await.expect("the database answers")
}

/// The one of these holders, once it shows.
async fn holder(world: &World, wanted: impl Fn(&Holder) -> bool) -> Holder {
    for _ in 0..LOOKS {
        if let Some(holder) = health(world).await.holders.into_iter().find(|holder| wanted(holder)) {
            return holder;
        }
        tokio::time::sleep(REST).await;
    }
    panic!("it does not show: {:#?}", health(world).await.holders);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_snapshot_is_found_and_named_and_what_is_said_to_help_does() {
    let world = World::new().await;
    let statements = "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT count(*), 'hunter2' FROM eve.queue;\n";
    let _open = OpenTransaction::begin(&world, statements);
    let found = holder(&world, |one| one.state.as_deref() == Some("idle in transaction")).await;
    assert_eq!((found.kind, found.name.as_str()), (HolderKind::Connection, "reporting"));
    assert_eq!((found.user.as_deref(), found.database.as_deref()), (Some("postgres"), Some("eve")));
    assert_eq!(found.command.as_deref(), Some("SELECT"), "no more than the first word of another's statement");
    assert!(found.since.is_some() && found.seconds.is_some_and(|seconds| seconds > 0.0));
    let before = found.transactions.expect("it has a snapshot");
    world.ask(draft("one more transaction")).await;
    let now = holder(&world, |one| one.pid == found.pid).await;
    assert!(now.transactions > Some(before), "{now:?}");
    let all = health(&world).await;
    assert!(!format!("{all:?}").contains("hunter2"));
    assert!(all.oldest_snapshot_transactions > before && all.oldest_snapshot_seconds > 0.0);
    assert!(all.sees_others && all.statement_timeout_ms > 0 && all.idle_in_transaction_timeout_ms > 0);
    let mend = found.mend().replace("end it: ", "");
    sqlx_free::execute(&world.database, &mend);
    for _ in 0..LOOKS {
        if health(&world).await.holders.iter().all(|one| one.pid != found.pid) {
            return;
        }
        tokio::time::sleep(REST).await;
    }
    panic!("{mend} did not help");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_see_others_still_learns_who_holds_the_snapshot() {
    let world = World::new().await;
    sqlx_free::execute(&world.database, "REVOKE pg_read_all_stats FROM eve_platform");
    let _open = OpenTransaction::begin(&world, "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT 'hunter2';\n");
    let found = holder(&world, |one| one.name == "reporting").await;
    assert!(found.pid.is_some() && found.transactions.is_some(), "{found:?}");
    assert_eq!((found.state, found.command), (None, None));
    assert!(!health(&world).await.sees_others);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_prepared_transaction_and_a_forgotten_slot_are_found() {
    let database = TestDatabase::start_with_settings(&["max_prepared_transactions=2", "wal_level=logical"]);
    let world = World::on(database, SignedDuration::from_secs(30)).await;
    sqlx_free::execute(&world.database, "SELECT pg_create_logical_replication_slot('forgotten', 'pgoutput')");
    let prepare = "BEGIN; CREATE TABLE public.half (id int); PREPARE TRANSACTION 'it''s forgotten';";
    sqlx_free::execute(&world.database, prepare);
    let slot = holder(&world, |one| one.kind == HolderKind::ReplicationSlot).await;
    assert_eq!((slot.name.as_str(), slot.state.as_deref()), ("forgotten", Some("inactive")));
    assert!(slot.transactions.is_some() && slot.kept_log_bytes.is_some(), "{slot:?}");
    let prepared = holder(&world, |one| one.kind == HolderKind::PreparedTransaction).await;
    assert_eq!((prepared.name.as_str(), prepared.user.as_deref()), ("it's forgotten", Some("postgres")));
    assert!(prepared.seconds.is_some() && prepared.transactions.is_some(), "{prepared:?}");
    // What is said to help is said in SQL; the first of two ways where there are two.
    for holder in [slot, prepared] {
        let mend = holder.mend();
        let statement = mend.split("SELECT ").nth(1).map(|rest| format!("SELECT {rest}"));
        let statement = statement.or_else(|| Some(format!("ROLLBACK {}", mend.split("ROLLBACK ").nth(1)?)));
        let statement = statement.expect("a statement");
        sqlx_free::execute(&world.database, statement.split(';').next().expect("the first"));
    }
    let left = health(&world).await.holders;
    assert!(left.iter().all(|one| one.kind == HolderKind::Connection), "{left:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_rows_are_counted_and_a_table_without_autovacuum_is_told() {
    let world = World::new().await;
    let hot = |health: DatabaseHealth, name: &str| {
        health.hot_tables.into_iter().find(|table| table.name == name).expect("it is a hot table")
    };
    assert_eq!(health(&world).await.hot_tables.len(), 5);
    for _ in 0..3 {
        world.ask(draft("gone soon")).await;
    }
    sqlx_free::execute(&world.database, "ALTER TABLE eve.queue SET (autovacuum_enabled = off); DELETE FROM eve.queue");
    let mut table = hot(health(&world).await, "queue");
    for _ in 0..LOOKS {
        if table.dead_rows == 3 {
            break;
        }
        tokio::time::sleep(REST).await;
        table = hot(health(&world).await, "queue");
    }
    assert_eq!((table.dead_rows, table.autovacuum, table.last_vacuum_at), (3, false, None));
    assert!(hot(health(&world).await, "leases").autovacuum);
    sqlx_free::execute(&world.database, "VACUUM eve.queue");
    let table = hot(health(&world).await, "queue");
    assert!(table.dead_rows == 0 && table.last_vacuum_at.is_some(), "{table:?}");
}

async fn another(world: &World) -> OpContext {
    let key = Bootstrap::organization(&world.store, "rival", "them@example.com").await.expect("founded");
    world.engine.authenticate(&key).await.expect("the key")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_founders_see_who_waits_longest_and_others_only_themselves() {
    let world = World::new().await;
    let rival = another(&world).await;
    let mut kind = world.engine.worker_type_list(&rival).await.expect("types").remove(0);
    kind.name = "secret-plan".parse().expect("a name");
    world.engine.worker_type_put(&rival, &kind).await.expect("put");
    let own = world.ask(draft("ours")).await;
    world.ask(draft("younger")).await;
    let mut theirs = draft("theirs");
    theirs.worker_type = Some("secret-plan".to_owned());
    world.engine.request_create(&rival, theirs, None).await.expect("created");

    let all = world.engine.queue_health(&world.owner).await.expect("healthy");
    let lanes: Vec<_> = all.oldest.iter().map(|age| (age.org.as_str(), age.worker_type.as_str())).collect();
    assert_eq!(lanes, [("default", "general"), ("rival", "secret-plan")], "the longest waiting first");
    assert_eq!((all.oldest[0].request_id, all.others_seconds), (own.id, None), "the oldest of its lane");
    assert!(all.oldest[0].seconds >= all.oldest[1].seconds && all.oldest[1].seconds > 0.0);

    let theirs = world.engine.queue_health(&rival).await.expect("healthy");
    let lanes: Vec<_> = theirs.oldest.iter().map(|age| age.org.as_str()).collect();
    assert_eq!(lanes, ["rival"]);
    assert!(theirs.others_seconds.is_some_and(|seconds| seconds > 0.0));

    let metrics = world.engine.metrics_render().await.expect("rendered");
    let ages: Vec<&str> = metrics.lines().filter(|line| line.starts_with("eve_queue_oldest_seconds{")).collect();
    assert_eq!(ages.len(), 2, "{ages:?}");
    assert!(ages.iter().any(|line| line.contains(r#"worker_type="other",priority="MEDIUM""#)), "{ages:?}");
    assert!(!ages.iter().any(|line| line.contains("secret-plan")), "{ages:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_learns_nothing_of_it() {
    let world = World::new().await;
    let member = OpContext { role: eve_engine::Role::Member, ..world.owner.clone() };
    for error in [
        world.engine.database_health(&member).await.expect_err("forbidden"),
        world.engine.queue_health(&member).await.expect_err("forbidden"),
        world.engine.places_check(&member, PlacesScope::Recent).await.expect_err("forbidden"),
    ] {
        assert_eq!(error.kind, eve_engine::ErrorKind::Forbidden);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listener_says_how_long_news_takes_and_that_it_connected_again() {
    let mut world = World::new().await;
    let listener = |world: &World| {
        let (engine, owner) = (world.engine.clone(), world.owner.clone());
        async move { engine.queue_health(&owner).await.map(|health| health.listener) }
    };
    let mut first = listener(&world).await.expect("answered");
    for _ in 0..LOOKS {
        if first.lag.is_some_and(|lag| lag > Duration::ZERO) {
            break;
        }
        tokio::time::sleep(REST).await;
        first = listener(&world).await.expect("answered");
    }
    assert!(first.connected && first.lag.is_some(), "{first:?}");
    assert_eq!(first.reconnects, 0);
    world.database.crash_and_restart().expect("it comes back");
    for _ in 0..LOOKS {
        if listener(&world).await.is_ok_and(|now| now.connected && now.reconnects > 0) {
            let metrics = world.engine.metrics_render().await.expect("rendered");
            assert!(metrics.contains("eve_listener_connected 1\n"), "{metrics}");
            assert!(!metrics.contains("eve_listener_reconnects_total 0\n"), "{metrics}");
            return;
        }
        tokio::time::sleep(REST).await;
    }
    panic!("it did not connect again: {:?}", listener(&world).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_workers_and_what_they_quarantined_are_counted() {
    let world = World::with_lease(SignedDuration::from_secs(30)).await;
    world.past_restart_grace().await;
    let request = world.ask(draft("poison")).await;
    let services = Services::start(&world.engine, RetentionPeriods::default());
    let mut lost = 0;
    for _ in 0..LOOKS {
        let who = World::enter(&world.engine).await;
        if world.claim_as(who, 1, REST).await.is_empty() {
            if world.get(request.id).await.state.is_terminal() {
                break;
            }
            continue;
        }
        lost += 1;
        world.expire(who);
    }
    services.stop().await;
    assert_eq!(world.get(request.id).await.reason.as_deref(), Some("quarantined"));
    let health = world.engine.queue_health(&world.owner).await.expect("healthy");
    let quarantined = (health.losses.quarantined, health.counted.quarantined);
    assert_eq!((quarantined, health.losses.attempts_expired), ((1, 1), lost));
    assert_eq!(health.losses.workers_lost, lost);
    assert_eq!(
        (i64::try_from(health.counted.takeovers), i64::try_from(health.counted.workers_lost)),
        (Ok(lost), Ok(lost))
    );
    let metrics = world.engine.metrics_render().await.expect("rendered");
    assert!(metrics.contains("eve_quarantined_total 1\n") && metrics.contains("eve_workers_lost_total "), "{metrics}");
}

async fn places(world: &World, ctx: &OpContext, deep: bool) -> PlacesReport {
    if !deep {
        return world.engine.places_check(ctx, PlacesScope::Recent).await.expect("looked");
    }
    let mut sum = PlacesReport { checked: 0, found: 0, misplaced: Vec::new(), next: None };
    loop {
        let page = world.engine.places_check(ctx, PlacesScope::Deep(sum.next.take())).await.expect("looked");
        sum.checked += page.checked;
        sum.found += page.found;
        sum.misplaced.extend(page.misplaced);
        sum.next = page.next;
        if sum.next.is_none() {
            return sum;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_two_places_or_in_none_is_found_and_so_is_a_row_of_nobody() {
    let world = World::new().await;
    let done = world.ask(draft("done")).await;
    let claim = world.run_one().await;
    world.settle(&claim, crate::harness::success()).await.expect("settled");
    let twice = world.ask(draft("in two places")).await;
    let nowhere = world.ask(draft("in none")).await;
    let strayed = world.ask(draft("in another's lane")).await;
    for deep in [false, true] {
        let sound = places(&world, &world.owner, deep).await;
        assert_eq!((sound.checked, sound.found), (8, 0), "four requests, each asked for once and in one place");
    }
    let orphan = eve_store::new_id();
    let sql = format!(
        "INSERT INTO eve.parked (request_id, org_id, lane_id, priority, max_attempts, state)
         SELECT request_id, org_id, lane_id, priority, max_attempts, 'paused' FROM eve.queue WHERE request_id = '{twice}';
         DELETE FROM eve.queue WHERE request_id = '{nowhere}';
         UPDATE eve.queue SET lane_id = lane_id + 1000000 WHERE request_id = '{strayed}';
         INSERT INTO eve.leases (request_id, org_id, attempt_id, worker_id, fence, lane_id, priority, burned, crashes, max_attempts)
         SELECT '{orphan}', org_id, '{orphan}', '{orphan}', 1, lane_id, priority, 0, 0, 1 FROM eve.queue LIMIT 1",
        twice = twice.id.uuid(),
        nowhere = nowhere.id.uuid(),
        strayed = strayed.id.uuid(),
    );
    sqlx_free::execute(&world.database, &sql);
    let report = places(&world, &world.owner, true).await;
    let mut problems: Vec<_> = report.misplaced.iter().map(|one| (one.request_id, one.problem())).collect();
    problems.sort();
    problems.dedup();
    let expected = [
        (twice.id, "in queue and parked at once"),
        (nowhere.id, "asked for, but in no place: nobody will ever do it"),
        (eve_core::RequestId::from_uuid(orphan), "a row in leases, but nobody asked for it"),
    ];
    for (id, problem) in expected {
        assert!(problems.contains(&(id, problem.to_owned())), "{problem}: {problems:#?}");
    }
    let stray = problems.iter().filter(|(id, _)| *id == strayed.id).count();
    assert!(stray > 0, "{problems:#?}");
    assert!(problems.iter().all(|(id, _)| *id != done.id), "{problems:#?}");
    assert_eq!(report.found, 5, "each once, but the one in another's lane from both sides: {problems:#?}");
    let recent = places(&world, &world.owner, false).await;
    for id in [twice.id, nowhere.id, strayed.id] {
        assert!(recent.misplaced.iter().any(|one| one.request_id == id), "{recent:#?}");
    }
    let rival = another(&world).await;
    let theirs = places(&world, &rival, false).await;
    assert_eq!((theirs.found, theirs.misplaced.len()), (recent.found, 0), "that there are some, but not which");
    let error = world.engine.places_check(&world.owner, PlacesScope::Deep(Some("nonsense".into()))).await;
    assert_eq!(error.expect_err("refused").kind, eve_engine::ErrorKind::Invalid);
}
