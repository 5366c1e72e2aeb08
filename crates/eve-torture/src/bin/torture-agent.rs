//! The agent of the torture harness: does nothing but leave a trace that no crash of Eve's can change.
//!
//! Each thing that it does is a line of the *world ledger*, a file outside of Eve and its database, written with one
//! append: `WHAT REQUEST ATTEMPT FENCE WORKER PID MS [NUMBER]`, where MS is the host's clock since its start. While it
//! lives, it holds a lock on a file named after the request, which the kernel takes back when it dies: a second agent of
//! the same request finds it taken, and notes how long both were alive.
//!
//! It reads its arguments by hand and uses little, because thousands of it are started.

use std::env;
use std::fs::File;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use nix::time::ClockId;
use nix::time::clock_gettime;

/// Longest life of what should have been killed, so that a harness that dies leaves nothing behind for ever.
const LONGEST: Duration = Duration::from_secs(600);

/// What it was told to do, as `NAME=VALUE` arguments.
struct Orders {
    /// Where the ledger and the locks are.
    world: PathBuf,
    /// How long it works.
    run: Duration,
    /// Rest between two steps.
    step: Duration,
    /// A file: it works until that is there.
    gate: Option<PathBuf>,
    /// The code that it exits with.
    exit: u8,
    /// Whether it leaves a process in a session of its own behind.
    child: bool,
    /// Whether it is that process.
    is_child: bool,
    /// A file that it writes before it ends.
    write: Option<PathBuf>,
    /// How much it writes there.
    write_kib: usize,
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            // Standard error is what the log of the attempt shows.
            let _ = writeln!(io::stderr(), "torture-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<ExitCode> {
    let orders = Orders::read()?;
    let ledger = Ledger::open(&orders.world)?;
    if orders.is_child {
        let end = Instant::now() + LONGEST;
        while Instant::now() < end {
            ledger.note("child", None)?;
            thread::sleep(orders.step);
        }
        return Ok(ExitCode::SUCCESS);
    }
    ledger.note("start", None)?;
    let lock = File::create(orders.world.join("alive").join(&ledger.request))?;
    if lock.try_lock().is_err() {
        // At once: whoever waits may be killed before it knows how long.
        ledger.note("contact", None)?;
        let began = Instant::now();
        lock.lock()?;
        ledger.note("overlap", Some(began.elapsed().as_millis()))?;
    }
    if orders.child {
        let mut child = Command::new("setsid");
        child.arg(env::current_exe()?).args(env::args_os().skip(1)).arg("is_child=1");
        child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    }
    let began = Instant::now();
    let mut steps = 0;
    while !orders.may_end(began) {
        thread::sleep(orders.step);
        steps += 1;
        ledger.note("step", Some(steps))?;
    }
    if let Some(path) = &orders.write {
        write_file(path, orders.write_kib)?;
    }
    // Said before it is noted: a pipe that nobody reads any more must not look like work that was done.
    writeln!(io::stdout(), "worked for {} ms in {steps} steps", began.elapsed().as_millis())?;
    ledger.note("end", Some(orders.exit.into()))?;
    drop(lock);
    Ok(ExitCode::from(orders.exit))
}

fn write_file(path: &Path, kib: usize) -> io::Result<()> {
    let mut file = File::create(path)?;
    let block = [b'.'; 1024];
    for _ in 0..kib {
        file.write_all(&block)?;
    }
    writeln!(file, "{}", env::var("EVE_ATTEMPT_ID").unwrap_or_default())?;
    file.sync_all()
}

impl Orders {
    fn read() -> io::Result<Self> {
        let mut orders = Self {
            world: PathBuf::new(),
            run: Duration::ZERO,
            step: Duration::from_millis(20),
            gate: None,
            exit: 0,
            child: false,
            is_child: false,
            write: None,
            write_kib: 0,
        };
        for argument in env::args().skip(1) {
            let wrong = || io::Error::other(format!("cannot read the argument {argument}"));
            let (name, value) = argument.split_once('=').ok_or_else(wrong)?;
            let number = || value.parse::<u64>().map_err(|_| wrong());
            match name {
                "world" => orders.world = value.into(),
                "run_ms" => orders.run = Duration::from_millis(number()?),
                "step_ms" => orders.step = Duration::from_millis(number()?.max(1)),
                "gate" => orders.gate = Some(value.into()),
                "exit" => orders.exit = u8::try_from(number()?).map_err(|_| wrong())?,
                "child" => orders.child = number()? > 0,
                "is_child" => orders.is_child = number()? > 0,
                "write" => orders.write = Some(value.into()),
                "write_kib" => orders.write_kib = usize::try_from(number()?).map_err(|_| wrong())?,
                _ => return Err(wrong()),
            }
        }
        Ok(orders)
    }

    fn may_end(&self, began: Instant) -> bool {
        let worked = began.elapsed();
        worked >= LONGEST || (worked >= self.run && self.gate.as_ref().is_none_or(|gate| gate.exists()))
    }
}

struct Ledger {
    file: File,
    request: String,
    /// What is the same in every line.
    who: String,
}

impl Ledger {
    fn open(world: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(world.join("ledger"))?;
        let variable = |name: &str| env::var(name).map_err(|_| io::Error::other(format!("{name} is not set")));
        let request = variable("EVE_REQUEST_ID")?;
        // A claim's number is its fence.
        let (attempt, fence) = (variable("EVE_ATTEMPT_ID")?, variable("EVE_ATTEMPT_NUMBER")?);
        let worker = env::var("TORTURE_WORKER").unwrap_or_else(|_| "?".to_owned());
        let who = format!("{request} {attempt} {fence} {worker} {}", std::process::id());
        Ok(Self { file, request, who })
    }

    /// One write with O_APPEND is one line, however many agents write.
    fn note(&self, what: &str, number: Option<u128>) -> io::Result<()> {
        let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).map_err(io::Error::from)?;
        let number = number.map(|number| format!(" {number}")).unwrap_or_default();
        (&self.file).write_all(format!("{what} {} {}{number}\n", self.who, now.as_millis()).as_bytes())
    }
}
