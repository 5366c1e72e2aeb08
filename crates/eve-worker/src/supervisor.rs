//! The only code that owns an agent's process.
//!
//! It wakes on one closed set of events, asks before it kills, and returns only when nothing of the agent is left:
//! the keeper sees to that, see [`crate::keeper`]. What the lines mean is the decoder's business, and what an end
//! means the attempt's.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use eve_core::OutputStream;
use eve_crash::Point;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::process::Child;
use tokio::process::ChildStdin;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::boot_time::BootTime;
use crate::harness::Exit;
use crate::keeper;
use crate::keeper::Order;
use crate::output::LineSplitter;

/// How long an agent may take to end when asked to.
pub(crate) const TERM_GRACE: Duration = Duration::from_secs(5);
/// How long a keeper may take to kill everything before it is killed itself, which kills everything too.
const KILL_LIMIT: Duration = Duration::from_secs(15);
/// How long it may take to do so by itself when the lease is over: less than the margin of an ordinary lease.
const LEASE_OVER_LIMIT: Duration = Duration::from_secs(3);
/// How long output may still be read after the last process is gone.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// Lines read ahead of the decoder; beyond it the agent waits.
const LINES_AHEAD: usize = 1024;
/// Bytes read at once.
const READ_LEN: usize = 64 * 1024;

/// What the rest of the worker tells a running attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Directive {
    /// Go on.
    Run,
    /// The request was cancelled or paused.
    Stop,
    /// The worker shuts down and cannot wait any longer.
    Shutdown,
    /// The control plane says that the lease was given away.
    Lost,
}

/// A process to start.
#[derive(Debug, Clone)]
pub(crate) struct Supervised {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: PathBuf,
    pub(crate) stdin: Option<PathBuf>,
}

/// How long it may run and be silent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) run: Duration,
    pub(crate) idle: Duration,
}

/// What a running attempt is told while it runs.
#[derive(Debug, Clone)]
pub(crate) struct Reins {
    pub(crate) directive: watch::Receiver<Directive>,
    /// Until when the lease holds for sure.
    pub(crate) lease_until: watch::Receiver<BootTime>,
}

impl Reins {
    /// Why the attempt must not go on, if it must not.
    pub(crate) fn check(&mut self) -> Result<(), Interruption> {
        let directive = *self.directive.borrow_and_update();
        let over = self.lease_until.borrow_and_update().has_come();
        match directive {
            Directive::Stop | Directive::Shutdown | Directive::Lost => Err(Interruption::Told(directive)),
            Directive::Run if over => Err(Interruption::LeaseOver),
            Directive::Run => Ok(()),
        }
    }

    /// Waits until the attempt must not go on.
    pub(crate) async fn interrupted(&mut self) -> Interruption {
        loop {
            if let Err(interruption) = self.check() {
                return interruption;
            }
            let lease_until = *self.lease_until.borrow();
            tokio::select! {
                changed = self.directive.changed() => {
                    if changed.is_err() {
                        return Interruption::Told(Directive::Shutdown);
                    }
                }
                Ok(()) = self.lease_until.changed() => {}
                () = lease_until.come() => {}
            }
        }
    }

    /// Waits until nothing more may leave this host for the attempt, whatever else it was told.
    pub(crate) async fn lease_gone(&mut self) -> Interruption {
        loop {
            let lease_until = *self.lease_until.borrow_and_update();
            if *self.directive.borrow_and_update() == Directive::Lost {
                return Interruption::Told(Directive::Lost);
            }
            if lease_until.has_come() {
                return Interruption::LeaseOver;
            }
            tokio::select! {
                Ok(()) = self.directive.changed() => {}
                Ok(()) = self.lease_until.changed() => {}
                () = lease_until.come() => {}
            }
        }
    }
}

/// Why an attempt must not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interruption {
    /// Somebody said so.
    Told(Directive),
    /// Its time is over by this host's clock. Whether the control plane has taken its lease back is not known.
    LeaseOver,
}

