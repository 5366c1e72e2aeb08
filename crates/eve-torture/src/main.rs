//! The torture harness: breaks a whole Eve in every way that can be thought of, and checks what it promises.
//!
//! Unit tests show that a step is right, the model shows that the protocol is, and end-to-end tests that the parts fit.
//! None of them shows that the built program keeps its promises when it is killed between any two instructions, frozen,
//! cut off, starved of disk, or given a wrong clock, thousands of times. That is what this is for. It starts the real
//! binary with real PostgreSQL, breaks them by plan or by chance (every chance has a seed, which is printed and can be
//! given again), and reconciles three ledgers ([`evidence`]) with one checker ([`checker`]).
//!
//! It is for development only: a crate of its own, because it needs the built binary and takes up to an hour, which is
//! no test's way to run. What each scenario does is in [`scenario`]; where the product can be made to die, in `eve-crash`.

mod bed;
mod checker;
mod clock;
mod command;
mod daemon;
mod evidence;
mod outcome;
mod proxy;
mod report;
mod say;
mod scenario;
mod wait;
mod world;

use std::process::ExitCode;

/// What clap and most tools return for wrong arguments.
const USAGE: u8 = 2;

/// The scenarios run on the main thread: the kernel ends what it started when it ends, and only then.
fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ran = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(command::run()));
    ran.unwrap_or_else(|error| {
        say::say(&format!("error: {error:#}"));
        ExitCode::from(USAGE)
    })
}
