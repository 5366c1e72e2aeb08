//! `eve keeper …`: the guards of processes that must not outlive Eve. Started by Eve itself, not by people.
//!
//! One guard stands over the embedded PostgreSQL, one over each agent. Which of them this process is to be is all
//! that is decided here.

use std::ffi::OsString;

/// Runs as a guard and returns the exit code. Must be called before any thread is started.
pub(crate) fn main(args: Vec<OsString>) -> i32 {
    // The program's own name and `keeper`.
    let mut rest = args.into_iter().skip(2).peekable();
    if rest.next_if(|role| role == "postgres").is_some() {
        return eve_store::cluster::guard_main(rest.collect());
    }
    eve_worker::keeper::main(rest.collect())
}
