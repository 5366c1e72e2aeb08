//! A database of its own for each test, copied from a migrated template.

use std::str::FromStr;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use eve_engine::Bootstrap;
use eve_engine::BootstrapOptions;
use eve_engine::Engine;
use eve_engine::EngineOptions;
use eve_store::Store;
use eve_store::StoreOptions;
use sqlx::AssertSqlSafe;
use sqlx::ConnectOptions;
use sqlx::Connection;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;

/// Names a cluster where the log-in may do everything and the roles `eve_owner` and `eve_service` may log in.
const CLUSTER: &str = "EVE_TEST_DATABASE_URL";
/// The migrated database that all others are copies of.
const TEMPLATE: &str = "eve_server_it";
/// Keeps test processes from making or copying the template at once.
const TEMPLATE_LOCK: i64 = 7_310_500;
/// Databases of tests that ended this long ago are dropped.
const LEFTOVER_SECONDS: u64 = 900;

/// A fresh installation with two organizations.
pub(crate) struct Installation {
    pub(crate) engine: Engine,
    /// Of the owner of the organization `default`.
    pub(crate) api_key: String,
    /// Of the owner of the organization `other`.
    pub(crate) other_api_key: String,
    pub(crate) worker_key: String,
    cluster: PgConnectOptions,
    name: String,
}

/// An engine on a database of its own.
pub(crate) async fn engine() -> Installation {
    let url =
        std::env::var(CLUSTER).unwrap_or_else(|_| panic!("{CLUSTER} names the cluster to test on; it is not set"));
    let cluster = PgConnectOptions::from_str(&url).unwrap();
    let name = copy_template(&cluster).await;
    let connect = cluster.clone().username("eve_service").database(&name);
    let store = Store::open(StoreOptions { connect, tenant_connections: 4, platform_connections: 4 });
    let keys = Bootstrap::run(&store, BootstrapOptions::default()).await.unwrap();
    let other_api_key = Bootstrap::organization(&store, "other", "owner@other.example").await.unwrap();
    let engine = Engine::start(store, EngineOptions::default()).await.unwrap();
    Installation { engine, api_key: keys.api_key, other_api_key, worker_key: keys.worker_key, cluster, name }
}

impl Installation {
    /// Runs a statement past every rule, to bring about what no call can.
    pub(crate) async fn sql(&self, statement: &'static str) {
        let mut conn = self.cluster.clone().database(&self.name).connect().await.unwrap();
        sqlx::raw_sql(statement).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    }

    /// Takes the database away: whoever is connected is cut off, and nobody gets in again.
    pub(crate) async fn lose_database(&self) {
        let mut conn = self.cluster.connect().await.unwrap();
        run(&mut conn, format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", self.name)).await;
        sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1")
            .bind(&self.name)
            .execute(&mut conn)
            .await
            .unwrap();
        conn.close().await.unwrap();
    }
}

async fn copy_template(cluster: &PgConnectOptions) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let name = format!("{TEMPLATE}_{now}_{}", eve_store::new_id().simple());
    let mut conn = cluster.connect().await.unwrap();
    sqlx::query("SELECT pg_advisory_lock($1)").bind(TEMPLATE_LOCK).execute(&mut conn).await.unwrap();
    drop_leftovers(&mut conn, now).await;
    let known: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(TEMPLATE)
        .fetch_one(&mut conn)
        .await
        .unwrap();
    let owner = cluster.clone().username("eve_owner").database(TEMPLATE);
    if !known {
        run(&mut conn, format!("CREATE DATABASE {TEMPLATE} OWNER eve_owner")).await;
    }
    if eve_store::migrate(&owner).await.is_err() {
        // The migrations are not those that made it.
        run(&mut conn, format!("DROP DATABASE {TEMPLATE} WITH (FORCE)")).await;
        run(&mut conn, format!("CREATE DATABASE {TEMPLATE} OWNER eve_owner")).await;
        eve_store::migrate(&owner).await.unwrap();
    }
    run(&mut conn, format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER eve_owner")).await;
    conn.close().await.unwrap();
    name
}

async fn drop_leftovers(conn: &mut PgConnection, now: u64) {
    let names: Vec<String> = sqlx::query_scalar("SELECT datname FROM pg_database WHERE datname LIKE $1")
        .bind(format!("{TEMPLATE}\\_%"))
        .fetch_all(&mut *conn)
        .await
        .unwrap();
    for name in names {
        let made = name.trim_start_matches(TEMPLATE).split('_').find_map(|part| part.parse::<u64>().ok());
        if made.is_some_and(|made| made + LEFTOVER_SECONDS < now) {
            run(conn, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        }
    }
}

async fn run(conn: &mut PgConnection, statement: String) {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(conn).await.unwrap();
}
