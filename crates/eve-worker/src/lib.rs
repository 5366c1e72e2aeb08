//! What happens on a worker's host: claim, prepare a workspace, run an agent, hand the result over.
//!
//! A worker holds no database credentials. It speaks [`ControlPlane`], over HTTP or in process, and every write it
//! sends carries the fence of the attempt. It trusts neither the agent nor what the agent leaves behind: the agent
//! runs under a keeper that outlives nothing, and its work leaves the workspace as data.

mod attempt;
mod boot_time;
pub mod control_plane;
mod endings;
mod environment;
pub mod harness;
pub mod inventory;
mod journal;
pub mod keeper;
mod log;
mod output;
mod runtime;
mod session;
mod supervisor;
pub mod workspace;

pub use boot_time::BootTime;
pub use runtime::Worker;
pub use runtime::WorkerError;
pub use runtime::WorkerOptions;
