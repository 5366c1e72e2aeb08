//! The use cases on a real PostgreSQL: every promise that the store and the engine make together.

mod harness;

mod claims;
mod dependencies;
mod events;
mod services;
mod settling;
mod tenancy;
