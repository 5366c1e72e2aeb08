//! The process that stands between a worker and an agent, so that nothing of the agent outlives its attempt.
//!
//! The worker starts its own program again as `eve keeper attempt … -- PROGRAM ARGS`. The keeper moves what it is
//! about to start into a PID namespace of its own, where a second copy of the program, the *init*, is process 1:
//! when it ends, the kernel kills every process in there, whatever sessions or daemons the agent made. Where no
//! namespace can be had, keeper and init are subreapers instead and hunt the orphans down one by one.
//!
//! Orders come over the keeper's standard input, one line each, see [`Order`]. The end of that input means that the
//! worker is gone, and so does silence beyond the lease: a worker that is frozen cannot keep its agent running.
//! No signal handler, no parent-death signal and no unsafe code is needed for that, only pipes.

mod descendants;
mod init;

use std::ffi::OsString;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Child;
use std::process::ChildStdin;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use nix::mount::MsFlags;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::sched::CloneFlags;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SfdFlags;
use nix::sys::signalfd::SignalFd;

/// The exit code of a keeper that could not start the agent's program.
pub const EXIT_NOT_STARTED: i32 = 127;
/// Longest time that orphans may take to die after SIGKILL.
const REAP_LIMIT: Duration = Duration::from_secs(10);

/// What the worker may tell the keeper: one line each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The lease holds for so long from now: live on, and end everything if no other word comes.
    Extend(Duration),
    /// Ask the agent to end (SIGTERM to its process group).
    Terminate,
    /// Kill everything now.
    Kill,
}

/// Longest order, in bytes; a longer line is none.
const ORDER_LEN: usize = 64;

impl Order {
    /// The order as a line.
    pub fn line(self) -> String {
        match self {
            Self::Extend(left) => format!("extend {}\n", left.as_millis()),
            Self::Terminate => "terminate\n".to_owned(),
            Self::Kill => "kill\n".to_owned(),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        match line.split_once(' ') {
            Some(("extend", left)) => left.parse().ok().map(Duration::from_millis).map(Self::Extend),
            None if line == "terminate" => Some(Self::Terminate),
            None if line == "kill" => Some(Self::Kill),
            Some(_) | None => None,
        }
    }
}

/// How well a host can contain an agent's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Containment {
    /// A PID namespace: the kernel kills all.
    PidNamespace,
    /// Orphans come to the keeper, which kills them.
    Subreaper,
}

impl Containment {
    /// The name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PidNamespace => "pid namespace",
            Self::Subreaper => "subreaper",
        }
    }
}

/// What to keep.
#[derive(Debug, PartialEq, Eq)]
struct Job {
    /// The agent reads this file on standard input; nothing means an empty input.
    stdin: Option<PathBuf>,
    /// Silence of the worker after which everything is killed.
    lease: Duration,
    /// The agent's program and arguments.
    command: Vec<OsString>,
}

fn parse(args: Vec<OsString>) -> Option<Job> {
    let mut job = Job { stdin: None, lease: Duration::from_secs(30), command: Vec::new() };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--stdin") => job.stdin = Some(PathBuf::from(args.next()?)),
            Some("--lease-ms") => job.lease = Duration::from_millis(args.next()?.to_str()?.parse().ok()?),
            Some("--") => {
                job.command = args.by_ref().collect();
            }
            Some(_) | None => return None,
        }
    }
    if job.command.is_empty() { None } else { Some(job) }
}

/// Runs as a keeper: `attempt`, `init` or `probe` and their arguments. Returns the exit code.
///
/// Call it first thing in `main`, before any thread is started: a user namespace needs a single-threaded process.
pub fn main(args: Vec<OsString>) -> i32 {
    let mut args = args.into_iter();
    let role = args.next();
    let rest: Vec<OsString> = args.collect();
    match role.as_ref().and_then(|role| role.to_str()) {
        Some("attempt") => parse(rest).map_or_else(usage, |job| keep(&job)),
        Some("init") => parse(rest).map_or_else(usage, |job| init::run(&job)),
        Some("probe") => probe(),
        _ => usage(),
    }
}

fn usage() -> i32 {
    complain("eve keeper is started by eve itself, not by people");
    2
}

/// Tells the agent's log, which standard error goes to.
fn complain(message: &str) {
    // Nobody is left to tell if this fails.
    let _ = writeln!(std::io::stderr(), "eve keeper: {message}");
}

/// What this host can do, found out by trying.
fn contain() -> Containment {
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
        Containment::PidNamespace
    } else {
        // Orphans of the agent become children of this process.
        let _ = nix::sys::prctl::set_child_subreaper(true);
        Containment::Subreaper
    }
}

fn spawn_init(job: &Job, containment: Containment) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("keeper").arg("init");
    if let Some(path) = &job.stdin {
        command.arg("--stdin").arg(path);
    }
    command.arg("--").args(&job.command).stdin(Stdio::piped());
    if containment == Containment::PidNamespace {
        command.env(init::NAMESPACE_MARK, "1");
    } else {
        command.env_remove(init::NAMESPACE_MARK);
    }
    command.spawn()
}

