//! Killing processes one by one, for hosts without PID namespaces.

use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::sys::wait::WaitPidFlag;
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

/// Rest between two looks at what is left.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Kills one process. One that is gone already is no error.
pub(super) fn kill(pid: u32) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// Kills the children of this process, and the orphans that come to it as a subreaper, until none is left.
pub(super) fn kill_all_of_this_process(limit: Duration) {
    let end = Instant::now() + limit;
    let me = std::process::id();
    while Instant::now() < end {
        for pid in children(me) {
            kill(pid);
        }
        // Collect whoever has died; what they leave behind turns up as a child in the next look.
        loop {
            match nix::sys::wait::waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => break,
                Ok(_) => {}
                Err(_) if children(me).is_empty() => return,
                Err(_) => break,
            }
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// The direct children of a process, from /proc.
fn children(parent: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| parent_of(*pid) == Some(parent))
        .collect()
}

/// Field 4 of /proc/PID/stat; the name before it is in parentheses and may hold anything.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}
