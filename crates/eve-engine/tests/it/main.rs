//! The use cases on a real PostgreSQL: every promise that the store and the engine make together.

#![allow(clippy::expect_used, reason = "a helper that cannot do its part has failed the test")]

mod bulk_actions;
mod bulk_create;
mod claims;
mod dependencies;
mod events;
mod harness;
mod health;
mod limits;
mod lists;
mod many;
mod outage;
mod services;
mod settling;
mod tenancy;
