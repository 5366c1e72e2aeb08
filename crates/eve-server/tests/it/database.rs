//! An installation of its own for each test, on a throw-away cluster.

use eve_engine::Bootstrap;
use eve_engine::BootstrapOptions;
use eve_engine::Engine;
use eve_engine::EngineOptions;
use eve_testkit::database::TestDatabase;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

/// A fresh installation with two organizations.
pub(crate) struct Installation {
    pub(crate) engine: Engine,
    /// Of the owner of the organization `default`.
    pub(crate) api_key: String,
    /// Of the owner of the organization `other`.
    pub(crate) other_api_key: String,
    pub(crate) worker_key: String,
    // Last, so that the server outlives the pools.
    database: TestDatabase,
}

/// An engine on a database of its own, with the keys to it.
pub(crate) async fn engine() -> Installation {
    let database = TestDatabase::start();
    let store = database.store();
    let keys = Bootstrap::run(&store, BootstrapOptions::default()).await.unwrap();
    let other_api_key = Bootstrap::organization(&store, "other", "owner@other.example").await.unwrap();
    let engine = Engine::start(store, EngineOptions::default()).await.unwrap();
    Installation { engine, api_key: keys.api_key, other_api_key, worker_key: keys.worker_key, database }
}

impl Installation {
    /// Makes everybody a plain member, which no call can.
    pub(crate) async fn demote_everybody(&self) {
        run(self.database.admin(), "UPDATE eve.members SET role = 'member'").await;
    }

    /// Takes the database away: whoever is connected is cut off, and nobody gets in again.
    pub(crate) async fn lose_database(&self) {
        let statements = "ALTER DATABASE eve ALLOW_CONNECTIONS false;
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'eve'";
        run(self.database.admin().database("postgres"), statements).await;
    }
}

async fn run(options: PgConnectOptions, statements: &'static str) {
    let mut conn = options.connect().await.unwrap();
    sqlx::raw_sql(statements).execute(&mut conn).await.unwrap();
}
