//! Eve beside other queues: the same steps, one machine, one PostgreSQL cluster, in turn.
//!
//! The programs that run the others are not part of the repository, because each brings its own package manager along.
//! A copy of them gets one entry more, for `queue-peer`, runs, and what it measured becomes a section of
//! `docs/benchmarks.md`.

mod table;

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use serde_json::Value;

use crate::process;
use crate::workspace::Workspace;

/// Where the table goes.
const DOCUMENT: &str = "docs/benchmarks.md";
/// The runner, and the place in it where its table of peers is complete.
const RUNNER: &str = "run.py";
const AFTER_PEERS: &str = "\ndef step_cmd(";
/// What this program makes of it.
const OWN_RUNNER: &str = "run-eve.py";

const WHERE_FROM: &str = "\
`--peers DIR` is missing: the directory of the peers, which is not part of the repository. It holds run.py, setup.sh and
programs that put other queues through the same steps; its README.md says how they are installed, and what a program has
to print to be compared. Whoever published the figures in docs/benchmarks.md has it; any directory of that form will do.";

/// What `enq1` enqueues at scale 1. The runner tells the CPU seconds of that step, and not how many it did.
const SINGLES: f64 = 1000.0;

/// A durable log with a server of its own: it has no entry in the runner but a script.
const RESTATE: &str = "restate";
const RESTATE_SCRIPT: &str = "restate_bench.sh";

/// With less, starting a process is much of what is measured.
const SCALE: u32 = 3;

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// The directory of the peers.
    pub(crate) peers: Option<PathBuf>,
    /// Names, with commas; `eve` among them.
    pub(crate) only: String,
    pub(crate) rounds: u32,
    /// Multiplies how much each step does.
    pub(crate) scale: u32,
    /// The name of the file of results.
    pub(crate) tag: String,
}

impl Default for Options {
    fn default() -> Self {
        let only = "eve,graphile,gw,pgboss,awa,sqlxmq,restate".to_owned();
        Self { peers: None, only, rounds: 2, scale: SCALE, tag: "main".to_owned() }
    }
}

/// Runs all of them in turn and writes the section.
pub(super) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let Some(peers) = &options.peers else { bail!(WHERE_FROM) };
    process::run(&mut workspace.cargo(&["build", "--release", "--package", "eve-testkit", "--bin", "queue-peer"]))?;
    let program = workspace.target.join("release").join("queue-peer");
    let copy = workspace.target.join("peers");
    copy_of(peers, &copy)?;
    let runner = fs::read_to_string(copy.join(RUNNER)).with_context(|| format!("no {RUNNER} in the directory"))?;
    fs::write(copy.join(OWN_RUNNER), with_entry(&runner, &program)?)?;
    let home = home(&copy)?;
    ensure!(
        home.join("postmaster.pid").is_file(),
        "the peers are not installed in {}: run `{}` first",
        home.display(),
        copy.join("setup.sh").display()
    );
    let results = home.join("results").join(format!("{}.jsonl", options.tag));
    let before = fs::read_to_string(&results).unwrap_or_default().len();
    let (rounds, scale) = (options.rounds.to_string(), options.scale.to_string());
    let names: Vec<&str> = options.only.split(',').collect();
    let listed = names.iter().copied().filter(|name| *name != RESTATE).collect::<Vec<_>>().join(",");
    let mut command = Command::new("python3");
    command.current_dir(&copy).arg(OWN_RUNNER).args(["--tag", &options.tag, "--rounds", &rounds, "--scale", &scale]);
    process::run(command.args(["--only", &listed]))?;
    let text = fs::read_to_string(&results).with_context(|| format!("nothing was measured: {}", results.display()))?;
    // Earlier runs of the same name are in the file, too.
    let mut rows: Vec<Value> =
        text.get(before..).unwrap_or_default().lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    if names.contains(&RESTATE) {
        let told = process::capture(Command::new("bash").current_dir(&copy).args([RESTATE_SCRIPT, &rounds]))?;
        rows.extend(restate_rows(&told));
    }
    rows.iter_mut().for_each(|row| count_singles(row, options.scale));
    let readme = fs::read_to_string(copy.join("README.md")).unwrap_or_default();
    let section = table::section(&rows, &around(workspace, &readme, options.rounds)?);
    let path = workspace.root.join(DOCUMENT);
    let document = fs::read_to_string(&path)?;
    fs::write(&path, table::with_section(&document, &section))?;
    Ok(())
}

