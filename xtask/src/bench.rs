//! `cargo xtask bench`: measurements from outside, of what users would run.

pub(crate) mod peers;
mod size;
mod start;

use anyhow::Result;
use anyhow::bail;

use crate::cli::Bench;
use crate::process;
use crate::workspace::Workspace;

/// Measures and prints.
pub(crate) fn run(workspace: &Workspace, bench: Bench) -> Result<()> {
    match bench {
        Bench::Size => size::run(&release_binary(workspace)?),
        Bench::Start { data_dir, runs } => start::run(&release_binary(workspace)?, data_dir, runs),
        Bench::Peers(options) => peers::run(workspace, &options),
        Bench::Queue(args) => {
            let command = ["run", "--release", "--package", "eve-testkit", "--bin", "queue-bench", "--"];
            process::run(workspace.cargo(&command).args(args))
        }
    }
}

fn release_binary(workspace: &Workspace) -> Result<std::path::PathBuf> {
    let binary = workspace.target.join("release").join("eve");
    if !binary.is_file() {
        bail!("there is no {}; `cargo build --release -p eve` makes it", binary.display());
    }
    Ok(binary)
}

/// Bytes for people.
fn megabytes(bytes: u64) -> String {
    let tenths = bytes / 100_000;
    format!("{}.{} MB", tenths / 10, tenths % 10)
}
