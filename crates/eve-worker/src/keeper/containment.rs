//! What holds an attempt's processes together, found out by trying.

use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use nix::mount::MsFlags;
use nix::sched::CloneFlags;

use super::cgroup;
use super::cgroup::Cgroup;
use super::complain;
use super::descendants;

/// How well a host can contain an agent's processes, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Containment {
    /// A PID namespace: the kernel kills all when its process 1 ends.
    PidNamespace,
    /// A cgroup: the kernel knows all of them, and orphans come to the keeper, too.
    Cgroup,
    /// Orphans come to the keeper, which kills them one by one. What forks fast enough can escape it.
    Subreaper,
}

impl Containment {
    /// The name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PidNamespace => "pid namespace",
            Self::Cgroup => "cgroup",
            Self::Subreaper => "subreaper",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::PidNamespace, Self::Cgroup, Self::Subreaper].into_iter().find(|one| one.name() == name)
    }
}

/// A keeper's hold on what it starts.
#[derive(Debug)]
pub(super) enum Hold {
    PidNamespace,
    Cgroup(Cgroup),
    Subreaper,
}

impl Hold {
    /// The best that this host allows, but nothing better than `best`.
    pub(super) fn take(best: Containment) -> Self {
        if best == Containment::PidNamespace && (nix::unistd::getuid().is_root() || trial_succeeds()) && unshare() {
            return Self::PidNamespace;
        }
        // Orphans of the agent become children of this process.
        let _ = nix::sys::prctl::set_child_subreaper(true);
        if best <= Containment::Cgroup {
            cgroup::clear_leftovers();
            if let Some(cgroup) = Cgroup::create() {
                return Self::Cgroup(cgroup);
            }
        }
        Self::Subreaper
    }

    pub(super) fn containment(&self) -> Containment {
        match self {
            Self::PidNamespace => Containment::PidNamespace,
            Self::Cgroup(_) => Containment::Cgroup,
            Self::Subreaper => Containment::Subreaper,
        }
    }

    /// Where init has to put the agent.
    pub(super) fn cgroup(&self) -> Option<&Path> {
        match self {
            Self::Cgroup(cgroup) => Some(cgroup.dir()),
            Self::PidNamespace | Self::Subreaper => None,
        }
    }

    /// After init has ended, nothing of the agent may be left.
    pub(super) fn end(&self, limit: Duration) {
        match self {
            // The kernel has killed all of it before it reported the end of process 1.
            Self::PidNamespace => {}
            Self::Cgroup(cgroup) => end_all(Some(cgroup), limit),
            Self::Subreaper => end_all(None, limit),
        }
    }
}

/// Kills the agent's processes where no namespace does it: those of the cgroup, and the orphans that came to this
/// process, which are fewer then, but have to be collected.
pub(super) fn end_all(cgroup: Option<&Cgroup>, limit: Duration) {
    if let Some(cgroup) = cgroup
        && !cgroup.end(limit)
    {
        complain(&format!("processes are left in {}", cgroup.dir().display()));
    }
    descendants::kill_all_of_this_process(limit);
}

/// Moves the future children of this process into a new PID namespace.
fn unshare() -> bool {
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    let private = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS;
    let entered = if uid.is_root() {
        nix::sched::unshare(private).is_ok()
    } else {
        nix::sched::unshare(private | CloneFlags::CLONE_NEWUSER).is_ok() && {
            // The same ids inside as outside, or files would change owner.
            std::fs::write("/proc/self/setgroups", "deny").is_ok()
                && std::fs::write("/proc/self/uid_map", format!("{uid} {uid} 1")).is_ok()
                && std::fs::write("/proc/self/gid_map", format!("{gid} {gid} 1")).is_ok()
        }
    };
    if entered {
        // What is mounted from here on stays in here. Without it, /proc inside would show the host's processes.
        let none: Option<&str> = None;
        let _ = nix::mount::mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none);
    }
    entered
}

/// Has another process enter a user namespace first. Some hosts let everybody make one, but do nothing in it, and
/// there is no way back: the agent would run without a user.
fn trial_succeeds() -> bool {
    let Ok(program) = std::env::current_exe() else { return false };
    let mut command = Command::new(program);
    command.args(["keeper", "unshare"]).stdin(Stdio::null()).stdout(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The trial itself; returns the exit code.
pub(super) fn trial() -> i32 {
    i32::from(!unshare())
}
