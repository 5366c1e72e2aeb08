//! The size of the binary.

use std::fs;
use std::io;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use anyhow::Result;

use super::megabytes;
use crate::process;

/// Prints the size as it is built, and without symbols.
pub(super) fn run(binary: &Path) -> Result<()> {
    let stripped = std::env::temp_dir().join(format!("eve-xtask-stripped-{}", std::process::id()));
    let strip = process::capture(Command::new("strip").arg("-o").arg(&stripped).arg(binary));
    let without_symbols = strip.and_then(|_| size(&stripped));
    // There is nothing to remove when there is no `strip`.
    let _ = fs::remove_file(&stripped);
    let mut out = io::stdout().lock();
    writeln!(out, "size: {} as built", megabytes(size(binary)?))?;
    match without_symbols {
        Ok(bytes) => writeln!(out, "size: {} stripped", megabytes(bytes))?,
        Err(error) => writeln!(out, "size: not known stripped: {error:#}")?,
    }
    Ok(())
}

fn size(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len())
}