/// What the worker's pipe said, as far as it was read.
enum Said {
    Orders(Vec<Order>),
    Gone,
}

fn keep(job: &Job) -> i32 {
    match keep_until_the_end(job) {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            EXIT_NOT_STARTED
        }
    }
}

/// One thread and no more: a process that has entered a PID namespace for its children cannot start threads.
fn keep_until_the_end(job: &Job) -> std::io::Result<i32> {
    // The end of a child becomes readable, so that one poll waits for everything. Init clears the mask again.
    let mut ends = SigSet::empty();
    ends.add(Signal::SIGCHLD);
    ends.thread_block()?;
    let signals = SignalFd::with_flags(&ends, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let containment = contain();
    let mut child = spawn_init(job, containment)?;
    let mut orders = child.stdin.take();
    let input = std::io::stdin();

    let mut deadline = Instant::now() + job.lease;
    let mut killed_at = None;
    let mut partial = Vec::new();
    let mut listening = true;
    loop {
        if let Some(status) = child.try_wait()? {
            finish(containment);
            return Ok(if killed_at.is_some() { 128 + Signal::SIGKILL as i32 } else { exit_code(status) });
        }
        let now = Instant::now();
        if killed_at.is_none() && now >= deadline {
            killed_at = Some(kill(&child, &mut orders));
        }
        // After SIGKILL the child is certain to end; the limit only keeps a stuck kernel from hanging the worker.
        let wake_at = killed_at.map_or(deadline, |at| at + REAP_LIMIT);
        if killed_at.is_some() && now >= wake_at {
            return Ok(128 + Signal::SIGKILL as i32);
        }
        let left = wake_at.saturating_duration_since(now) + Duration::from_millis(1);
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut sources = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        if listening {
            sources.push(PollFd::new(input.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut sources, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let spoken = sources.get(1).and_then(PollFd::any).unwrap_or(false);
        while matches!(signals.read_signal(), Ok(Some(_))) {}
        if !spoken {
            continue;
        }
        match read_orders(&mut partial) {
            Said::Gone => {
                listening = false;
                killed_at = killed_at.or_else(|| Some(kill(&child, &mut orders)));
            }
            Said::Orders(heard) => {
                for order in heard {
                    match order {
                        Order::Extend(left) => deadline = Instant::now() + left,
                        Order::Kill => killed_at = killed_at.or_else(|| Some(kill(&child, &mut orders))),
                        Order::Terminate => {
                            if let Some(pipe) = orders.as_mut() {
                                // An init that is gone needs no order.
                                let _ = pipe.write_all(&[init::TERMINATE]).and_then(|()| pipe.flush());
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Kills init, which takes everything along, and closes its orders, in case it is not a namespace's process 1.
fn kill(child: &Child, orders: &mut Option<ChildStdin>) -> Instant {
    drop(orders.take());
    descendants::kill(child.id());
    Instant::now()
}

/// After init has ended, nothing of the agent may be left.
fn finish(containment: Containment) {
    match containment {
        // The kernel has killed all of it before it reported the end of process 1.
        Containment::PidNamespace => {}
        Containment::Subreaper => descendants::kill_all_of_this_process(REAP_LIMIT),
    }
}

/// Reads what is there and takes the whole lines out of it; the rest waits for its end.
fn read_orders(partial: &mut Vec<u8>) -> Said {
    let mut buffer = [0; 256];
    match std::io::stdin().read(&mut buffer) {
        Ok(0) => return Said::Gone,
        Ok(count) => partial.extend_from_slice(buffer.get(..count).unwrap_or_default()),
        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
        Err(_) => return Said::Gone,
    }
    let mut orders = Vec::new();
    while let Some(end) = partial.iter().position(|byte| *byte == b'\n') {
        let line: Vec<u8> = partial.drain(..=end).collect();
        orders.extend(std::str::from_utf8(&line).ok().and_then(|line| Order::parse(line.trim_end())));
    }
    if partial.len() > ORDER_LEN {
        partial.clear();
    }
    Said::Orders(orders)
}

fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(EXIT_NOT_STARTED)
}

fn probe() -> i32 {
    let containment = contain();
    // Entering is not enough: something must be able to run in there.
    let job = Job { stdin: None, lease: Duration::from_secs(5), command: vec!["/bin/true".into()] };
    let works = spawn_init(&job, containment).and_then(|mut child| {
        // Its orders stay open until it has ended, or it would take their end for the worker's.
        let orders = child.stdin.take();
        let status = child.wait();
        drop(orders);
        status
    });
    let works = works.is_ok_and(|status| status.success());
    let name = if works { containment.name() } else { Containment::Subreaper.name() };
    i32::from(writeln!(std::io::stdout(), "{name}").is_err())
}

#[cfg(test)]
mod tests;
