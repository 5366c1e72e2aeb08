//! The HTTP side of Eve: addresses, authentication, streams, errors and the OpenAPI document.
//!
//! A handler takes typed input, calls the one engine method that its address stands for, and converts the answer. It
//! decides nothing and knows no SQL: what a caller may do and what follows from it is `eve-engine`'s, the form of
//! what goes over the wire is `eve-api-types`'. `router.rs` shows every address at once; `error.rs` is the only
//! place that writes an error; `stream.rs` is the only place that keeps an answer open.

#![warn(missing_docs)]

mod authentication;
mod context;
mod convert;
mod error;
mod extract;
mod openapi;
mod router;
mod routes;
mod serve;
mod stream;

/// The workers' wire types to and from the engine's, for a worker that calls the engine in its own process.
pub mod wire {
    pub use crate::convert::assignment;
    pub use crate::convert::end_answer;
    pub use crate::convert::fenced;
    pub use crate::convert::fenced_all;
    pub use crate::convert::log_lines;
    pub use crate::convert::new_worker;
    pub use crate::convert::register_answer;
    pub use crate::convert::settlements;
    pub use crate::convert::signal;
    pub use crate::convert::worker_state;
}

pub use openapi::openapi;
pub use openapi::openapi_json;
pub use router::RouterOptions;
pub use router::router;
pub use serve::serve;

use eve_engine::Engine;
use eve_engine::Services;

/// What the addresses act on. Cheap to clone.
#[derive(Clone)]
pub struct ServerState {
    /// The use cases.
    pub engine: Engine,
    /// The services of this process, to be reported on.
    pub services: Services,
}

/// What handlers and extractors reach: the state, and how streams and waits are to behave.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) engine: Engine,
    pub(crate) services: Services,
    pub(crate) options: RouterOptions,
}
