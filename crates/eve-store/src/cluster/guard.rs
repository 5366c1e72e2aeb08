//! The guard: a small process between Eve and PostgreSQL, so that the server never outlives Eve.
//!
//! Eve starts its own program again as the guard, already as the unprivileged user, and holds the writing end of the
//! guard's standard input. When that pipe ends (Eve was killed, or let go) the guard shuts the server down in the
//! fast way, then with more force. Everything here needs only safe calls: no code runs between fork and exec.
//!
//! Should the guard itself be killed, the kernel tells the server (the parent-death signal). That setting does not
//! survive a fork, so the server is started by way of a second, very short life of this program that sets it and then
//! becomes the server. Signals that reach the whole process group or service (SIGTERM, SIGINT, SIGHUP) leave the
//! guard alone: the pipe is the only command, and Eve may want its database while it drains.
//!
//! The guard knows nothing about PostgreSQL but its signals, and `initdb` runs under it just as well.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;
use nix::sys::wait;
use nix::sys::wait::Id;
use nix::sys::wait::WaitPidFlag;
use nix::unistd;
use nix::unistd::AccessFlags;
use nix::unistd::Pid;

/// This program, whatever its path is called by now and whether or not the user may walk that path.
pub(super) const SELF_EXE: &str = "/proc/self/exe";

/// Separates the arguments that lead to the guard from those for it.
pub(super) const SEPARATOR: &str = "--";

/// Instead of a program: check that the following paths can be reached. A refused directory goes to stderr.
pub(super) const PROBE: &str = "--probe";

/// The exit code of a probe that found an unreachable directory.
pub(super) const PROBE_REFUSED: i32 = 3;

/// How long a fast shutdown (SIGINT) may take before an immediate one (SIGQUIT).
pub(super) const FAST_SHUTDOWN_LIMIT: Duration = Duration::from_secs(10);

/// How long an immediate shutdown may take before SIGKILL; PostgreSQL kills its own stragglers after five seconds.
pub(super) const IMMEDIATE_SHUTDOWN_LIMIT: Duration = Duration::from_secs(8);

/// Starts the second life; followed by the process id of the guard.
const CHILD_OF: &str = "--child-of=";

const USAGE_ERROR: i32 = 64;
const START_ERROR: i32 = 71;

enum Event {
    EveIsGone,
    ChildExited,
}

/// Runs the guard and returns the exit code for the process.
///
/// The binary's `main` calls this before anything else, with the arguments that follow those named in
/// [`ClusterOptions::guard`](super::ClusterOptions::guard), unchanged and to the last one; it must not have started
/// threads. The form is `[--] PROGRAM [ARGUMENT…]`.
#[must_use]
pub fn guard_main(args: Vec<OsString>) -> i32 {
    let count = args.len();
    let mut rest = args.into_iter().peekable();
    rest.next_if(|argument| argument == SEPARATOR);
    let Some(first) = rest.next() else {
        return fail(USAGE_ERROR, "this command is internal: it takes the program to guard");
    };
    let rest: Vec<OsString> = rest.collect();
    if let Some(parent) = first.to_str().and_then(|text| text.strip_prefix(CHILD_OF)) {
        return become_program(parent, &rest);
    }
    if first == PROBE {
        return probe(&rest);
    }
    // What leads here again, for the second life.
    let own: Vec<OsString> = std::env::args_os().collect();
    let leading = own.get(1..own.len().saturating_sub(count)).unwrap_or_default();
    match guard(leading, &first, &rest) {
        Ok(status) => exit_code(status),
        Err(error) => fail(START_ERROR, &format!("cannot run {}: {error}", Path::new(&first).display())),
    }
}

fn guard(leading: &[OsString], program: &OsStr, args: &[OsString]) -> io::Result<ExitStatus> {
    // Names are cosmetic.
    let _ = prctl::set_name(c"eve-pg-guard");
    prctl::set_no_new_privs()?;
    let mut ignored = SigSet::empty();
    ignored.add(Signal::SIGTERM);
    ignored.add(Signal::SIGINT);
    ignored.add(Signal::SIGHUP);
    // Blocked rather than ignored: std clears the mask for children, but an ignored signal would be inherited.
    ignored.thread_block()?;

    let mut child = Command::new(SELF_EXE)
        .args(leading)
        .arg(SEPARATOR)
        .arg(format!("{CHILD_OF}{}", std::process::id()))
        .arg(program)
        .args(args)
        .stdin(Stdio::null())
        .spawn()?;
    let pid = pid_of(&child)?;
    let (sender, events) = mpsc::channel();
    let eve = sender.clone();
    std::thread::spawn(move || wait_for_end_of_input(&eve));
    std::thread::spawn(move || wait_for_exit(pid, &sender));

    match events.recv() {
        Ok(Event::ChildExited) | Err(_) => {}
        Ok(Event::EveIsGone) => shut_down(pid, &events),
    }
    child.wait()
}

/// Only the main thread reaps, after this returned, so the process id cannot have passed to somebody else.
fn shut_down(pid: Pid, events: &Receiver<Event>) {
    let steps = [
        (Signal::SIGINT, FAST_SHUTDOWN_LIMIT),
        (Signal::SIGQUIT, IMMEDIATE_SHUTDOWN_LIMIT),
        (Signal::SIGKILL, Duration::MAX),
    ];
    for (signal, limit) in steps {
        let _ = signal::kill(pid, signal);
        // Nothing but the exit can follow the end of the input.
        if events.recv_timeout(limit).is_ok() {
            return;
        }
    }
}

fn wait_for_end_of_input(events: &Sender<Event>) {
    let mut buffer = [0; 64];
    loop {
        match io::stdin().read(&mut buffer) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    let _ = events.send(Event::EveIsGone);
}

fn wait_for_exit(pid: Pid, events: &Sender<Event>) {
    while wait::waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
    let _ = events.send(Event::ChildExited);
}

/// The second life: ask to be told when the guard dies, then become the program.
fn become_program(guard: &str, command: &[OsString]) -> i32 {
    let Some((program, args)) = command.split_first() else {
        return fail(USAGE_ERROR, "no program to run");
    };
    if let Err(error) = prctl::set_pdeathsig(Signal::SIGINT) {
        return fail(START_ERROR, &format!("cannot ask for the parent-death signal: {error}"));
    }
    // It may have died before the request.
    if unistd::getppid().to_string() != guard {
        return fail(START_ERROR, "the guard is gone");
    }
    let error = Command::new(program).args(args).exec();
    fail(START_ERROR, &format!("cannot run {}: {error}", Path::new(program).display()))
}

fn probe(paths: &[OsString]) -> i32 {
    match paths.iter().find_map(|path| first_unreachable(Path::new(path))) {
        None => 0,
        Some(directory) => {
            let _ = io::stderr().write_all(directory.as_os_str().as_bytes());
            PROBE_REFUSED
        }
    }
}

/// The first directory on the way to `path`, `path` included, that this process may not enter.
pub(super) fn first_unreachable(path: &Path) -> Option<PathBuf> {
    let mut way: Vec<&Path> = path.ancestors().collect();
    way.reverse();
    way.into_iter().find(|step| unistd::access(*step, AccessFlags::X_OK).is_err()).map(Path::to_path_buf)
}

fn pid_of(child: &Child) -> io::Result<Pid> {
    i32::try_from(child.id()).map(Pid::from_raw).map_err(io::Error::other)
}

/// As a shell reports it: the code, or 128 and the number of the signal.
fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(START_ERROR)
}

fn fail(code: i32, message: &str) -> i32 {
    let _ = writeln!(io::stderr(), "eve guard: {message}");
    code
}
