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
//! worker is gone, and so does silence beyond the lease: a worker that is frozen cannot keep its agent running. The
//! lease is told as a point in time, see [`BootTime`]: whoever is stopped between saying and hearing how much of it is
//! left would count from too late. Once it has passed, nothing is started. No signal handler, no parent-death signal
//! and no unsafe code is needed for that, only pipes.

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

use crate::boot_time::BootTime;
use crate::boot_time::LOOK_AGAIN;

pub use self::cgroup::clear_leftovers;
pub use self::containment::Containment;
use self::containment::Hold;

/// The exit code of a keeper that could not start the agent's program.
pub const EXIT_NOT_STARTED: i32 = 127;
/// The exit code of a keeper whose lease was over: it killed the agent, or did not start it. No agent's end has it.
pub const EXIT_LEASE_OVER: i32 = 254;
/// The exit code of a keeper that killed the agent for another reason.
const EXIT_KILLED: i32 = 128 + Signal::SIGKILL as i32;
/// Longest time that orphans may take to die after SIGKILL.
const REAP_LIMIT: Duration = Duration::from_secs(10);

/// What the worker may tell the keeper: one line each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The lease holds until then: live on, and end everything if no other word comes.
    Until(BootTime),
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
            Self::Until(then) => format!("until {}\n", then.as_millis()),
            Self::Terminate => "terminate\n".to_owned(),
            Self::Kill => "kill\n".to_owned(),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        match line.split_once(' ') {
            Some(("until", then)) => then.parse().ok().map(BootTime::from_millis).map(Self::Until),
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
    /// When everything is killed unless the worker says otherwise. Only a trial may go without.
    until: Option<BootTime>,
    /// The best containment that may be used. Only tests ask for less than the best that there is.
    best: Containment,
    /// Where init puts the agent.
    cgroup: Option<PathBuf>,
    /// The agent's program and arguments.
    command: Vec<OsString>,
}

fn parse(args: Vec<OsString>) -> Option<Job> {
    let mut job = Job { stdin: None, until: None, best: Containment::PidNamespace, cgroup: None, command: Vec::new() };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--stdin") => job.stdin = Some(PathBuf::from(args.next()?)),
            Some("--until-ms") => job.until = Some(BootTime::from_millis(args.next()?.to_str()?.parse().ok()?)),
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
    if let Some(until) = job.until {
        command.arg("--until-ms").arg(until.as_millis().to_string());
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
    let Some(deadline) = job.until else { return usage() };
    let hold = Hold::take(job.best);
    let code = keep_until_the_end(job, &hold, deadline).unwrap_or_else(|error| {
        complain(&format!("cannot start: {error}"));
        EXIT_NOT_STARTED
    });
    hold.end(REAP_LIMIT);
    code
}

/// One thread and no more: a process that has entered a PID namespace for its children cannot start threads.
fn keep_until_the_end(job: &Job, hold: &Hold, mut deadline: BootTime) -> std::io::Result<i32> {
    // The end of a child becomes readable, so that one poll waits for everything. Init clears the mask again.
    let mut ends = SigSet::empty();
    ends.add(Signal::SIGCHLD);
    ends.thread_block()?;
    let signals = SignalFd::with_flags(&ends, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    if deadline.has_come() {
        return Ok(EXIT_LEASE_OVER);
    }
    let mut child = spawn_init(job, hold)?;
    let mut orders = child.stdin.take();
    let input = std::io::stdin();

    // With which code to end, and when everything was killed.
    let mut killed: Option<(i32, Instant)> = None;
    let mut partial = Vec::new();
    let mut listening = true;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(killed.map_or_else(|| exit_code(status), |(code, _)| code));
        }
        if killed.is_none() && deadline.has_come() {
            killed = Some((EXIT_LEASE_OVER, kill(&child, &mut orders)));
        }
        let left = match killed {
            // Polling does not count the time that the host sleeps.
            None => deadline.left().min(LOOK_AGAIN),
            // After SIGKILL the child is certain to end; the limit only keeps a stuck kernel from hanging the worker.
            Some((code, at)) => match REAP_LIMIT.saturating_sub(at.elapsed()) {
                Duration::ZERO => return Ok(code),
                left => left,
            },
        } + Duration::from_millis(1);
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
                killed = killed.or_else(|| Some((EXIT_KILLED, kill(&child, &mut orders))));
            }
            Said::Orders(heard) => {
                for order in heard {
                    match order {
                        Order::Until(then) => deadline = then,
                        Order::Kill => killed = killed.or_else(|| Some((EXIT_KILLED, kill(&child, &mut orders)))),
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
