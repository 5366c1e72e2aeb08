//! Development tasks, run as `cargo xtask TASK`; `cargo xtask --help` lists them.
//!
//! Everything here is for people and CI that work on Eve: nothing of it is in the product, and it uses nothing of the
//! product, so that it still runs when the rest does not compile.

mod bench;
mod cli;
mod format;
mod openapi;
mod postgres;
mod process;
mod schema;
mod sqlx;
mod tidy;
mod torture;
mod workspace;

use std::io;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;

use crate::cli::Task;
use crate::workspace::Workspace;

/// What clap and most tools return for wrong arguments.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let task = match cli::parse(std::env::args().skip(1)) {
        Ok(task) => task,
        Err(wrong) => {
            // Nobody is left to hear about a closed pipe.
            let _ = writeln!(io::stderr(), "error: {wrong}\n\n{}", cli::HELP);
            return ExitCode::from(USAGE);
        }
    };
    match run(task) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does the task; false means that it found something wrong and said so.
fn run(task: Task) -> Result<bool> {
    if matches!(task, Task::Help) {
        writeln!(io::stdout(), "{}", cli::HELP)?;
        return Ok(true);
    }
    let workspace = Workspace::load()?;
    match task {
        Task::Help => Ok(true),
        Task::Tidy => tidy::run(&workspace),
        Task::Sqlx(mode) => sqlx::run(&workspace, mode),
        Task::Openapi(mode) => openapi::run(&workspace, mode),
        Task::Fmt(mode) => format::run(&workspace, mode),
        Task::Bench(bench) => bench::run(&workspace, bench).map(|()| true),
        Task::Torture(args) => torture::run(&workspace, args),
    }
}
