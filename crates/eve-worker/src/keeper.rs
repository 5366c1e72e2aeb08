//! The process that stands between a worker and an agent, so that nothing of the agent outlives its attempt.
//!
//! The worker starts its own program again as `eve keeper attempt … -- PROGRAM ARGS`. The keeper moves what it is
//! about to start into a PID namespace of its own, where a second copy of the program, the *init*, is process 1:
//! when it ends, the kernel kills every process in there, whatever sessions or daemons the agent made. Where no
//! namespace can be had, the agent is started in a cgroup of its own, which keeper and init have killed; both are
//! subreapers then, so that the dead and whoever has left the cgroup come to them. Where there is no place for a
//! cgroup either, they hunt the orphans down one by one.
//!
//! Orders come over the keeper's standard input, one line each, see [`Order`]. The end of that input means that the
//! worker is gone, and so does silence beyond the lease: a worker that is frozen cannot keep its agent running.
//! No signal handler, no parent-death signal and no unsafe code is needed for that, only pipes.

mod cgroup;
mod containment;
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

use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SfdFlags;
use nix::sys::signalfd::SignalFd;

pub use self::cgroup::clear_leftovers;
pub use self::containment::Containment;
use self::containment::Hold;

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

/// What to keep.
#[derive(Debug, PartialEq, Eq)]
struct Job {
    /// The agent reads this file on standard input; nothing means an empty input.
    stdin: Option<PathBuf>,
    /// Silence of the worker after which everything is killed.
    lease: Duration,
    /// The best containment that may be used. Only tests ask for less than the best that there is.
    best: Containment,
    /// Where init puts the agent.
    cgroup: Option<PathBuf>,
    /// The agent's program and arguments.
    command: Vec<OsString>,
}

fn parse(args: Vec<OsString>) -> Option<Job> {
    let mut job = Job {
        stdin: None,
        lease: Duration::from_secs(30),
        best: Containment::PidNamespace,
        cgroup: None,
        command: Vec::new(),
    };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--stdin") => job.stdin = Some(PathBuf::from(args.next()?)),
            Some("--lease-ms") => job.lease = Duration::from_millis(args.next()?.to_str()?.parse().ok()?),
            Some("--containment") => job.best = Containment::named(args.next()?.to_str()?)?,
            Some("--cgroup") => job.cgroup = Some(PathBuf::from(args.next()?)),
            Some("--") => {
                job.command = args.by_ref().collect();
            }
            Some(_) | None => return None,
        }
    }
    if job.command.is_empty() { None } else { Some(job) }
}

/// Runs as a keeper: `attempt`, `init`, `probe` or `unshare` and their arguments. Returns the exit code.
///
/// Call it first thing in `main`, before any thread is started: a user namespace needs a single-threaded process.
pub fn main(args: Vec<OsString>) -> i32 {
    let mut args = args.into_iter();
    let role = args.next();
    let mut rest: Vec<OsString> = args.collect();
    match role.as_ref().and_then(|role| role.to_str()) {
        Some("attempt") => parse(rest).map_or_else(usage, |job| keep(&job)),
        Some("init") => parse(rest).map_or_else(usage, |job| init::run(&job)),
        Some("probe") => {
            rest.extend(["--", "/bin/sh", "-c", ":"].map(OsString::from));
            parse(rest).map_or_else(usage, |job| probe(&job))
        }
        Some("unshare") => containment::trial(),
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

fn spawn_init(job: &Job, hold: &Hold) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("keeper").arg("init");
    if let Some(path) = &job.stdin {
        command.arg("--stdin").arg(path);
    }
    if let Some(dir) = hold.cgroup() {
        command.arg("--cgroup").arg(dir);
    }
    command.arg("--").args(&job.command).stdin(Stdio::piped());
    if hold.containment() == Containment::PidNamespace {
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
    let deadline = Instant::now() + job.lease;
    let hold = Hold::take(job.best);
    let code = keep_until_the_end(job, &hold, deadline).unwrap_or_else(|error| {
        complain(&format!("cannot start: {error}"));
        EXIT_NOT_STARTED
    });
    hold.end(REAP_LIMIT);
    code
}

/// One thread and no more: a process that has entered a PID namespace for its children cannot start threads.
fn keep_until_the_end(job: &Job, hold: &Hold, mut deadline: Instant) -> std::io::Result<i32> {
    // The end of a child becomes readable, so that one poll waits for everything. Init clears the mask again.
    let mut ends = SigSet::empty();
    ends.add(Signal::SIGCHLD);
    ends.thread_block()?;
    let signals = SignalFd::with_flags(&ends, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let mut child = spawn_init(job, hold)?;
    let mut orders = child.stdin.take();
    let input = std::io::stdin();

    let mut killed_at = None;
    let mut partial = Vec::new();
    let mut listening = true;
    loop {
        if let Some(status) = child.try_wait()? {
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

fn probe(job: &Job) -> i32 {
    let hold = Hold::take(job.best);
    // Entering is not enough: something must be able to run in there.
    let status = spawn_init(job, &hold).and_then(|mut child| {
        // Its orders stay open until it has ended, or it would take their end for the worker's.
        let orders = child.stdin.take();
        let status = child.wait();
        drop(orders);
        status
    });
    hold.end(REAP_LIMIT);
    let name = hold.containment().name();
    if !status.is_ok_and(|status| status.success()) {
        complain(&format!("nothing can be started in a {name}"));
        return EXIT_NOT_STARTED;
    }
    i32::from(writeln!(std::io::stdout(), "{name}").is_err())
}

#[cfg(test)]
mod tests;
