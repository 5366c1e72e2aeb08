//! The API from outside: a real server on a loopback port, a real PostgreSQL, a real client.
//!
//! One file for each file of `src/routes`, and one for each promise that holds for all of them: who may call
//! (`authentication.rs`), what another organization sees (`tenancy.rs`), how errors look (`problems.rs`), what the
//! committed description says (`openapi.rs`), how the server stops (`shutdown.rs`).

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod auth;
mod authentication;
mod bulk;
mod database;
mod events;
mod limits;
mod openapi;
mod probes;
mod problems;
mod redact;
mod request_log;
mod requests;
mod results;
mod server;
mod shutdown;
mod sse;
mod status;
mod tenancy;
mod worker;
mod worker_api;
mod worker_types;
mod workers;
