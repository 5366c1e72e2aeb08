//! The handlers, one file for each kind of thing; `router.rs` gives them their addresses.

pub(crate) mod auth;
pub(crate) mod bulk;
pub(crate) mod events;
pub(crate) mod limits;
pub(crate) mod probes;
pub(crate) mod request_log;
pub(crate) mod requests;
pub(crate) mod results;
pub(crate) mod status;
pub(crate) mod worker_api;
pub(crate) mod worker_types;
pub(crate) mod workers;
