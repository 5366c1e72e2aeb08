//! `cargo xtask fmt`: one way to lay out code.

use anyhow::Result;

use crate::cli::Mode;
use crate::process;
use crate::workspace::Workspace;

/// Formats, or says what is not formatted.
pub(crate) fn run(workspace: &Workspace, mode: Mode) -> Result<bool> {
    let mut command = workspace.cargo(&["fmt", "--all"]);
    if mode == Mode::Check {
        command.arg("--check");
    }
    process::succeeds(&mut command)
}
