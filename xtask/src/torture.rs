//! `cargo xtask torture`: builds the binary as it is tested, and lets the harness have it.
//!
//! The whole workspace is built, so that what the tests were built with serves here too. It is the debug build: no
//! other can be made to die at a crash point.

use anyhow::Result;

use crate::process;
use crate::workspace::Workspace;

/// Builds and runs; false means that something was not as promised.
pub(crate) fn run(workspace: &Workspace, args: Vec<String>) -> Result<bool> {
    process::run(&mut workspace.cargo(&["build", "--quiet", "--workspace", "--bins"]))?;
    let mut command = std::process::Command::new(workspace.target.join("debug").join("eve-torture"));
    process::succeeds(command.args(args).current_dir(&workspace.root))
}
