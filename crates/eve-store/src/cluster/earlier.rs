//! Servers of an earlier life that still use the data directory.
//!
//! After Eve was killed, her guard takes a moment to shut the server down; after the postmaster was killed, its
//! children take a moment to notice. PostgreSQL must not be started meanwhile: at best it refuses. A server works
//! inside its data directory, so `/proc` tells who is still there, whatever `postmaster.pid` says.
//!
//! `postmaster.pid` itself is PostgreSQL's, with one exception. PostgreSQL believes in it when any process of the
//! same user has that id, which in a container that starts the same few processes each time is likely and wrong.
//! When nobody works in the directory, the file is therefore removed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::time::Instant;

use super::binaries::Progress;
use super::error::ClusterError;
use super::guard::FAST_SHUTDOWN_LIMIT;
use super::guard::IMMEDIATE_SHUTDOWN_LIMIT;

/// What the guard of the earlier life may take altogether; before that, nobody else sends signals.
const GUARD_LIMIT: Duration = FAST_SHUTDOWN_LIMIT.saturating_add(IMMEDIATE_SHUTDOWN_LIMIT);

/// After SIGKILL.
const KILL_LIMIT: Duration = Duration::from_secs(5);

const PAUSE: Duration = Duration::from_millis(50);

/// Waits until no server uses the data directory, with increasing force.
pub(super) async fn settle(data: &Path, progress: Progress<'_>) -> Result<(), ClusterError> {
    settle_within(data, GUARD_LIMIT, progress).await
}

/// As [`settle`], with another limit for the part without signals.
pub(super) async fn settle_within(data: &Path, patience: Duration, progress: Progress<'_>) -> Result<(), ClusterError> {
    let looked = || servers_on(data).map_err(ClusterError::io("look for running servers in /proc"));
    if !looked()?.is_empty() {
        progress("waiting for the PostgreSQL of an earlier life to stop");
        let steps = [
            (None, patience),
            (Some(Signal::SIGINT), FAST_SHUTDOWN_LIMIT),
            (Some(Signal::SIGQUIT), IMMEDIATE_SHUTDOWN_LIMIT),
            (Some(Signal::SIGKILL), KILL_LIMIT),
        ];
        for (signal, limit) in steps {
            let left = looked()?;
            if left.is_empty() {
                break;
            }
            if let Some(signal) = signal {
                tracing::warn!(%signal, pids = ?left, "stopping the PostgreSQL of an earlier life");
                send(data, &left, signal);
            }
            let deadline = Instant::now() + limit;
            while !looked()?.is_empty() && Instant::now() < deadline {
                tokio::time::sleep(PAUSE).await;
            }
        }
        let left = looked()?;
        if !left.is_empty() {
            return Err(ClusterError::EarlierServer { pids: left, data: data.to_path_buf() });
        }
    }
    remove_mistaken_pid_file(data).map_err(ClusterError::io(format!("remove the pid file in `{}`", data.display())))
}

/// A fast shutdown is asked of the postmaster alone; its children would take SIGINT for a cancelled query.
fn send(data: &Path, pids: &[i32], signal: Signal) {
    let postmaster = pid_in_file(data).filter(|pid| pids.contains(pid));
    for pid in pids {
        if signal != Signal::SIGINT || postmaster.is_none_or(|postmaster| postmaster == *pid) {
            let _ = signal::kill(Pid::from_raw(*pid), signal);
        }
    }
}

fn pid_in_file(data: &Path) -> Option<i32> {
    fs::read_to_string(data.join("postmaster.pid")).ok()?.lines().next()?.trim().parse().ok()
}

fn remove_mistaken_pid_file(data: &Path) -> io::Result<()> {
    match pid_in_file(data) {
        Some(pid) if Path::new(&format!("/proc/{pid}")).exists() => fs::remove_file(data.join("postmaster.pid")),
        _ => Ok(()),
    }
}

/// The processes called `postgres` whose working directory is the data directory.
pub(super) fn servers_on(data: &Path) -> io::Result<Vec<i32>> {
    let Ok(wanted) = fs::metadata(data) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let here = fs::metadata(entry.path().join("cwd"))
            .is_ok_and(|cwd| (cwd.dev(), cwd.ino()) == (wanted.dev(), wanted.ino()));
        if here && fs::read_to_string(entry.path().join("comm")).is_ok_and(|name| name.trim() == "postgres") {
            found.push(pid);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A process that looks like a server on the directory and dies of any signal.
    fn pretend_server(data: &Path) -> std::process::Child {
        let program = data.join("postgres");
        fs::copy("/bin/sleep", &program).unwrap();
        let child = Command::new(&program).arg("600").current_dir(data).spawn().unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while servers_on(data).unwrap().is_empty() {
            assert!(std::time::Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(5));
        }
        child
    }

    #[tokio::test]
    async fn a_server_that_does_not_go_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = pretend_server(dir.path());
        assert_eq!(servers_on(dir.path()).unwrap(), [i32::try_from(child.id()).unwrap()]);
        // Reaped at once, as init would.
        let reaper = std::thread::spawn(move || child.wait());
        settle_within(dir.path(), Duration::from_millis(100), &|_| {}).await.unwrap();
        assert!(servers_on(dir.path()).unwrap().is_empty());
        reaper.join().unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_pid_file_that_names_a_stranger_is_removed_and_one_that_names_nobody_stays() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("postmaster.pid");
        fs::write(&file, "999999999\n").unwrap();
        settle(dir.path(), &|_| {}).await.unwrap();
        assert!(file.exists());
        fs::write(&file, format!("{}\n", std::process::id())).unwrap();
        settle(dir.path(), &|_| {}).await.unwrap();
        assert!(!file.exists());
    }
}
