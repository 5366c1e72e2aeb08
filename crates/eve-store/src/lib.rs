//! All of PostgreSQL: schema, tenancy, queue, leases, results, events, and the embedded cluster.
//!
//! Functions here are named like the use cases that call them, take a transaction first, state their whole
//! precondition in SQL and return an enum or a row, never a bare count. They hold no rule: what a request may do
//! next is `eve-core`'s, when to do it is `eve-engine`'s. There are exactly three ways in: [`OrgTx`] and [`Intake`], which
//! see one organization, and [`PlatformTx`], which sees all and is for queue, reconcilers and key look-up.

#![warn(missing_docs)]

pub mod attempt;
pub mod attempt_log;
pub mod bulk;
pub mod cluster;
mod columns;
pub mod data_dir;
pub mod dependency;
mod error;
pub mod event;
pub mod health;
pub mod lane;
pub mod lease;
pub mod limit;
pub mod listen;
mod migrate;
pub mod organization;
pub mod parked;
pub mod places;
pub mod project;
pub mod queue;
pub mod request;
pub mod result;
pub mod retention;
pub mod standing;
mod tx;
pub mod worker;
pub mod worker_type;

pub use error::StoreError;
pub use migrate::ensure_roles;
pub use migrate::migrate;
pub use tx::DISPATCH_CONNECTIONS;
pub use tx::Intake;
pub use tx::OrgTx;
pub use tx::PlatformTx;
pub use tx::Store;
pub use tx::StoreOptions;
pub use tx::Tenant;
pub use tx::Tx;

/// How to reach a database, as the driver takes it.
pub use sqlx::postgres::PgConnectOptions;

/// Makes a new UUIDv7, so that ids sort by creation.
pub fn new_id() -> uuid::Uuid {
    uuid::Uuid::now_v7()
}
