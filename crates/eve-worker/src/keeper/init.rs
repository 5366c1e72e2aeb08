//! Process 1 of an attempt: starts the agent, collects the dead, and takes everything along when it ends.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use nix::mount::MsFlags;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use super::EXIT_LEASE_OVER;
use super::EXIT_NOT_STARTED;
use super::Job;
use super::cgroup::Cgroup;
use super::complain;
use super::containment::end_all;
use crate::boot_time::BootTime;

/// Set by the keeper when this process is to be process 1 of a namespace; never passed on to the agent.
pub(super) const NAMESPACE_MARK: &str = "EVE_KEEPER_NAMESPACE";
/// The one order that the keeper passes on.
pub(super) const TERMINATE: u8 = b't';
/// What an agent's own end with the code of [`EXIT_LEASE_OVER`] is told as: an agent must not be able to say that.
const EXIT_TAKEN: i32 = EXIT_LEASE_OVER + 1;
/// Longest time that orphans may take to die where there is no namespace.
const REAP_LIMIT: Duration = Duration::from_secs(5);

pub(super) fn run(job: &Job) -> i32 {
    // The keeper blocks SIGCHLD for itself, and a mask is inherited: an agent would never hear of its tools' ends.
    if let Err(error) = SigSet::empty().thread_set_mask() {
        complain(&format!("cannot clear the signal mask: {error}"));
        return EXIT_NOT_STARTED;
    }
    let alone = std::env::var_os(NAMESPACE_MARK).is_some();
    if alone {
        let none: Option<&str> = None;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        // Some containers forbid it; the agent then sees the host's /proc, but still dies with this process.
        let _ = nix::mount::mount(Some("proc"), "/proc", Some("proc"), flags, none);
    } else {
        let _ = nix::sys::prctl::set_child_subreaper(true);
    }
    let Some((program, args)) = job.command.split_first() else { return EXIT_NOT_STARTED };
    let input = match &job.stdin {
        None => Stdio::null(),
        Some(path) => match std::fs::File::open(path) {
            Ok(file) => Stdio::from(file),
            Err(error) => {
                complain(&format!("cannot open {}: {error}", path.display()));
                return EXIT_NOT_STARTED;
            }
        },
    };
    let cgroup = job.cgroup.clone().map(Cgroup::at);
    if let Some(Err(error)) = cgroup.as_ref().map(Cgroup::enter) {
        complain(&format!("cannot enter the cgroup: {error}"));
        return EXIT_NOT_STARTED;
    }
    // The keeper looked, but a host can sleep or stop in between. What is asked here begins at most moments later.
    if job.until.is_some_and(BootTime::has_come) {
        return EXIT_LEASE_OVER;
    }
    let spawned = Command::new(program).args(args).env_remove(NAMESPACE_MARK).stdin(input).process_group(0).spawn();
    let agent = match spawned {
        Ok(child) => child,
        Err(error) => {
            complain(&format!("cannot start {}: {error}", program.to_string_lossy()));
            return EXIT_NOT_STARTED;
        }
    };
    // Killing the cgroup must not kill who collects the dead.
    if let Some(Err(error)) = cgroup.as_ref().map(Cgroup::leave) {
        complain(&format!("cannot leave the cgroup: {error}"));
        return EXIT_NOT_STARTED;
    }
    let Ok(agent) = i32::try_from(agent.id()).map(Pid::from_raw) else { return EXIT_NOT_STARTED };
    let obeying = cgroup.clone();
    std::thread::spawn(move || obey(agent, alone, obeying.as_ref()));
    let code = reap_until(agent);
    if !alone {
        end_all(cgroup.as_ref(), REAP_LIMIT);
    }
    code
}

/// Collects every child that ends, the agent's orphans included, until the agent itself has ended.
fn reap_until(agent: Pid) -> i32 {
    loop {
        match nix::sys::wait::wait() {
            Ok(WaitStatus::Exited(pid, EXIT_LEASE_OVER)) if pid == agent => return EXIT_TAKEN,
            Ok(WaitStatus::Exited(pid, code)) if pid == agent => return code,
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == agent => return 128 + signal as i32,
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            // No child is left, so the agent's end was missed; it cannot happen while only this loop waits.
            Err(_) => return EXIT_NOT_STARTED,
        }
    }
}

/// Passes orders on. The end of the orders is the end of everything.
fn obey(agent: Pid, alone: bool, cgroup: Option<&Cgroup>) {
    let mut byte = [0];
    loop {
        match std::io::stdin().read(&mut byte) {
            Ok(0) | Err(_) => break,
            Ok(_) if byte == [TERMINATE] => {
                // An agent that is gone already is no error.
                let _ = nix::sys::signal::killpg(agent, Signal::SIGTERM);
            }
            Ok(_) => {}
        }
    }
    if !alone {
        end_all(cgroup, REAP_LIMIT);
    }
    std::process::exit(128 + 9);
}
