//! The database that all steps use, and who asks there.

use anyhow::Result;
use eve_engine::Bootstrap;
use eve_engine::BootstrapOptions;
use eve_engine::Engine;
use eve_engine::EngineOptions;
use eve_engine::OpContext;
use eve_store::PgConnectOptions;
use eve_store::Store;
use eve_store::StoreOptions;
use eve_testkit::bench;
use serde_json::Value;
use serde_json::json;

/// The worker type of all requests.
pub(crate) const TYPE: &str = "bench";
/// Opens a database that was made for a measurement and holds nothing else, so that every step finds it again.
const API_KEY: &str = "eve_key_of_a_benchmark";
/// Connections of either pool, as `eve up` opens them.
const CONNECTIONS: u32 = 24;

/// Connects as `eve up` does.
pub(crate) fn store(db: &PgConnectOptions) -> Store {
    Store::open(StoreOptions {
        connect: db.clone(),
        tenant_connections: CONNECTIONS,
        platform_connections: CONNECTIONS,
    })
}

/// Roles, schema, an organization with its key, and the worker type.
pub(crate) async fn setup(db: &PgConnectOptions) -> Result<Value> {
    bench::migrate(db).await?;
    let store = store(db);
    let kept = BootstrapOptions { api_key: Some(API_KEY.to_owned()), worker_key: None };
    Bootstrap::run(&store, kept).await?;
    let (engine, owner) = engine(&store).await?;
    engine.worker_type_put(&owner, &bench::worker_type(TYPE)?).await?;
    engine.stop();
    Ok(json!({"ok": 1}))
}

/// An engine on a database that was set up, and who asks.
pub(crate) async fn engine(store: &Store) -> Result<(Engine, OpContext)> {
    let engine = Engine::start(store.clone(), EngineOptions::default()).await?;
    let owner = engine.authenticate(API_KEY).await?;
    Ok((engine, owner))
}
