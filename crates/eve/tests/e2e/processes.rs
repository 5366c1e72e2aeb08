//! The processes of this host, as /proc shows them.

use std::fs;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::wait::until;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// Its arguments, joined by spaces.
    pub(crate) command: String,
}

/// The processes that have this text among their arguments or in their environment. Dead ones have neither.
///
/// Every process of an attempt, its keeper included, has `EVE_REQUEST_ID` and `EVE_ATTEMPT_ID` in its environment
/// unless it takes pains to be rid of them.
pub(crate) fn with(marker: &str) -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != std::process::id())
        .filter_map(|pid: u32| {
            let directory = Path::new("/proc").join(pid.to_string());
            // It may end at any moment, and others' environments cannot be read: neither is one of ours, then.
            let command = fs::read(directory.join("cmdline")).unwrap_or_default();
            let environment = fs::read(directory.join("environ")).unwrap_or_default();
            let found = [&command, &environment].iter().any(|bytes| contains(bytes, marker.as_bytes()));
            let command = String::from_utf8_lossy(&command).replace('\0', " ").trim_end().to_owned();
            found.then_some(Process { pid, command })
        })
        .collect()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// The marker of everything that runs for a request.
pub(crate) fn of_request(id: &str) -> String {
    format!("EVE_REQUEST_ID={id}")
}

/// The marker of everything that runs for an attempt.
pub(crate) fn of_attempt(id: &str) -> String {
    format!("EVE_ATTEMPT_ID={id}")
}

/// Waits until no process has any of these markers, and says how long it took.
pub(crate) async fn gone(markers: &[String], limit: Duration) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let mut left = Vec::new();
    let all_gone = until("the processes are gone", limit, async || {
        left = markers.iter().flat_map(|marker| with(marker)).collect();
        Ok(left.is_empty().then(|| began.elapsed()))
    })
    .await;
    all_gone.map_err(|error| error.context(format!("still there: {left:#?}")))
}

/// Sends a signal to a process; one that is gone needs none.
pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}
