use std::time::Duration;

use eve_core::RequestId;
use eve_engine::Bootstrap;
use eve_engine::CursorKind;
use eve_engine::ErrorKind;
use eve_engine::EventPosition;
use eve_engine::RequestFilter;
use eve_testkit::database::TestDatabase;

use crate::harness::World;
use crate::harness::draft;
use crate::harness::sqlx_free;

#[tokio::test(flavor = "multi_thread")]
async fn tenants_do_not_see_each_other() {
    let world = World::new().await;
    let key = Bootstrap::organization(&world.store, "other", "other@localhost").await.expect("founded");
    let other = world.engine.authenticate(&key).await.expect("its key");
    let mine = world.ask(draft("mine")).await;
    assert_eq!(world.engine.request_get(&other, mine.id).await.expect_err("not theirs").kind, ErrorKind::NotFound);
    assert_eq!(world.engine.request_cancel(&other, mine.id).await.expect_err("not theirs").kind, ErrorKind::NotFound);
    let (rows, _) = world.engine.request_list(&other, &RequestFilter::default(), None, 100).await.expect("listed");
    assert!(rows.is_empty());
    let events = world.engine.event_list(&other, EventPosition::default(), 100).await.expect("listed");
    assert!(events.events.is_empty());
    assert!(world.engine.queue_depth(&other).await.expect("listed").is_empty());
    let blocked = eve_engine::RequestDraft { blocked_by: vec![mine.id], ..draft("peek") };
    let refused = world.engine.request_create(&other, blocked, None).await.expect_err("not theirs");
    assert_eq!(refused.kind, ErrorKind::Invalid);
    let cursor = world.engine.cursor_encode(CursorKind::Requests, world.owner.org_id, mine.id);
    assert!(world.engine.cursor_decode::<RequestId>(CursorKind::Requests, world.owner.org_id, &cursor).is_ok());
    assert!(world.engine.cursor_decode::<RequestId>(CursorKind::Requests, other.org_id, &cursor).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_in_sees_no_tenant_s_row_without_naming_one() {
    let world = World::new().await;
    world.ask(draft("mine")).await;
    let tables = sqlx_free::query(
        &world.database,
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'org_id' WHERE n.nspname = 'eve' AND c.relkind IN ('r', 'p') AND NOT c.relispartition",
    );
    let names: Vec<&str> = tables.split_whitespace().collect();
    assert!(names.len() >= 12, "{names:?}");
    for table in names {
        let sql = format!("SELECT count(*) FROM eve.{table}");
        let seen = sqlx_free::query_as(&world.database, "eve_service", &sql).expect("may select");
        assert_eq!(seen.trim(), "0", "{table}");
        // A left-over of SET LOCAL is an empty text, not a tenant.
        let empty = format!("SET eve.org_id = ''; {sql}");
        assert_eq!(sqlx_free::query_as(&world.database, "eve_service", &empty).expect("may select").trim(), "0");
        let owned = sqlx_free::query_as(&world.database, "eve_owner", &sql).expect("may select");
        assert_eq!(owned.trim(), "0", "forced for the owner, too: {table}");
    }
    let org = world.owner.org_id.uuid();
    let forged = format!(
        "SET eve.org_id = '{}'; INSERT INTO eve.projects (org_id, id, slug, name) VALUES ('{org}', '{org}', 'x', 'x')",
        RequestId::from_uuid(eve_store::new_id()).uuid()
    );
    let error = sqlx_free::query_as(&world.database, "eve_service", &forged).expect_err("another's row");
    assert!(error.contains("row-level security"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_can_see_that_it_is_so() {
    let world = World::new().await;
    let health = world.engine.database_health(&world.owner).await.expect("looked at");
    assert_eq!(
        (health.login_role.as_str(), health.login_is_privileged, health.owned_tables),
        ("eve_service", false, 0)
    );
    assert!(health.unprotected_tables.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_tokens() {
    let world = World::new().await;
    let key = Bootstrap::organization(&world.store, "third", "third@localhost").await.expect("founded");
    let token = world.engine.token_create(&key).await.expect("a token");
    let caller = world.engine.authenticate(&token.token).await.expect("it counts");
    assert_eq!(caller, world.engine.authenticate(&key).await.expect("so does the key"));
    for bad in ["", "eve_key_00", "x.y.z", &format!("{}x", token.token), "eve_worker_00"] {
        assert_eq!(world.engine.authenticate(bad).await.expect_err(bad).kind, ErrorKind::Unauthenticated);
    }
    assert!(world.engine.worker_authenticate(&key).await.is_err(), "an API key is no worker key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_leaves_no_open_transaction_behind() {
    let database = TestDatabase::start();
    let store = database.store();
    store.heartbeat().await.expect("a connection");
    // Heartbeats are long polls, and callers of those go away at any moment: also in the middle of BEGIN.
    // With less and less patience, and in the end with none: whoever succeeds clears up what others left.
    for patience in [8, 6, 4, 3, 2, 2, 1, 1, 0, 0, 0, 0] {
        let gone = async {
            for _ in 0..patience {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            begun = store.heartbeat() => drop(begun),
            () = gone => {}
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
    let mut open = String::new();
    for _ in 0..50 {
        open = sqlx_free::query(&database, sql);
        if open.trim() == "0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{open} transactions are open, and nobody knows of them");
}
