use eve_engine::ErrorKind;

use crate::harness::World;
use crate::harness::draft;

fn of_database(world: &World, sql: &str) {
    let url = world.database.url("postgres").replace("/eve?", "/postgres?");
    let status = std::process::Command::new("psql").args(["-X", "-q", "-c", sql, &url]).status();
    assert!(status.expect("psql runs").success(), "{sql}");
}

/// PostgreSQL refuses sessions for many reasons and under many codes; none of them is a fault of the request's.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_takes_no_sessions_is_away_for_now() {
    let world = World::new().await;
    world.ask(draft("before")).await;
    of_database(&world, "ALTER DATABASE eve ALLOW_CONNECTIONS false");
    of_database(&world, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'eve'");
    for key in [None, Some("a key")] {
        let refused = world.engine.request_create(&world.owner, draft("meanwhile"), key).await;
        let error = refused.expect_err("there is no database");
        assert_eq!((error.kind, error.retryable()), (ErrorKind::Unavailable, true), "{error:?}");
    }
    of_database(&world, "ALTER DATABASE eve ALLOW_CONNECTIONS true");
    world.ask(draft("afterwards")).await;
    assert_eq!(world.count("SELECT count(*) FROM eve.requests"), 2);
}