/// Why the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndCause {
    /// By itself.
    Itself,
    /// On a person's wish.
    Stopped,
    /// The worker shuts down.
    Shutdown,
    /// The control plane said that the lease was given away.
    LeaseLost,
    /// The lease was not extended in time, by this host's clock.
    LeaseOver,
    /// It ran too long.
    Deadline,
    /// It was silent too long.
    Idle,
}

/// A process that has ended, with all its descendants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) cause: EndCause,
    pub(crate) exit: Exit,
    pub(crate) dropped_bytes: u64,
}

enum Phase {
    Running,
    Terminating { cause: EndCause, kill_at: Instant },
    Killing { cause: EndCause, give_up_at: Instant },
}

struct Line {
    stream: OutputStream,
    text: String,
}

/// Starts a process under a keeper and stays with it to its end.
///
/// # Errors
/// When the keeper itself cannot be started.
pub(crate) async fn supervise(
    keeper: &[OsString],
    job: &Supervised,
    limits: Limits,
    mut reins: Reins,
    mut on_line: impl FnMut(OutputStream, &str),
) -> std::io::Result<Ended> {
    let lease_until = *reins.lease_until.borrow_and_update();
    let mut child = spawn(keeper, job, lease_until)?;
    eve_crash::pass(Point::Spawned);
    let mut orders = child.stdin.take();
    let (send, mut lines) = mpsc::channel(LINES_AHEAD);
    let stdout = child.stdout.take().map(|pipe| tokio::spawn(read(pipe, OutputStream::Stdout, send.clone())));
    let stderr = child.stderr.take().map(|pipe| tokio::spawn(read(pipe, OutputStream::Stderr, send)));

    let deadline = Instant::now() + limits.run;
    let mut heard_at = Instant::now();
    let mut phase = Phase::Running;
    let status = loop {
        let lease_until = *reins.lease_until.borrow();
        let wake_at = match phase {
            Phase::Running => deadline.min(heard_at + limits.idle),
            Phase::Terminating { kill_at, .. } => kill_at,
            Phase::Killing { give_up_at, .. } => give_up_at,
        };
        tokio::select! {
            biased;
            status = child.wait() => break status?,
            changed = reins.directive.changed() => {
                let directive = if changed.is_ok() { *reins.directive.borrow_and_update() } else { Directive::Shutdown };
                phase = match (directive, phase) {
                    (Directive::Run, phase) => phase,
                    (_, phase @ Phase::Killing { .. }) => phase,
                    (Directive::Lost, _) => kill(&mut orders, EndCause::LeaseLost).await,
                    (_, phase @ Phase::Terminating { .. }) => phase,
                    (Directive::Stop, Phase::Running) => terminate(&mut orders, EndCause::Stopped).await,
                    (Directive::Shutdown, Phase::Running) => terminate(&mut orders, EndCause::Shutdown).await,
                };
            }
            Ok(()) = reins.lease_until.changed() => {
                let then = *reins.lease_until.borrow_and_update();
                order(&mut orders, Order::Until(then)).await;
            }
            // Before the lines: an agent that never stops talking must not outlive its lease.
            () = lease_until.come(), if !matches!(phase, Phase::Killing { .. }) => {
                phase = kill(&mut orders, EndCause::LeaseOver).await;
            }
            Some(line) = lines.recv() => {
                heard_at = Instant::now();
                on_line(line.stream, &line.text);
            }
            () = tokio::time::sleep_until(wake_at) => {
                let now = Instant::now();
                phase = match phase {
                    Phase::Killing { cause, .. } => {
                        // The keeper hangs: killing it closes the pipe to init, which then kills everything.
                        child.start_kill()?;
                        Phase::Killing { cause, give_up_at: now + KILL_LIMIT }
                    }
                    Phase::Terminating { cause, .. } => kill(&mut orders, cause).await,
                    Phase::Running if now >= deadline => terminate(&mut orders, EndCause::Deadline).await,
                    Phase::Running if now >= heard_at + limits.idle => terminate(&mut orders, EndCause::Idle).await,
                    Phase::Running => Phase::Running,
                };
            }
        }
    };
    let cause = match phase {
        // The keeper's word: this process may have been stopped meanwhile, and have new time by now.
        Phase::Running | Phase::Terminating { .. } if status.code() == Some(keeper::EXIT_LEASE_OVER) => {
            EndCause::LeaseOver
        }
        Phase::Running => EndCause::Itself,
        Phase::Terminating { cause, .. } | Phase::Killing { cause, .. } => cause,
    };
    if status.code().is_none() {
        // The keeper was killed, and perhaps its init, which would have seen to it.
        tokio::task::spawn_blocking(keeper::clear_leftovers).await?;
    }
    // Every process that held the pipes is gone, so their ends come at once; the limit is for the impossible.
    let drain = async {
        while let Some(line) = lines.recv().await {
            on_line(line.stream, &line.text);
        }
    };
    if tokio::time::timeout(DRAIN_LIMIT, drain).await.is_err() {
        tracing::error!("output pipes stayed open after the last process was gone");
    }
    lines.close();
    let mut dropped_bytes = 0;
    for reader in [stdout, stderr].into_iter().flatten() {
        dropped_bytes += reader.await.unwrap_or_default();
    }
    Ok(Ended { cause, exit: exit(status), dropped_bytes })
}

