//! Running a program to its end, within a time limit.

use std::io;
use std::process::Output;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// Runs a program and collects its output. Its standard input stays open until it is done, which is what the guard
/// listens to; a program that exceeds the limit is killed.
pub(super) async fn output(command: &mut Command, limit: Duration) -> io::Result<Output> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
    // Waiting would close it.
    let _stdin = child.stdin.take();
    match tokio::time::timeout(limit, child.wait_with_output()).await {
        Ok(output) => output,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no end after {} s", limit.as_secs()))),
    }
}
