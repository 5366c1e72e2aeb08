//! What the harness tells its user, on standard error.

use std::io;
use std::io::Write;

/// Prints a line.
pub(crate) fn say(text: &str) {
    // Nobody may be reading.
    let _ = writeln!(io::stderr(), "{text}");
}