/// Copies the directory; what was measured elsewhere stays behind.
fn copy_of(from: &Path, to: &Path) -> Result<()> {
    ensure!(from.join(RUNNER).is_file(), "{} is no directory of peers: it has no {RUNNER}", from.display());
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to)?;
    process::run(Command::new("cp").args(["-R", "--preserve=mode"]).arg(from.join(".")).arg(to))
}

/// The runner with Eve among the peers.
fn with_entry(runner: &str, program: &Path) -> Result<String> {
    let program = serde_json::to_string(&program.to_string_lossy())?;
    let entry = format!(
        "\nev = lambda m, *x: [{program}, m, *x]\nPEERS[\"eve\"] = peer(\"p_eve\", ev, lib_setup(ev), [], [])\n"
    );
    let (head, tail) = runner
        .split_once(AFTER_PEERS)
        .with_context(|| format!("{RUNNER} is of another form: it has no {}", AFTER_PEERS.trim()))?;
    Ok(format!("{head}{entry}{AFTER_PEERS}{tail}"))
}

/// What Restate's script told, in the form of the runner: one invocation sent after the other, and how long until it runs.
/// Sending with many at once is left out, since it runs them at the same time.
fn restate_rows(told: &str) -> Vec<Value> {
    let row = |line: &str| -> Option<Value> {
        let (head, result) = line.split_once("RESULT ")?;
        let mut words = head.split_ascii_whitespace();
        let load: f64 = words.nth(1)?.parse().ok()?;
        let step = match words.collect::<Vec<_>>().as_slice() {
            ["lat"] => "lat",
            ["send", "conc", "1", ..] => "enq1",
            _ => return None,
        };
        let mut row: Value = serde_json::from_str(result).ok()?;
        let fields = row.as_object_mut()?;
        fields.insert("peer".to_owned(), RESTATE.into());
        fields.insert("step".to_owned(), step.into());
        fields.insert("load".to_owned(), load.into());
        Some(row)
    };
    told.lines().filter_map(row).collect()
}

/// Adds the CPU seconds for 10,000 to what was measured of single requests.
fn count_singles(row: &mut Value, scale: u32) {
    if row["step"] == "enq1"
        && let Some(seconds) = row["pg_cpu_s"].as_f64()
    {
        row["pg_cpu_10k"] = (seconds / (SINGLES * f64::from(scale)) * 10_000.0).into();
    }
}

/// Where the peers are installed, as their own settings say.
fn home(copy: &Path) -> Result<PathBuf> {
    let mut command = Command::new("bash");
    command.current_dir(copy).args(["-c", ". ./env.sh && printf %s \"$PB_HOME\""]);
    Ok(PathBuf::from(process::capture(&mut command)?))
}

/// Facts without which the figures mean nothing.
fn around(workspace: &Workspace, readme: &str, rounds: u32) -> Result<table::Around> {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> =
        processors.lines().filter_map(|line| Some(line.strip_prefix("model name")?.split_once(": ")?.1)).collect();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
    Ok(table::Around {
        date: process::capture(Command::new("date").args(["-u", "+%F"]))?.trim().to_owned(),
        rounds,
        cores: std::thread::available_parallelism()?.get(),
        processor: models.first().map_or_else(|| std::env::consts::ARCH.to_owned(), |model| model.trim().to_owned()),
        memory_gib: kib.map_or(0, |kib: u64| kib.div_ceil(1 << 20)),
        commit: workspace.git(&["describe", "--always", "--dirty", "--exclude=*"])?.trim().to_owned(),
        versions: table::versions(readme),
    })
}

#[cfg(test)]
mod tests;