fn spawn(keeper: &[OsString], job: &Supervised, lease_until: BootTime) -> std::io::Result<Child> {
    let (program, first) =
        keeper.split_first().ok_or_else(|| std::io::Error::other("no keeper program is configured"))?;
    let mut command = Command::new(program);
    command.args(first).arg("attempt").arg("--until-ms").arg(lease_until.as_millis().to_string());
    if let Some(path) = &job.stdin {
        command.arg("--stdin").arg(path);
    }
    command
        .arg("--")
        .arg(&job.program)
        .args(&job.args)
        // The agent gets what it is given and nothing of the worker's own.
        .env_clear()
        .envs(job.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&job.cwd)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C on the worker's terminal is the worker's to handle.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

async fn order(orders: &mut Option<ChildStdin>, order: Order) {
    if let Some(pipe) = orders {
        // A keeper that is gone needs no order; its end is the next event.
        let _ = pipe.write_all(order.line().as_bytes()).await;
        let _ = pipe.flush().await;
    }
}

async fn terminate(orders: &mut Option<ChildStdin>, cause: EndCause) -> Phase {
    order(orders, Order::Terminate).await;
    Phase::Terminating { cause, kill_at: Instant::now() + TERM_GRACE }
}

async fn kill(orders: &mut Option<ChildStdin>, cause: EndCause) -> Phase {
    order(orders, Order::Kill).await;
    let limit = if cause == EndCause::LeaseOver { LEASE_OVER_LIMIT } else { KILL_LIMIT };
    Phase::Killing { cause, give_up_at: Instant::now() + limit }
}

async fn read(mut pipe: impl AsyncRead + Unpin, stream: OutputStream, lines: mpsc::Sender<Line>) -> u64 {
    let mut splitter = LineSplitter::default();
    let mut buffer = vec![0; READ_LEN];
    loop {
        match pipe.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => {
                for text in splitter.push(buffer.get(..count).unwrap_or_default()) {
                    if lines.send(Line { stream, text }).await.is_err() {
                        return splitter.dropped();
                    }
                }
            }
        }
    }
    if let Some(text) = splitter.finish() {
        // The receiver goes only when the attempt is over.
        let _ = lines.send(Line { stream, text }).await;
    }
    splitter.dropped()
}

/// The keeper ends with the agent's own code, or 128 and the signal.
fn exit(status: std::process::ExitStatus) -> Exit {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) if code > 128 && code < 128 + 65 => Exit::Signal(code - 128),
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Code(-1),
    }
}
