//! `cargo xtask openapi`: the committed description of the API, as the server's routes give it.

use std::fs;
use std::io;
use std::io::Write;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use serde_json::Value;

use crate::cli::Mode;
use crate::process;
use crate::workspace::Workspace;

const DOCUMENT: &str = "openapi/v1.json";

/// How the command line says that it does not know a command.
const USAGE_EXIT: i32 = 2;

/// Writes the document, or compares it with the committed one.
pub(crate) fn run(workspace: &Workspace, mode: Mode) -> Result<bool> {
    let output = process::output(&mut workspace.cargo(&["run", "--quiet", "--package", "eve", "--", "openapi"]))?;
    if output.status.code() == Some(USAGE_EXIT) {
        return through_the_test(workspace, mode);
    }
    if !output.status.success() {
        bail!("`eve openapi` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let wanted = normalised(&output.stdout)?;
    let path = workspace.root.join(DOCUMENT);
    let found = fs::read_to_string(&path).unwrap_or_default();
    if found == wanted {
        return Ok(true);
    }
    if mode == Mode::Check {
        writeln!(io::stdout(), "{DOCUMENT}: error[openapi]: is not what the server says; run `cargo xtask openapi`")?;
        return Ok(false);
    }
    fs::write(&path, wanted).with_context(|| format!("cannot write {DOCUMENT}"))?;
    writeln!(io::stdout(), "wrote {DOCUMENT}")?;
    Ok(true)
}

/// A binary without that command: the server's own test compares the document, and writes it when told to.
fn through_the_test(workspace: &Workspace, mode: Mode) -> Result<bool> {
    let mut command = workspace.cargo(&["test", "--quiet", "--package", "eve-server", "openapi"]);
    if mode == Mode::Write {
        command.env("EVE_UPDATE_OPENAPI", "1");
    }
    process::succeeds(&mut command)
}

/// One newline at the end, and JSON for sure; the order and the layout are the server's.
fn normalised(printed: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(printed).context("`eve openapi` printed something that is not text")?;
    let _: Value = serde_json::from_str(text).context("`eve openapi` printed something that is not JSON")?;
    Ok(format!("{}\n", text.trim_end()))
}
