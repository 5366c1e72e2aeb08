//! The `eve` binary: one program that serves, works and asks.
//!
//! This file only starts things: it parses the arguments, makes the runtime, hands over to one function in
//! [`command`], and turns whatever that returns into an exit code. It decides nothing else.

mod cli;
mod client;
mod command;
mod config;
mod error;
mod keeper;
mod live;
mod log_view;
mod output;
mod wiring;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::error::CliError;
use crate::error::ErrorKind;

/// The first argument that makes this process a keeper instead of a command line.
const KEEPER: &str = "keeper";

/// Most threads for calls that block, files above all. When hundreds of attempts end at once, more of them would only get
/// in each other's way, and keep their share of memory afterwards.
const BLOCKING_THREADS: usize = 32;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    // A keeper guards one agent's process tree: it must not parse, read configuration or start threads first.
    if args.get(1).is_some_and(|arg| arg == KEEPER) {
        return ExitCode::from(u8::try_from(keeper::main(args)).unwrap_or(1));
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(wrong) => {
            // Help and version come this way too. Nobody is left to hear about a closed pipe.
            let _ = wrong.print();
            return ExitCode::from(u8::try_from(wrong.exit_code()).unwrap_or(ErrorKind::Usage.exit_code()));
        }
    };
    let paint = output::stderr_paint(cli.global.no_color);
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::print_error(&error, paint);
            ExitCode::from(error.kind.exit_code())
        }
    }
}

fn start(cli: Cli) -> Result<(), CliError> {
    // One provider of cryptography in the whole program; a second installation would only mean that it is there.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(BLOCKING_THREADS).build()?;
    let done = runtime.block_on(command::run(cli));
    // A read of standard input that nobody waits for any more must not keep the process.
    runtime.shutdown_background();
    done
}
